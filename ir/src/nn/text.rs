//! The text form of NN graphs, written with the parts of [`crate::text`].
//!
//! ```text
//! graph "tiny" {
//!   %0 = input {shape=[3, 8, 8]} : 3x8x8 @"image"
//!   %1 = conv2d %0 {weight=f32[4,3,3,3] random(1), pads=[1, 1, 1, 1]} : 4x8x8 @"/conv/Conv"
//!   %2 = block_relu %1 {patches=[2x2*3, 0x1]} : 4x8x8 @"/relu/Relu" counted 4x16x16 range [1.5*4]
//!   %3 = output %2 {dims=[1, 4, 8, 8]} : 4x8x8 @"features"
//! }
//! ```
//!
//! Behind the origin may stand `counted`, the shape on which DReLUs are counted, and `range`, the
//! calibrated magnitudes by channel. A type may be left out where a person writes; one that is
//! stated must be what the operator makes of its operands.

use std::collections::HashMap;
use std::error::Error;

use super::{Graph, GraphError, Node, NodeId, Op, Origin};
use crate::Verified;
use crate::geometry::Shape;
use crate::text::{
    Attrs, Diagnostics, Module, Parsed, Reporter, Span, Statement, StatementSpans, TensorStore, TextOptions,
    Type, did_you_mean, filetest, parse_module,
};

const KIND: &str = "graph";
const COUNTED: &str = "counted";
const RANGE: &str = "range";

impl Graph {
    /// The graph as text, small tensors inline and others by hash; see [`Graph::tensors`].
    ///
    /// Values keep their numbers, so that they can be told from messages; what reads the text back
    /// counts anew, which is the same for a graph without gaps ([`Graph::compacted`]).
    pub fn to_text(&self) -> String {
        self.to_text_with(&TextOptions::default())
    }

    /// The graph as text, printed in a given way.
    pub fn to_text_with(&self, options: &TextOptions) -> String {
        // Values on a cycle come last: a text for the eye, which does not read back.
        let mut order = self.order();
        let mut listed = vec![false; self.id_bound()];
        order.iter().for_each(|id| listed[id.index()] = true);
        order.extend(self.ids().into_iter().filter(|id| !listed[id.index()]));
        let module = Module {
            kind: KIND.to_owned(),
            name: self.name.clone(),
            statements: order.into_iter().map(|id| self.statement(id)).collect(),
            ..Module::default()
        };
        module.to_text(options)
    }

    fn statement(&self, id: NodeId) -> Statement {
        let Node {
            op,
            shape,
            origin,
            range,
        } = self.node(id);
        let number = |id: NodeId| id.index() as u32;
        Statement {
            result: Some(number(id)),
            op: op.name().to_owned(),
            operands: self.inputs(id).into_iter().map(number).collect(),
            attrs: op.attrs(),
            ty: Some(Type::bare(*shape)),
            origin: Some(origin.name.clone()).filter(|name| !name.is_empty()),
            marks: Attrs::new()
                .with_some(COUNTED, origin.counted_on)
                .with_some(RANGE, range.clone()),
            comment: None,
        }
    }

    /// All constant tensors of the graph: what its text leaves out.
    pub fn tensors(&self) -> TensorStore {
        let mut store = TensorStore::new();
        for id in self.ids() {
            store.insert_attrs(&self.node(id).op.attrs());
        }
        store
    }

    /// Reads a graph.
    ///
    /// # Errors
    /// All faults of the text, of attributes and of types. A graph that is read can still be
    /// one that [`Graph::verify`] refuses.
    pub fn parse(source: &str, store: &TensorStore) -> Result<Graph, Diagnostics> {
        let Reading { graph, reporter, .. } = read(source, store);
        reporter.finish(graph)
    }

    /// Reads a graph and verifies it.
    ///
    /// # Errors
    /// The faults of the text or, if there are none, those that the verifier finds.
    pub fn parse_verified(source: &str, store: &TensorStore) -> Result<Verified<Graph>, Diagnostics> {
        let Reading {
            graph,
            mut reporter,
            lines,
            header,
        } = read(source, store);
        if !reporter.is_empty() {
            // Nothing of a graph with gaps would be worth saying.
            return Err(reporter.into_diagnostics());
        }
        match graph.verify() {
            Ok(verified) => Ok(verified),
            Err(faults) => {
                for fault in faults {
                    let line = fault.node.and_then(|node| lines.get(node.index()));
                    reporter.report(line.copied().unwrap_or(header), fault.message);
                }
                Err(reporter.into_diagnostics())
            }
        }
    }
}

