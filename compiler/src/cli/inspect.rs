//! `trefoil inspect`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use trefoil_ir::mpc::Program;
use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::nn::op::Output;
use trefoil_ir::nn::{Graph, Op};
use trefoil_ir::plan::{ClientPlan, Digest, HelperPlan, Owner, PlanId, Role, ServerPlan, decode_role};
use trefoil_ir::tail::Tail;
use trefoil_ir::text::TensorStore;
use trefoil_runtime::amount::{counted, size};

use super::import::ImportArguments;
use super::print::say;
use super::{Format, files, profile, say_json};
use crate::import::{self, Imported, import_bytes, kind};
use crate::patches::Assignment;
use crate::patches::count::count;
use crate::profile::Profile;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil inspect resnet.onnx              # the network, one op a line
  trefoil inspect plans                    # which plans a folder holds, and what they run
  trefoil inspect plans/server.plan --format json
  trefoil inspect profile                  # what was measured")]
pub(super) struct Arguments {
    /// An .onnx file, a .plan file, a text of either language, a file that `trefoil compile` wrote
    /// beside the plans; or a folder of plans, or a profile.
    file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    import: ImportArguments,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let shown = match arguments.file.is_dir() {
        true => show_folder(&arguments.file)?,
        false => show_file(&arguments)?,
    };
    match arguments.format {
        Format::Text => say!("{}", shown.text.trim_end()),
        Format::Json => say_json(shown.json)?,
    }
    Ok(())
}

/// Both forms of what is shown.
struct Shown {
    text: String,
    json: Value,
}

fn show_file(arguments: &Arguments) -> Result<Shown> {
    let path = arguments.file.display();
    let bytes = import::read(&arguments.file)?;
    if files::is_plan(&bytes) {
        return show_plan(&bytes).with_context(|| format!("{path} cannot be shown"));
    }
    if let Some(source) = as_text(&bytes) {
        return show_text(source, &arguments.file.to_string_lossy());
    }
    if let Some(shown) = show_json(&bytes) {
        return Ok(shown);
    }
    if let Some(kind) = kind(&bytes) {
        bail!(
            "{path} cannot be shown, since it is {kind}: give an ONNX file, a plan, a text of either language, a \
             report, an assignment, or a folder of plans or a profile"
        );
    }
    let imported = import_bytes(&bytes, arguments.file.parent(), &arguments.import.options())
        .with_context(|| format!("{path} is no plan, no text, and cannot be imported as ONNX"))?;
    Ok(show_model(&imported))
}

/// A profile, or which plans there are and what they run.
fn show_folder(folder: &Path) -> Result<Shown> {
    if folder.join("profile.json").is_file() {
        let profile = Profile::open(folder)?;
        return Ok(Shown {
            text: profile::text(&profile),
            json: profile::json(&profile),
        });
    }
    let mut text = String::new();
    let mut plans = Vec::new();
    let mut shown: Option<Shown> = None;
    for role in [Role::Owner, Role::Client, Role::Server, Role::Helper] {
        let path = folder.join(format!("{}.plan", role.word()));
        let Ok(bytes) = import::read(&path) else { continue };
        let plan = show_plan(&bytes).with_context(|| format!("{} cannot be shown", path.display()))?;
        let id = plan.json["plan_id"].as_str().unwrap_or_default();
        text += &format!("// {}: {}, plan {id}\n", path.display(), size(bytes.len() as u64));
        plans.push(json!({ "file": path.display().to_string(), "role": role.word(), "plan_id": id, "bytes": bytes.len() }));
        shown = shown.or(Some(plan));
    }
    let Some(shown) = shown else {
        bail!(
            "{} holds neither plans nor a profile: give a folder that `trefoil compile` or `trefoil calibrate` wrote",
            folder.display()
        );
    };
    Ok(Shown {
        text: text + &shown.text,
        json: json!({ "kind": "folder", "plans": plans, "program": shown.json }),
    })
}

/// A JSON file of a compilation: its report, or an assignment.
fn show_json(bytes: &[u8]) -> Option<Shown> {
    let json: Value = serde_json::from_slice(bytes).ok()?;
    let object = json.as_object()?;
    let (kind, word) = if object.contains_key("plan_id") && object.contains_key("steps") {
        let [model, id] = ["model", "plan_id"].map(|key| object[key].as_str().unwrap_or_default());
        ("report", format!("what the compilation {id} of {model} costs"))
    } else if object.contains_key("images") && object.contains_key("steps") {
        (
            "measurement",
            format!("what a run of {} images took", object["images"]),
        )
    } else if object.contains_key("layers") && object.contains_key("digest") {
        (
            "profile",
            "the head of a profile: give its folder to see what was measured".to_owned(),
        )
    } else {
        let assignment = Assignment::parse(std::str::from_utf8(bytes).ok()?).ok()?;
        (
            "assignment",
            format!(
                "an assignment of patches for {}",
                counted(assignment.layers().count(), "ReLU")
            ),
        )
    };
    Some(Shown {
        text: format!("// {word}\n{}", serde_json::to_string_pretty(&json).ok()?),
        json: json!({ "kind": kind, "content": json }),
    })
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
