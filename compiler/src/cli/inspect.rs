//! `trefoil inspect`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use trefoil_ir::mpc::Program;
use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::nn::op::Output;
use trefoil_ir::nn::{Graph, Op};
use trefoil_ir::plan::{ClientPlan, Digest, HelperPlan, Owner, PlanId, Role, ServerPlan, decode_role};
use trefoil_ir::tail::Tail;
use trefoil_ir::text::TensorStore;

use super::Format;
use super::print::say;
use crate::import::{ImportOptions, Imported, import_bytes};
use crate::pass::count::count;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// An .onnx file, a .plan file, or a text of either language.
    file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Shape of the input where an ONNX file leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_delimiter = ',')]
    input_shape: Option<Vec<usize>>,
    /// The output to show, where an ONNX file has several.
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let path = arguments.file.display();
    let bytes = fs::read(&arguments.file).with_context(|| format!("{path} cannot be read"))?;
    let shown = if bytes.starts_with(b"TREFOIL\0") {
        show_plan(&bytes).with_context(|| format!("{path} cannot be shown"))?
    } else if let Some(source) = as_text(&bytes) {
        show_text(source, &arguments.file.to_string_lossy())?
    } else {
        let options = ImportOptions {
            input_shape: arguments.input_shape,
            output: arguments.output_name,
        };
        let imported = import_bytes(&bytes, arguments.file.parent(), &options)
            .with_context(|| format!("{path} is no plan, no text, and cannot be imported as ONNX"))?;
        show_model(&imported)
    };
    match arguments.format {
        Format::Text => say!("{}", shown.text.trim_end()),
        Format::Json => say!("{}", serde_json::to_string_pretty(&shown.json)?),
    }
    Ok(())
}

/// Both forms of what is shown.
struct Shown {
    text: String,
    json: Value,
}

/// The source, if the file looks like a text of one of the two languages.
fn as_text(bytes: &[u8]) -> Option<&str> {
    let source = std::str::from_utf8(bytes).ok()?;
    let first = source
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with("//") && !l.starts_with(';'))?;
    (first.starts_with("graph") || first.starts_with("program")).then_some(source)
}

fn show_text(source: &str, name: &str) -> Result<Shown> {
    // Dumps name large tensors by their hashes; their values are not needed to show them.
    let store = TensorStore::of_stand_ins();
    let is_program = source.lines().any(|l| l.trim_start().starts_with("program"));
    if is_program {
        return match Program::parse_verified(source, &store) {
            Ok((program, _)) => Ok(show_program(&program, None)),
            Err(faults) => bail!("the text has faults\n{}", faults.in_file(name)),
        };
    }
    match Graph::parse_verified(source, &store) {
        Ok(graph) => Ok(Shown {
            text: source.to_owned(),
            ..show_graph(&graph)
        }),
        Err(faults) => bail!("the text has faults\n{}", faults.in_file(name)),
    }
}

fn show_graph(graph: &Graph) -> Shown {
    Shown {
        text: graph.to_text(),
        json: json!({ "kind": "graph", "name": graph.name, "counts": count(graph, graph) }),
    }
}

/// A network, and the assignment that its file carries.
fn show_model(imported: &Imported) -> Shown {
    let mut shown = show_graph(&imported.graph);
    if let Some(assignment) = &imported.assignment {
        let count = assignment.layers().count();
        let word =
            format!("// the file carries an assignment for {count} ReLUs; this is the network without it\n");
        shown.text.insert_str(0, &word);
        shown.json["assignment"] = json!(assignment);
    }
    shown
}

fn show_plan(bytes: &[u8]) -> Result<Shown> {
    let role = decode_role(bytes)?;
    let shown = match role {
        Role::Client => {
            let plan = ClientPlan::decode(bytes)?;
            let mut shown = show_program(plan.program(), Some((role, plan.plan_id(), Some(plan.digest()))));
            shown.json["classes"] = json!(plan.part.output.classes);
            shown.text += &tail_text(&plan.part.output.tail);
            shown
        }
        Role::Server => {
            let plan = ServerPlan::decode(bytes)?;
            show_program(plan.program(), Some((role, plan.plan_id(), Some(plan.digest()))))
        }
        Role::Helper => {
            let plan = HelperPlan::decode(bytes)?;
            show_program(plan.program(), Some((role, plan.plan_id(), Some(plan.digest()))))
        }
        Role::Owner => {
            let owner = Owner::decode(bytes)?;
            show_program(&owner.program, Some((role, owner.plan_id, None)))
        }
    };
    Ok(shown)
}

fn show_program(program: &Program, plan: Option<(Role, PlanId, Option<Digest>)>) -> Shown {
    let cost = Cost::new(program);
    let mut text = String::new();
    let mut json = json!({
        "kind": "program",
        "name": program.name,
        "steps": program.steps.len(),
        "bytes": cost.bytes(),
        "round_trips": cost.round_trips,
        "drelus": cost.drelus(),
        "macs": cost.macs(),
    });
    if let Some((role, id, digest)) = plan {
        text = format!("// plan of the {}, plan id {id}\n", role.word());
        json["role"] = json!(role.word());
        json["plan_id"] = json!(id.to_string());
        if let Some(digest) = digest {
            text += &format!("// digest of the public part {digest}\n");
            json["digest"] = json!(digest.to_string());
        }
        text += "// nobody learns anything but the client the output, as long as no two parties collude and all follow \
                 the protocol\n";
    }
    text += &format!(
        "// {} bytes an image ({} online), {} round trips, {} signs, {} multiply-adds a party\n",
        cost.bytes().total,
        cost.bytes().online,
        cost.round_trips,
        cost.drelus(),
        cost.macs()
    );
    text += &program.to_text();
    Shown { text, json }
}

/// What the client makes of its logits, as a graph's output has it.
fn tail_text(tail: &Tail) -> String {
    let output = Op::from(Output { tail: tail.clone() });
    format!("// the client's output {}\n", output.attrs())
}
