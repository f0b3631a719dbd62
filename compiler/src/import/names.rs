//! The names of a file, before anybody reads them: what acts on a terminal is escaped.
//!
//! Node, value and operator names end in messages, reports, plans and the logs of servers.

use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use trefoil_ir::text::{is_printable, printable};

/// Makes all names of a model [`printable`]. Different names stay different: where one must change,
/// backslashes are escaped in all.
pub(super) fn make_printable(model: &mut ModelProto) {
    let mut all_are = true;
    each_name(model, &mut |name| all_are &= is_printable(name));
    if !all_are {
        each_name(model, &mut |name| {
            let escaped = printable(&name.replace('\\', "\\\\")).into_owned();
            *name = escaped;
        });
    }
}

type Visit<'a> = &'a mut dyn FnMut(&mut String);

fn each_name(model: &mut ModelProto, visit: Visit<'_>) {
    visit(&mut model.producer_name);
    visit(&mut model.producer_version);
    if let Some(graph) = &mut model.graph {
        of_graph(graph, visit);
    }
}

fn of_graph(graph: &mut GraphProto, visit: Visit<'_>) {
    visit(&mut graph.name);
    graph.node.iter_mut().for_each(|node| of_node(node, visit));
    let sparse = graph.sparse_initializer.iter_mut();
    let sparse = sparse.filter_map(|tensor| tensor.values.as_mut());
    let constants = graph.initializer.iter_mut().chain(sparse);
    constants.for_each(|tensor| visit(&mut tensor.name));
    let ends = graph.input.iter_mut().chain(&mut graph.output);
    let values = ends.chain(&mut graph.value_info);
    values.for_each(|value| of_value(value, visit));
}

fn of_node(node: &mut NodeProto, visit: Visit<'_>) {
    visit(&mut node.name);
    visit(&mut node.op_type);
    visit(&mut node.domain);
    let values = node.input.iter_mut().chain(&mut node.output);
    values.for_each(&mut *visit);
    node.attribute
        .iter_mut()
        .for_each(|attribute| of_attribute(attribute, visit));
}

/// The graphs in attributes, of If and Loop, are read by nobody.
fn of_attribute(attribute: &mut AttributeProto, visit: Visit<'_>) {
    visit(&mut attribute.name);
    visit(&mut attribute.ref_attr_name);
}

fn of_value(value: &mut ValueInfoProto, visit: Visit<'_>) {
    visit(&mut value.name);
    let ty = value.r#type.as_mut().and_then(|ty| ty.value.as_mut());
    let Some(Type::TensorType(tensor)) = ty else {
        return;
    };
    for dim in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim) {
        if let Some(Dim::DimParam(name)) = &mut dim.value {
            visit(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::{graph, node};

    fn model(nodes: Vec<NodeProto>) -> ModelProto {
        ModelProto {
            graph: Some(graph(nodes)),
            producer_name: "p".to_owned(),
            ..ModelProto::default()
        }
    }

    #[test]
    fn printable_names_stay_as_they_are() {
        let before = model(vec![
            node("Relu", &["x"], &["a\\u{1b}\\"]),
            node("Relu", &["a\\u{1b}\\"], &["y"]),
        ]);
        let mut after = before.clone();
        make_printable(&mut after);
        assert_eq!(after, before);
    }

    /// A name in plain text that looks like another's escaped form is still another name.
    #[test]
    fn escaped_names_stay_apart() {
        let mut model = model(vec![
            node("Relu\n", &["x"], &["a\u{1b}"]),
            node("Relu", &["a\u{1b}"], &["a\\u{1b}"]),
            node("Relu", &["a\\u{1b}"], &["y"]),
        ]);
        make_printable(&mut model);
        let nodes = &model.graph.as_ref().unwrap().node;
        assert_eq!(nodes[0].op_type, "Relu\\n");
        assert_eq!(nodes[0].output, ["a\\u{1b}"]);
        assert_eq!(nodes[1].input, nodes[0].output);
        assert_eq!(nodes[1].output, ["a\\\\u{1b}"]);
        assert_eq!(nodes[2].input, nodes[1].output);
        each_name(&mut model, &mut |name| assert!(is_printable(name), "{name:?}"));
    }
}
