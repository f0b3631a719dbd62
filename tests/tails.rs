//! What networks make of their logits: one table of the ways in which they end, each at every level
//! (floats as imported, floats after the passes, the emulator, three parties in one process) against
//! its definition, written out plainly on that level's own logits; and what may not end a network.

#[path = "support/tails/mod.rs"]
mod forms;
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use forms::{
    ANSWER, Form, INPUT, Logits, MAP, TRUNK, argmax, channels_last, declared, forms, last, number, of_map,
    of_vector, op, sizes, softmax,
};
use prost::Message;
use support::commands::{LIMIT, party_beside, run};
use support::compiled::{Model, distance, images, lead};
use support::folder::write_images;
use support::onnx::proto::{int, ints, node};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};
use trefoil_compiler::import::{ImportOptions, Imported, import_bytes};
use trefoil_ir::nn::{Graph, Op};
use trefoil_ir::tail::{DType, Tail};
use trefoil_runtime::data::ImageTensor;

impl Form {
    fn faults(&self) -> Result<(), String> {
        let mut model = Model::of_bytes(&self.build(), INPUT, 32, None, false)?;
        let owner = &model.compiled.owner;
        let tails = [
            tail_of(&owner.imported),
            tail_of(&owner.graph),
            owner.output.tail.clone(),
            model.parties.plan().part.output.tail.clone(),
        ];
        let [channels, height, width] = INPUT;
        for values in images(3, 2, INPUT).chunks(channels * height * width) {
            let image = ImageTensor {
                channels,
                height,
                width,
                values: values.to_vec(),
            };
            let levels = model.run(image)?;
            let (_, error) = distance(&levels.imported, &levels.secure);
            let logits = [&levels.imported, &levels.float, &levels.fixed, &levels.secure];
            let classes = logits
                .iter()
                .zip(&tails)
                .map(|(logits, tail)| self.check(tail, logits));
            let classes: Vec<_> = classes.collect::<Result<_, _>>()?;
            let is_clear = f64::from(lead(&levels.imported)) > 4.0 * error;
            if is_clear && self.logits == Logits::Vector && !classes.iter().all(|class| *class == classes[0])
            {
                return Err(format!("the classes of the levels are {classes:?}"));
            }
        }
        Ok(())
    }

    /// Holds one level's output to its definition; returns the class.
    fn check(&self, tail: &Tail, logits: &[f32]) -> Result<Option<usize>, String> {
        let run = tail.run(logits);
        let x: Vec<f64> = logits.iter().map(|&v| f64::from(v)).collect();
        let (output, expected) = (&run.output, (self.meaning)(&x));
        if (&output.dims, output.dtype) != (&self.dims, self.dtype) {
            return Err(format!("the output is {:?} {:?}", output.dims, output.dtype));
        }
        if output.values.len() != expected.len() {
            return Err(format!("{} values, not {}", output.values.len(), expected.len()));
        }
        for (at, (got, wanted)) in output.values.iter().zip(&expected).enumerate() {
            if (got - wanted).abs() > 2e-6 * wanted.abs().max(1.0) {
                return Err(format!("value {at} is {got}, not {wanted}"));
            }
        }
        let (class, wanted) = (run.class(), (self.class)(&x));
        if class != wanted {
            return Err(format!("the class is {class:?}, not {wanted:?}"));
        }
        Ok(class)
    }
}

fn tail_of(graph: &Graph) -> Tail {
    match &graph.node(graph.output().unwrap()).op {
        Op::Output(output) => output.tail.clone(),
        _ => unreachable!("it is the output"),
    }
}

