//! Ranks and probabilities against their definitions, and every form of text.

use proptest::prelude::*;
use trefoil_ir::Shape;
use trefoil_ir::tail::{DType, Step};

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// A network that ends in logits of so many classes, or in these operators behind them, one after
/// the other.
fn tail(classes: usize, ops: &[Op]) -> Tail {
    let step = |(at, op): (usize, &Op)| Step {
        op: op.clone(),
        args: vec![at],
    };
    Tail {
        steps: ops.iter().enumerate().map(step).collect(),
        ..Tail::vector(classes)
    }
}

fn found<'a>(tail: &Tail, logits: &[f32], names: &'a [String], top: usize) -> Found<'a> {
    Found::new(&tail.run(logits), tail, names, top)
}

fn classes(found: Found<'_>) -> Vec<(usize, f64, Option<f64>)> {
    match found {
        Found::Classes { top } => top.iter().map(|c| (c.class, c.score, c.probability)).collect(),
        Found::Map { .. } => panic!("a map"),
    }
}

const SOFTMAX: Op = Op::Softmax {
    first: 1,
    last: 2,
    log: false,
};
const LOG_SOFTMAX: Op = Op::Softmax {
    first: 1,
    last: 2,
    log: true,
};

fn arg(largest: bool, last: bool) -> Op {
    Op::Arg {
        axis: 1,
        largest,
        keep: false,
        last,
    }
}

/// The index of the greatest, the first of equals.
fn greatest(logits: &[f32]) -> usize {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|&logit| logit == most).unwrap()
}

proptest! {
    /// However a network ends, its classes are as likely as the definition has it.
    #[test]
    fn probabilities_are_those_of_the_logits_wherever_the_softmax_stands(
        logits in prop::collection::vec(-20f32..20.0, 2..40), top in 1usize..50,
    ) {
        let count = logits.len();
        for ops in [&[][..], &[SOFTMAX], &[LOG_SOFTMAX], &[arg(true, false)], &[SOFTMAX, arg(true, false)]] {
            let found = classes(found(&tail(count, ops), &logits, &[], top));
            prop_assert_eq!(found.len(), top.min(count));
            prop_assert_eq!(found[0].0, greatest(&logits));
            prop_assert!(found.is_sorted_by(|a, b| a.1 >= b.1 && a.2 >= b.2));
            for (class, score, probability) in found {
                if ops.is_empty() {
                    prop_assert_eq!(score, f64::from(logits[class]));
                }
                // By the definition, with the one thing that it divides by computed apart.
                let sum: f64 = logits.iter().map(|&x| f64::from(x - logits[class]).exp()).sum();
                let wanted = 1.0 / sum;
                prop_assert!(probability.is_some_and(|p| (p - wanted).abs() < 1e-6), "{ops:?}");
            }
        }
    }

    #[test]
    fn shares_count_the_pixels(pixels in prop::collection::vec(0usize..4, 2..60)) {
        let plane = pixels.len();
        let mut logits = vec![0.0; 4 * plane];
        for (pixel, class) in pixels.iter().enumerate() {
            logits[class * plane + pixel] = 1.0;
        }
        let tail = Tail::map(Shape::new(4, 1, plane));
        let Found::Map { map, shares } = found(&tail, &logits, &[], 4) else { panic!("no map") };
        prop_assert_eq!(map, [4, 1, plane]);
        for class in 0..4 {
            let count = pixels.iter().filter(|&&pixel| pixel == class).count();
            let share = shares.iter().find(|share| share.class == class).map_or(0.0, |share| share.share);
            prop_assert!((share - count as f64 / plane as f64).abs() < 1e-12);
        }
        prop_assert!(shares.is_sorted_by(|a, b| a.share >= b.share));
    }
}

#[test]
fn the_networks_own_choice_comes_first() {
    let logits = [2.0, 5.0, 5.0, -1.0];
    let first = |op| classes(found(&tail(4, &[op]), &logits, &[], 4))[0].0;
    assert_eq!((first(arg(true, false)), first(arg(true, true))), (1, 2));
    assert_eq!(first(arg(false, false)), 3);
    // The smallest is no likelihood.
    let smallest = classes(found(&tail(4, &[arg(false, false)]), &logits, &[], 4));
    assert!(smallest.iter().all(|(_, _, probability)| probability.is_none()));
}

/// ln 3, ln 1, ln 4: parts of 8.
const LOGITS: [f32; 3] = [1.098_612_3, 0.0, 1.386_294_4];

fn written(format: Format, labelled: bool) -> String {
    let classes = names(&["cat", "a, \"b\"", "dog\u{1b}[31m"]);
    let images = ["x.png", "long name.png"].map(str::to_owned);
    let writer = Writer::new(format, false, labelled, images.into_iter(), &classes);
    let prediction = |name: &str, label| Prediction {
        name: name.to_owned(),
        label,
        found: found(&tail(3, &[]), &LOGITS, &classes, 3),
    };
    let label = labelled.then_some(1);
    writer.header()
        + &writer.image(&prediction("x.png", label))
        + &writer.image(&prediction("long name.png", None))
}

#[test]
fn text_is_aligned_and_steers_no_terminal() {
    let text = written(Format::Text, true);
    let wanted = "\
image          label  class  name           probability
x.png              1      2  dog\\u{1b}[31m       50.00%
                          0  cat                 37.50%
                          1  a, \"b\"              12.50%
long name.png      -      2  dog\\u{1b}[31m       50.00%
                          0  cat                 37.50%
                          1  a, \"b\"              12.50%
";
    assert_eq!(text, wanted);
    assert!(!written(Format::Text, false).contains("label"));
}

#[test]
fn csv_reads_back_with_any_name() {
    let text = written(Format::Csv, true);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().iter().collect::<Vec<_>>().join(" ");
    assert_eq!(header, "name label rank class class_name score probability");
    let rows: Vec<csv::StringRecord> = reader.records().collect::<std::result::Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 6);
    assert_eq!(
        rows[2].iter().take(5).collect::<Vec<_>>(),
        ["x.png", "1", "3", "1", "a, \"b\""]
    );
    assert_eq!(&rows[3][1], "");
    let probability: f64 = rows[1][6].parse().unwrap();
    assert!((probability - 0.375).abs() < 1e-6);
}

#[test]
fn json_is_an_object_an_image() {
    let text = written(Format::Jsonl, true);
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["name"], &lines[0]["label"]),
        (&"x.png".into(), &1.into())
    );
    assert!(lines[1].get("label").is_none());
    let best = &lines[0]["top"][0];
    assert_eq!(
        (&best["class"], &best["name"]),
        (&2.into(), &"dog\u{1b}[31m".into())
    );
    assert!((best["probability"].as_f64().unwrap() - 0.5).abs() < 1e-6);
    assert!((best["score"].as_f64().unwrap() - 1.386_294_4).abs() < 1e-6);
}

#[test]
fn a_single_number_has_no_probability_and_a_map_of_one_channel_no_shares() {
    let name = || "0".to_owned();
    let writer = Writer::new(Format::Text, false, false, [name()].into_iter(), &[]);
    let text = |found| {
        writer.image(&Prediction {
            name: name(),
            label: None,
            found,
        })
    };
    assert_eq!(
        text(found(&tail(1, &[]), &[2.5], &[], 1)),
        "0          0          2.5\n"
    );
    let map = Tail::map(Shape::new(1, 2, 3));
    assert_eq!(text(found(&map, &[1.0; 6], &[], 3)), "0      map 1 x 2 x 3\n");
    assert_eq!(DType::F32, map.logits().dtype);
}
