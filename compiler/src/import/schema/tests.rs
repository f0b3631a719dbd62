//! What is refused before an importer sees it.

use crate::import::testing::{float, int, ints, node, string, with};

use super::*;

fn fault(node: &NodeProto, opset: i64) -> String {
    match check(node, opset) {
        Ok(()) => String::new(),
        Err(Refusal::Invalid(error)) => error.to_string(),
        Err(Refusal::Unsupported { reason, .. }) => reason,
    }
}

fn pool(attributes: Vec<AttributeProto>) -> NodeProto {
    let all = [vec![ints("kernel_shape", &[2, 2])], attributes].concat();
    with(node("MaxPool", &["x"], &["y"]), all)
}

#[test]
fn attributes_have_their_types_and_values() {
    for good in [
        vec![],
        vec![int("ceil_mode", 1), string("auto_pad", "SAME_LOWER")],
        vec![ints("strides", &[2, 2]), int("storage_order", 0)],
    ] {
        assert_eq!(fault(&pool(good), 13), "");
    }
    let untyped = AttributeProto {
        r#type: AttributeType::Undefined as i32,
        ..int("ceil_mode", 1)
    };
    let borrowed = AttributeProto {
        ref_attr_name: "outer".to_owned(),
        ..int("ceil_mode", 1)
    };
    for (bad, expected) in [
        (int("ceil_mode", 65535), "`ceil_mode` must be 0 or 1"),
        (float("ceil_mode", 1.0), "`ceil_mode` must be 0 or 1"),
        (untyped, "`ceil_mode` must be 0 or 1"),
        (borrowed, "`ceil_mode` must be 0 or 1"),
        (
            string("auto_pad", "SAME"),
            "one of NOTSET, SAME_UPPER, SAME_LOWER, VALID",
        ),
        (int("strides", 2), "`strides` must be a list of integers"),
        (ints("kernel_shape", &[2, 2]), "`kernel_shape` is given twice"),
        (int("momentum\n", 2), "no attribute `momentum\\n` in opset 13"),
    ] {
        let said = fault(&pool(vec![bad]), 13);
        assert!(said.contains(expected), "{said}");
    }
    let bare = node("MaxPool", &["x"], &["y"]);
    assert!(fault(&bare, 13).contains("`kernel_shape` must be given"));
}

#[test]
fn attributes_belong_to_their_opsets() {
    let axes = with(node("ReduceMean", &["x"], &["y"]), vec![ints("axes", &[2, 3])]);
    assert_eq!(fault(&axes, 17), "");
    assert!(fault(&axes, 18).contains("no attribute `axes` in opset 18"));
    let ceil = pool(vec![int("ceil_mode", 0)]);
    assert!(fault(&ceil, 9).contains("no attribute `ceil_mode` in opset 9"));
    let limits = with(node("Clip", &["x"], &["y"]), vec![float("min", 0.0)]);
    assert_eq!(fault(&limits, 10), "");
    assert!(fault(&limits, 11).contains("no attribute `min`"));
    let needed = node("Unsqueeze", &["x"], &["y"]);
    assert!(fault(&needed, 12).contains("`axes` must be given"));
    assert!(fault(&needed, 13).contains("1 operands are given, and the operator takes 2 in opset 13"));
}

#[test]
fn operands_and_results_are_counted() {
    for (bad, opset, expected) in [
        (
            node("Relu", &["x", "x"], &["y"]),
            13,
            "2 operands are given, and the operator takes 1",
        ),
        (node("Conv", &["x"], &["y"]), 13, "takes 2 to 3"),
        (node("Concat", &[], &["y"]), 13, "takes at least 1"),
        (node("Clip", &["x", "a"], &["y"]), 10, "takes 1 in opset 10"),
        (node("ReduceMax", &["x", "a"], &["y"]), 17, "takes 1 in opset 17"),
        (node("Add", &["x", "x"], &["y", "z"]), 13, "2 results are named"),
        (node("Add", &["x", "x"], &[]), 13, "0 results are named"),
        (
            node("GreaterOrEqual", &["a", "b"], &["y"]),
            11,
            "opset 11 has no such operator",
        ),
    ] {
        let said = fault(&bad, opset);
        assert!(said.contains(expected), "{} {said}", bad.op_type);
    }
    let hollow = node("Resize", &["x", "", "k"], &["y"]);
    assert!(fault(&hollow, 12).contains("operand 1 is missing"));
    assert_eq!(fault(&hollow, 13), "");
    let split = node("Split", &["x"], &["a", "b", "c"]);
    assert_eq!(fault(&split, 13), "");
}

#[test]
fn what_has_no_entry_is_refused() {
    let said = fault(&node("Relu6", &["x"], &["y"]), 13);
    assert!(said.contains("the operator is not supported"), "{said}");
}

/// Every operator that is imported or folded has its entry, once.
#[test]
fn the_table_is_whole() {
    use crate::import::op::foldable::is_foldable;
    use crate::import::op::tail::is_known;
    let mut names: Vec<&str> = table::TABLE.iter().map(|entry| entry.name).collect();
    assert!(names.is_sorted());
    names.dedup();
    assert_eq!(names.len(), table::TABLE.len());
    for entry in table::TABLE {
        let known = node(entry.name, &[], &[]);
        let importer = crate::import::op::importer(&known);
        let is_imported = importer.is_ok_and(|i| i.is_some()) || is_known(entry.name);
        assert!(is_imported || is_foldable(entry.name), "{}", entry.name);
        assert!(entry.operands.is_sorted_by_key(|o| o.since));
    }
    for op in crate::import::op::foldable::FOLDABLE {
        assert!(names.contains(op), "{op}");
    }
}