#[test]
fn every_tail_is_what_it_says_at_every_level() {
    let faults: Vec<String> = forms()
        .iter()
        .filter_map(|form| Some(format!("{}: {}", form.name, form.faults().err()?)))
        .collect();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn import(form: &Form, options: &ImportOptions) -> Result<Imported, String> {
    import_bytes(&form.build(), None, options).map_err(|error| error.to_string())
}

#[test]
fn a_declared_type_is_kept() {
    for (kind, dtype) in [(DataType::Float16, DType::F16), (DataType::Double, DType::F64)] {
        let form = of_vector("plain", 13, last("Softmax", vec![]), softmax);
        let mut model = tract_onnx::pb::ModelProto::decode(&*form.build()).unwrap();
        model.graph.as_mut().unwrap().output = vec![declared(ANSWER, Some(kind))];
        let imported = import_bytes(&model.encode_to_vec(), None, &ImportOptions::default()).unwrap();
        assert_eq!(tail_of(&imported.graph).output().dtype, dtype);
    }
}

/// What a network does with a value of the tail, and the words of the refusal.
#[test]
fn what_belongs_at_the_end_is_refused_by_name_elsewhere() {
    let middle = |nodes: Vec<NodeProto>| {
        let mut nodes = nodes;
        nodes.push(op("GlobalMaxPool", &["inner"], ANSWER, vec![]));
        of_map("inside", 13, nodes, <[f64]>::to_vec)
    };
    let cases = [
        (
            middle(vec![op("Softmax", &[TRUNK], "inner", vec![int("axis", 1)])]),
            "\"inner\" (Softmax)",
            "end of a network",
        ),
        (
            middle(vec![op("Sigmoid", &[TRUNK], "inner", vec![])]),
            "\"inner\" (Sigmoid)",
            "fine-tune",
        ),
        (
            middle(vec![op("ArgMax", &[TRUNK], "inner", vec![int("axis", 1)])]),
            "\"inner\" (ArgMax)",
            "remove it",
        ),
        (
            of_vector("batch", 13, last("Softmax", vec![int("axis", 0)]), softmax),
            "\"answer\" (Softmax)",
            "images of a batch",
        ),
        (
            of_map(
                "reduced",
                13,
                last("ReduceL2", vec![ints("axes", &[1])]),
                <[f64]>::to_vec,
            ),
            "the output \"answer\"",
            "end the network before",
        ),
        (
            Form {
                constants: vec![TensorProto {
                    dims: vec![7],
                    float_data: (0..7).map(|v| v as f32).collect(),
                    ..number("weights", 0.0)
                }],
                ..of_vector(
                    "weights",
                    13,
                    vec![
                        op("Softmax", &[TRUNK], "s", vec![]),
                        op("Mul", &["s", "weights"], ANSWER, vec![]),
                    ],
                    softmax,
                )
            },
            "\"answer\" (Mul)",
            "every client could read",
        ),
        (
            Form {
                constants: vec![sizes("k", &[8])],
                ..of_vector(
                    "too many",
                    13,
                    vec![node("TopK", "top", &[TRUNK, "k"], &[ANSWER], vec![])],
                    softmax,
                )
            },
            "\"top\" (TopK)",
            "of 7 it cannot take 8",
        ),
    ];
    for (form, name, word) in cases {
        let error = import(&form, &ImportOptions::default()).expect_err(form.name);
        assert!(
            error.contains(name) && error.contains(word),
            "{}: {error}",
            form.name
        );
    }
}

/// A classifier with a label and a map of probabilities, as classical tools write it: any tensor of it
/// can be the output.
#[test]
fn one_of_several_outputs_is_chosen_by_name() {
    let mut zip = node(
        "ZipMap",
        "zip",
        &["probabilities"],
        &["loss"],
        vec![ints("classlabels_int64s", &[0, 1, 2])],
    );
    zip.domain = "ai.onnx.ml".to_owned();
    let nodes = vec![
        op("Softmax", &[TRUNK], "probabilities", vec![int("axis", 1)]),
        op(
            "ArgMax",
            &["probabilities"],
            ANSWER,
            vec![int("axis", 1), int("keepdims", 0)],
        ),
        zip,
    ];
    let form = of_vector("zipped", 11, nodes, softmax);
    let mut model = tract_onnx::pb::ModelProto::decode(&*form.build()).unwrap();
    model.graph.as_mut().unwrap().output = vec![declared(ANSWER, None), declared("loss", None)];
    let bytes = model.encode_to_vec();
    let import = |name: Option<&str>| {
        let output = name.map(str::to_owned);
        import_bytes(
            &bytes,
            None,
            &ImportOptions {
                output,
                ..ImportOptions::default()
            },
        )
    };
    let several = import(None).unwrap_err().to_string();
    assert!(
        several.contains("choose one with --output-name NAME"),
        "{several}"
    );
    let zipped = import(Some("loss")).unwrap_err().to_string();
    assert!(
        zipped.contains("\"zip\" (ZipMap)") && zipped.contains("ai.onnx.ml"),
        "{zipped}"
    );
    for (name, dtype) in [(ANSWER, DType::I64), ("probabilities", DType::F32)] {
        assert_eq!(tail_of(&import(Some(name)).unwrap().graph).output().dtype, dtype);
    }
}

/// The files that both commands write, as NumPy would read them: type, shape, elements.
fn read(path: &Path) -> (String, Vec<f64>) {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..start]).trim_end().to_owned();
    let body = &bytes[start..];
    let values = if header.contains("<i8") {
        body.chunks(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64)
            .collect()
    } else {
        body.chunks(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
            .collect()
    };
    (header, values)
}