/// Reads and verifies `source` and compares what is found with its `; error: ...` directives: see
/// [`filetest`].
///
/// # Errors
/// Every line on which the two differ.
pub fn check_filetest(source: &str) -> Result<(), String> {
    filetest::compare(source, &Graph::parse_verified(source, &TensorStore::new()))
}

struct Reading<'s> {
    graph: Graph,
    reporter: Reporter<'s>,
    /// The operator of each node.
    lines: Vec<Span>,
    header: Span,
}

fn read<'s>(source: &'s str, store: &TensorStore) -> Reading<'s> {
    let mut parsed = parse_module(source, store);
    parsed.expect_kind(KIND);
    refuse_constants(&mut parsed);
    let Parsed {
        module,
        map,
        reporter,
    } = parsed;
    let mut reader = Reader {
        graph: Graph::new(module.name),
        reporter,
        nodes: HashMap::new(),
        lines: Vec::new(),
    };
    for (statement, spans) in module.statements.into_iter().zip(&map.statements) {
        reader.statement(statement, spans);
    }
    Reading {
        graph: reader.graph,
        reporter: reader.reporter,
        lines: reader.lines,
        header: map.header,
    }
}

fn refuse_constants(parsed: &mut Parsed<'_>) {
    for &span in &parsed.map.declarations {
        parsed.reporter.report(
            span,
            "a graph declares no constants: tensors stand with their operators",
        );
    }
    for (name, span) in &parsed.map.properties {
        parsed
            .reporter
            .report(*span, format!("a graph has no property `{name}`"));
    }
}

struct Reader<'s> {
    graph: Graph,
    reporter: Reporter<'s>,
    /// Nodes by their numbers in the text; those that were at fault are missing.
    nodes: HashMap<u32, NodeId>,
    lines: Vec<Span>,
}

impl Reader<'_> {
    fn statement(&mut self, statement: Statement, spans: &StatementSpans) {
        let op = self.op(&statement.op, statement.attrs, spans);
        let marks = self.marks(statement.marks, spans);
        let Some(number) = statement.result else {
            let message = "every operator defines a value: write %3 = in front of it";
            return self.reporter.report(spans.op, message);
        };
        // An operand that is missing has been reported where it was to be defined.
        let nodes = statement.operands.iter().map(|n| self.nodes.get(n).copied());
        let (Some(op), Some((counted_on, range)), Some(inputs)) =
            (op, marks, nodes.collect::<Option<Vec<_>>>())
        else {
            return;
        };
        let name = statement.origin.unwrap_or_default();
        match self.graph.add(op, &inputs, Origin { name, counted_on }) {
            Ok(id) => {
                self.graph.node_mut(id).range = range;
                self.nodes.insert(number, id);
                self.lines.push(spans.op);
                self.check_type(id, statement.ty, spans);
            }
            Err(error) => self.reporter.report(spans.op, without_origin(&error)),
        }
    }

    fn op(&mut self, name: &str, attrs: Attrs, spans: &StatementSpans) -> Option<Op> {
        match Op::from_attrs(name, attrs) {
            Ok(Some(op)) => Some(op),
            Ok(None) => {
                let hint = did_you_mean(name, Op::NAMES.iter().copied());
                let shown: String = name.chars().take(40).collect();
                let message = format!("unknown operator `{shown}`");
                self.reporter.report_with_hint(spans.op, message, hint);
                None
            }
            Err(error) => {
                self.reporter.report(spans.of_error(&error), error.to_string());
                None
            }
        }
    }

    fn marks(
        &mut self,
        mut marks: Attrs,
        spans: &StatementSpans,
    ) -> Option<(Option<Shape>, Option<Vec<f32>>)> {
        let counted_on = marks.optional(COUNTED);
        let range = marks.optional(RANGE);
        let read = counted_on.and_then(|c| Ok((c, range?)));
        match read.and_then(|read| marks.finish().map(|()| read)) {
            Ok(read) => Some(read),
            Err(error) => {
                self.reporter.report(spans.of_error(&error), error.to_string());
                None
            }
        }
    }

    fn check_type(&mut self, id: NodeId, stated: Option<Type>, spans: &StatementSpans) {
        let inferred = Type::bare(self.graph.node(id).shape);
        if let Some(stated) = stated.filter(|stated| *stated != inferred) {
            let message = format!("the type is stated as {stated} and must be {inferred}");
            self.reporter.report(spans.ty_or_op(), message);
        }
    }
}

/// The fault alone: the line that is quoted shows operator and origin.
fn without_origin(error: &GraphError) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests;
