//! The two directions together: what is printed reads back, and nothing that can be written makes
//! the reader fall over.

use proptest::prelude::*;

use super::*;
use crate::geometry::{Patch, Shape};
use crate::tensor::Tensor;

const PROGRAM: &str = r#"program "resnet \"8\"" {
  relu6 = exact
  labels = ["cat", "dog"]
  const c0 : weight[2,1,1,1]{-3, 4}
  const c1 : weight[16,3,3,3]#0123456789abcdef
  const c2 : bias[4] random(7, 100)
  const c7 : level[9]{5*9}
  const c8 : weight[5,5]
  %0 = input : act<3x32x32> @"image"
  %3 = conv2d %0 {weight=c1, bias=c2, pads=[1, 1, 1, 1], axis=c} : acc<64x32x32, bits=24> @"/conv/Conv"
  %4 = truncate %3 {keep=[15*64]} : tr<64x32x32> @"/relu/Relu" counted 64x64x64
  %9 = block_relu %4, %3, %4 {patches=[2x2*16, 0x1], index=[0..14:2, 5], unit=0.1f, empty=[]} : act<64x32x32>
  reveal %9
}
"#;

fn read(source: &str) -> Result<Module, Diagnostics> {
    parse_module(source, &TensorStore::new()).finish()
}

fn first_error(line: &str) -> String {
    let source = format!("program \"x\" {{\nconst c0 : weight[2]\n%0 = input\n{line}\n}}");
    match read(&source) {
        Ok(_) => panic!("accepted: {line}"),
        Err(errors) => {
            let first = &errors.items()[0];
            assert_eq!(first.line, 4, "{errors}");
            first.message.clone()
        }
    }
}

#[test]
fn a_program_reads_back_as_it_was_printed() {
    let module = read(PROGRAM).unwrap();
    assert_eq!(module.to_text(&TextOptions::default()), PROGRAM);
    assert_eq!(module.declarations[3].id, 7);
    assert_eq!(
        module.statements[2].attrs.get("keep"),
        Some(&Attr::from([15i64; 64]))
    );
    let counted = module.statements[2].marks.get("counted");
    assert_eq!(counted, Some(&Attr::Shape(Shape::new(64, 64, 64))));
    let ty = module.statements[1].ty.as_ref().unwrap();
    assert_eq!(ty.attrs.get("bits"), Some(&Attr::Int(24)));
}