#[test]
fn both_commands_write_the_models_own_output() {
    let trefoil = env!("CARGO_BIN_EXE_trefoil");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let form = of_map(
        "two",
        13,
        vec![
            op("Softmax", &[TRUNK], "probabilities", vec![int("axis", 1)]),
            op(
                "ArgMax",
                &["probabilities"],
                ANSWER,
                vec![int("axis", 1), int("keepdims", 0)],
            ),
        ],
        <[f64]>::to_vec,
    );
    let mut model = tract_onnx::pb::ModelProto::decode(&*form.build()).unwrap();
    model
        .graph
        .as_mut()
        .unwrap()
        .output
        .push(declared("probabilities", None));
    fs::write(path("two.onnx"), model.encode_to_vec()).unwrap();
    write_images(&path("x.npy"), INPUT, images(1, 8, INPUT));
    let ended = |program: &Path, line: &str| {
        let words = line.split(' ').map(|word| match word.strip_prefix('@') {
            Some(file) => path(file).into_os_string(),
            None => word.into(),
        });
        run(Command::new(program).args(words), LIMIT)
    };
    let (trefoil, party) = (Path::new(trefoil), party_beside(trefoil));
    // The flag that the message names is there.
    for line in [
        "check @two.onnx",
        "inspect @two.onnx",
        "evaluate @two.onnx --data @x.npy",
    ] {
        let words = ended(trefoil, line).refused();
        assert!(
            words.contains("choose one with --output-name NAME"),
            "{line}: {words}"
        );
        ended(trefoil, &format!("{line} --output-name {ANSWER}")).succeeded();
    }
    ended(
        trefoil,
        &format!("compile @two.onnx --calibration @x.npy -o @plans --output-name {ANSWER}"),
    )
    .succeeded();
    let runs = [
        (
            trefoil,
            format!("evaluate @two.onnx --data @x.npy --output-name {ANSWER}"),
        ),
        (trefoil, "evaluate @plans --level f32 --data @x.npy".to_owned()),
        (trefoil, "evaluate @plans --data @x.npy".to_owned()),
        (&party, "local --plans @plans --data @x.npy".to_owned()),
    ];
    let mut seen = Vec::new();
    for (program, line) in runs {
        ended(program, &format!("{line} --output @o.npy --logits @l.npy")).succeeded();
        let (header, classes) = read(&path("o.npy"));
        assert!(
            header.contains("'<i8'") && header.contains("(8, 6, 7, )"),
            "{line}: {header}"
        );
        let (header, logits) = read(&path("l.npy"));
        assert!(
            header.contains("'<f4'") && header.contains("(8, 3, 6, 7, )"),
            "{line}: {header}"
        );
        let best: Vec<f64> = logits
            .chunks(MAP.iter().product())
            .flat_map(|image| {
                channels_last(image)
                    .chunks(MAP[0])
                    .map(|lane| argmax(lane) as f64)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(classes, best, "{line}");
        ended(program, &format!("{line} --output @o.npy --logits")).succeeded();
        assert!(read(&path("o.npy")).0.contains("(8, 3, 6, 7, )"));
        let words = ended(program, &format!("{line} --logits")).refused();
        assert!(words.contains("--output"), "{words}");
        seen.push(classes);
    }
    let same = |a: &[f64], b: &[f64]| a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64;
    assert!(
        seen.iter().all(|classes| same(classes, &seen[0]) > 0.98),
        "the levels agree"
    );
}
