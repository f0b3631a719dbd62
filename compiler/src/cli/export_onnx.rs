//! `trefoil export-onnx`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use trefoil_ir::Verified;
use trefoil_ir::nn::Graph;
use trefoil_runtime::amount::{counted, size};

use super::files::{OWNER_FILE, check_writable, read_assignment, read_owner, write_private};
use super::import::ImportArguments;
use super::print::say;
use crate::export::{ExportOptions, export};
use crate::import::import_file;
use crate::patches::{Assignment, with_patches};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil export-onnx plans -o twin.onnx
  trefoil export-onnx assignment.json --model resnet.onnx -o twin.onnx")]
pub(super) struct Arguments {
    /// A folder that `trefoil compile` wrote, or an assignment (JSON) for the network of --model.
    source: PathBuf,
    /// The network of the assignment (ONNX).
    #[arg(long, value_name = "MODEL.onnx")]
    model: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArguments,
    /// The ONNX file to write.
    #[arg(short, long = "out", alias = "output", value_name = "TWIN.onnx")]
    output: PathBuf,
}

/// A plain network, the patches of its ReLUs, and what the network's graph does not say.
struct Source {
    network: Graph,
    assignment: Assignment,
    options: ExportOptions,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    check_output(&arguments)?;
    let source = if arguments.source.is_dir() {
        of_folder(&arguments)?
    } else {
        of_model(&arguments)?
    };
    let patched = with_patches(&source.network, &source.assignment)
        .with_context(|| format!("the assignment of {} cannot be used", arguments.source.display()))?;
    let bytes = export(&verified(patched)?, &source.options)?;
    write_private(&arguments.output, &bytes)?;
    say!(
        "{}: {}, {} with patches",
        arguments.output.display(),
        size(bytes.len() as u64),
        counted(source.assignment.layers().count(), "ReLU")
    );
    Ok(())
}

/// The file that is written must be none of those that are read.
fn check_output(arguments: &Arguments) -> Result<()> {
    let Ok(output) = fs::canonicalize(&arguments.output) else {
        return check_writable(&arguments.output);
    };
    let read = [Some(&arguments.source), arguments.model.as_ref()];
    for path in read.into_iter().flatten() {
        if fs::canonicalize(path).is_ok_and(|path| path == output) {
            bail!(
                "{} would be overwritten: give another file with -o",
                path.display()
            );
        }
    }
    check_writable(&arguments.output)
}

fn of_folder(arguments: &Arguments) -> Result<Source> {
    if arguments.model.is_some() {
        bail!("--model belongs to an assignment: a folder of plans holds its own network");
    }
    if arguments.import.input_shape.is_some() || arguments.import.output_name.is_some() {
        bail!("--input-shape and --output-name belong to --model: a folder of plans states both");
    }
    let owner = read_owner(&arguments.source)?;
    let assignment = owner.assignment.as_deref().map(Assignment::parse).transpose();
    Ok(Source {
        network: owner.imported,
        assignment: assignment
            .with_context(|| format!("{} is damaged", arguments.source.join(OWNER_FILE).display()))?
            .unwrap_or_default(),
        options: ExportOptions::default(),
    })
}

fn of_model(arguments: &Arguments) -> Result<Source> {
    let Some(model) = &arguments.model else {
        bail!(
            "{} is no folder of plans, and an assignment needs its network: name it with --model MODEL.onnx",
            arguments.source.display()
        );
    };
    let imported = import_file(model, &arguments.import.options())?;
    Ok(Source {
        assignment: read_assignment(&arguments.source)?,
        options: ExportOptions {
            input_rank: Some(imported.input_dims.len()),
        },
        network: imported.graph.into_inner(),
    })
}

fn verified(graph: Graph) -> Result<Verified<Graph>> {
    graph.verify().map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the network with its patches is unsound: {}", faults.join("; "))
    })
}