#[test]
fn comments_are_printed_and_passed_over() {
    let mut module = read(PROGRAM).unwrap();
    let plain = module.clone();
    module.statements[1].comment = Some("unit 0.5;\nbound 77 // \u{1b}[2J".to_owned());
    module.declarations[0].comment = Some("B alone".to_owned());
    let text = module.to_text(&TextOptions::default());
    assert!(
        text.contains("{-3, 4}  // B alone\n") && text.contains("  // unit 0.5; bound"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
    assert_eq!(read(&text).unwrap(), plain);
    let windows = PROGRAM.replace('\n', " ; note \"\r\n");
    assert_eq!(read(&windows).unwrap(), plain);
}

#[test]
fn declared_values_are_resolved() {
    let module = read(PROGRAM).unwrap();
    let store = TensorStore::new();
    let values = |at: usize| {
        let declaration = &module.declarations[at];
        let literal = declaration.literal.as_ref().unwrap();
        store.resolve::<i32>(&declaration.dims, literal)
    };
    assert_eq!(values(0).unwrap().values(), [-3, 4]);
    assert!(values(1).unwrap_err().to_string().contains("0123456789abcdef"));
    assert!(
        values(2)
            .unwrap()
            .values()
            .iter()
            .all(|v| (-100..100).contains(v))
    );
    assert_eq!(values(3).unwrap().values(), [5; 9]);
}

#[test]
fn every_fault_of_a_file_is_shown_where_it_is() {
    let source = "program \"x\" {\n\
        %0 = input : 3x4\n\
        %1 = relu %0, %5, %6\n\
        %1 = relu %0 {a=1, a=2}\n\
        %1 = relu %1\n\
        %2 = relu %1 {w=c3} \"\n\
        %3 = relu %2\n\
        }\n\
        more";
    let errors = read(source).unwrap_err();
    let found: Vec<(usize, usize)> = errors.items().iter().map(|d| (d.line, d.column)).collect();
    assert_eq!(
        found,
        [(2, 14), (3, 15), (3, 19), (4, 20), (5, 1), (6, 21), (9, 1)],
        "{errors}"
    );
    let expected = "\
error: `%5` is not defined above this line
  --> x.tir:3:15
   3 | %1 = relu %0, %5, %6
     |               ^^

error: `%6` is not defined above this line";
    let shown = errors.in_file("x.tir").to_string();
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn hostile_lines_are_refused_with_a_reason() {
    let deep = format!("x {{a={}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let many: String = (0..100).map(|i| format!("a{i}=1, ")).collect();
    let many = format!("x {{{many}z=1}}");
    for (line, reason) in [
        ("x {a=[15*99999999999]}", "at most"),
        ("x {a=[15*99999999999999999999999]}", "in range"),
        ("x {a=[15*0]}", "one element"),
        ("x {a=[15*-1]}", "not negative"),
        ("x {a=[[[1*1000]*1000]*1000]}", "at most"),
        ("x {a=[0..9223372036854775807]}", "at most"),
        ("x {a=[-9223372036854775808..9223372036854775807:1]}", "at most"),
        ("x {a=[3..3]}", "no element"),
        ("x {a=[3..9:0]}", "no element"),
        ("x {a=[3..9:-1]}", "no element"),
        ("x {a=[1.5..9]}", "whole numbers"),
        ("x {a=[1, 2}", "`,` or `]`"),
        ("x {a=[1, 2", "before the end"),
        ("x {a=99999999999999999999}", "too large"),
        ("x {a=1e999}", "too large"),
        ("x {a=1e39f}", "too large"),
        ("x {a=nan}", "finite"),
        ("x {a=-inf}", "no meaning"),
        ("x {a=0x0}", "two sides"),
        ("x {a=0x2}", "two sides"),
        ("x {a=65536x1}", "two sides"),
        ("x {a=1x2x3x4}", "a shape"),
        ("x {a=4x99999999x99999999}", "a shape"),
        ("x : act<0x1x1>", "a shape"),
        ("x : act<1x1x1", "expected"),
        ("x {a=f32[1099511627776] random(1)}", "beyond all measure"),
        ("x {a=f32[1048576,1048576] random(1)}", "beyond all measure"),
        ("x {a=f32[99999999] random(1)}", "random values"),
        ("x {a=f32[1,1,1,1,1,1,1,1,1]{1.0}}", "beyond all measure"),
        ("x {a=f32[2]{1.0}}", "1 values are given"),
        ("x {a=f32[268435456]{0.0*268435456}}", "at most"),
        ("x {a=f32[1]{1e39}}", "index 0"),
        ("x {a=f32[1] random(-1)}", "not negative"),
        ("x {a=f32[1] random(1, 0.0)}", "positive"),
        ("x {a=f32[2]#0123}", "16 digits"),
        ("x {a=f32[2]#0123456789abcdef}", "no tensor"),
        ("x %99999999999", "2^32"),
        ("x %4294967295", "not defined"),
        ("%4294967296 = x", "2^32"),
        ("x {a=c99999999999}", ""),
        ("x {a=c1}", "not declared"),
        ("const c1 : weight[2]", "before the first"),
        ("y = 3", "properties stand"),
        ("x {a=\"\\q\"}", "escape"),
        (&deep, "too deeply"),
        (&many, "more than 64"),
    ] {
        if !reason.is_empty() {
            let message = first_error(line);
            assert!(message.contains(reason), "{line}: {message}");
        }
    }
}

#[test]
fn files_are_bounded_as_a_whole() {
    let limited = |body: String| {
        read(&format!("program \"x\" {{\n{body}}}"))
            .unwrap_err()
            .to_string()
    };
    let random = "x {a=f32[16777216] random(1)}\n".repeat(3);
    assert!(limited(random).contains("random values"));
    assert!(limited("x {a=[1*400000]}\n".repeat(3)).contains("lists of a text"));
    assert!(limited("x\n".repeat(parse::MAX_LINES + 1)).contains("at most 65536 lines"));
    assert!(limited(format!("x {}\n", " ".repeat(parse::MAX_LINE))).contains("line is longer"));
    let huge = read(&" ".repeat(parse::MAX_SOURCE + 1)).unwrap_err();
    assert!(huge.to_string().contains("text is longer"), "{huge}");
    for (source, reason) in [
        ("", "the module is missing"),
        ("program", "a text in quotes"),
        ("program \"x\" {\n", "closing `}`"),
        ("graph \"x\" {}", "end of the line"),
    ] {
        assert!(read(source).unwrap_err().to_string().contains(reason), "{source}");
    }
}

#[test]
fn thousands_of_faults_take_no_time() {
    let line = format!("%1 = relu {}%9\n", "%9, ".repeat(1000));
    let errors = read(&format!("program \"x\" {{\n{}}}", line.repeat(1000))).unwrap_err();
    assert_eq!(errors.items().len(), diag::MAX_DIAGNOSTICS);
    assert!(errors.to_string().len() < 100_000);
}

fn attr() -> impl Strategy<Value = Attr> {
    let finite = any::<f64>().prop_filter("finite", |v| v.is_finite());
    let narrow = any::<f32>().prop_filter("finite", |v| v.is_finite());
    let values = proptest::collection::vec(narrow.clone(), 0..12);
    let leaf = prop_oneof![
        any::<i64>().prop_map(Attr::Int),
        (-3i64..3).prop_map(Attr::Int),
        finite.prop_map(Attr::Float),
        narrow.prop_map(Attr::from),
        "[d-z][a-z0-9_]{0,8}"
            .prop_filter("a number's name", |w| w != "inf" && w != "nan")
            .prop_map(Attr::Word),
        (0u32..3).prop_map(Attr::Constant),
        (1u16.., 1u16..).prop_map(|(h, w)| Attr::Patch(Patch::Block { h, w })),
        Just(Attr::Patch(Patch::Identity)),
        (1usize..99, 1usize..99, 1usize..99).prop_map(|(c, h, w)| Attr::Shape(Shape::new(c, h, w))),
        any::<String>().prop_map(Attr::Text),
        values.prop_map(|v| Attr::Tensor(Tensor::vector(v))),
    ];
    leaf.prop_recursive(3, 60, 6, |inner| {
        let run = (inner, 1usize..9).prop_map(|(a, n)| vec![a; n]);
        let steps = (any::<i64>(), -5i64..5, 0usize..9).prop_map(|(first, step, n)| {
            (0..n as i64)
                .map(|i| Attr::Int(first.saturating_add(i * step)))
                .collect()
        });
        proptest::collection::vec(prop_oneof![run, steps], 0..5).prop_map(|parts| Attr::List(parts.concat()))
    })
}

fn attrs() -> impl Strategy<Value = Attrs> {
    proptest::collection::vec(attr(), 0..4).prop_map(|values| {
        let named = values.into_iter().enumerate();
        named.fold(Attrs::new(), |attrs, (i, value)| {
            attrs.with(&format!("a{i}"), value)
        })
    })
}

/// Bits too: `PartialEq` takes -0.0 for 0.0.
fn same(a: &Module, b: &Module) -> bool {
    a == b && format!("{a:?}") == format!("{b:?}")
}

proptest! {
    #[test]
    fn any_module_reads_back_to_the_bit(
        name in any::<String>(), attrs in proptest::collection::vec((attrs(), attrs()), 1..5), origin in any::<String>(),
        numbers in proptest::collection::vec(any::<i32>(), 0..12), narrow in any::<f32>(), inline in 0usize..12,
    ) {
        let narrow = if narrow.is_finite() { narrow.abs() } else { 1.0 };
        let random = Literal::Random { seed: u64::MAX, limit: Some(Number::from(narrow)) };
        let literals = [Some(Literal::of(&Tensor::vector(numbers.clone()), inline)), Some(random), None];
        let declared = literals.into_iter().enumerate().map(|(id, literal)| Declaration {
            id: id as u32, kind: "weight".into(), dims: vec![numbers.len()], literal, comment: None,
        });
        let statements = attrs.into_iter().enumerate().map(|(i, (attrs, marks))| Statement {
            result: Some(7 * i as u32),
            op: "op".into(),
            operands: (0..i as u32).map(|j| 7 * j).collect(),
            ty: Some(Type { attrs: attrs.clone(), ..Type::of("act", Shape::new(1, 2, 3)) }),
            origin: Some(origin.clone()),
            attrs, marks, comment: None,
        });
        let mut store = TensorStore::new();
        let module = Module {
            kind: "program".into(), name, properties: Attrs::new().with("p", vec![1i64, 2]),
            declarations: declared.collect(), statements: statements.collect(),
        };
        for statement in &module.statements {
            store.insert_attrs(&statement.attrs);
            store.insert_attrs(&statement.marks);
        }
        let text = module.to_text(&TextOptions { inline_values: inline });
        let read = parse_module(&text, &store).finish();
        let read = read.map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert!(same(&read, &module), "{text}");
        prop_assert_eq!(read.to_text(&TextOptions { inline_values: inline }), text);
    }

    #[test]
    fn floats_read_back_to_the_bit(bits in any::<u64>(), narrow in any::<u32>()) {
        for value in [f64::from_bits(bits), f64::from(f32::from_bits(narrow))] {
            let module = Module { properties: Attrs::new().with("x", value), kind: "p".into(), ..Module::default() };
            let read = read(&module.to_text(&TextOptions::default()));
            match read {
                Ok(read) => match read.properties.get("x") {
                    Some(Attr::Float(back)) => prop_assert_eq!(back.to_bits(), value.to_bits()),
                    other => prop_assert!(false, "{:?}", other),
                },
                Err(_) => prop_assert!(!value.is_finite()),
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = read(&text).map_err(|e| e.to_string());
        let _ = read(&format!("graph \"x\" {{\n%0 = {text}\n}}")).map_err(|e| e.to_string());
    }

    #[test]
    fn no_mixture_of_tokens_makes_the_reader_panic(
        parts in proptest::collection::vec(prop_oneof![
            Just("%0"), Just("%1 ="), Just("relu"), Just("{"), Just("}"), Just("["), Just("]"), Just("="), Just(","),
            Just("\n"), Just("const c0 :"), Just("f32"), Just("[2]"), Just("random("), Just(")"), Just("*"), Just(".."),
            Just(":"), Just("9"), Just("-1"), Just("2x2"), Just("1x1x1"), Just("act<"), Just(">"), Just("@\"a\""),
            Just("#0123456789abcdef"), Just("c0"), Just("1.5f"), Just("18446744073709551616"), Just("\""),
        ], 0..60),
    ) {
        let _ = read(&format!("graph \"x\" {{\n{}", parts.join(" "))).map_err(|e| e.to_string());
        let _ = read(&parts.concat()).map_err(|e| e.to_string());
    }

    #[test]
    fn no_change_of_a_valid_text_makes_the_reader_panic(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<char>(), 0u8..3), 1..6),
    ) {
        let mut chars: Vec<char> = PROGRAM.chars().collect();
        for (at, c, how) in edits {
            let at = at.index(chars.len());
            match how {
                0 => chars[at] = c,
                1 => chars.insert(at, c),
                _ => drop(chars.remove(at)),
            }
        }
        let text: String = chars.into_iter().collect();
        if let Ok(module) = read(&text) {
            let printed = module.to_text(&TextOptions::default());
            prop_assert!(same(&read(&printed).expect("printed"), &module), "{text}");
        }
    }
}
