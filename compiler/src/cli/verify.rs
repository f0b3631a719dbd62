//! `trefoil verify`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::json;
use trefoil_ir::mpc::Program;
use trefoil_ir::mpc::privacy::{Breach, Report};
use trefoil_ir::plan::{ClientPlan, HelperPlan, Owner, PlanError, Role, ServerPlan, decode_role};
use trefoil_ir::text::TensorStore;
use trefoil_runtime::amount::counted;

use super::files;
use super::print::say;
use super::{Format, say_json};
use crate::import;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil verify plans                     # all plans of a folder
  trefoil verify plans/server.plan --messages
  trefoil verify program.tir --format json

A party proves the same of its plan whenever it loads it, and refuses one of which it cannot.")]
pub(super) struct Arguments {
    /// A .plan file, a folder of plans, or the text of a three-party program.
    file: PathBuf,
    /// Lists every message, with the mask of each of its fields.
    #[arg(long)]
    messages: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// A file, and what was proved of the program in it.
#[derive(Serialize)]
struct Checked {
    file: String,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let mut checked = match arguments.file.is_dir() {
        true => check_folder(&arguments.file)?,
        false => vec![check(&arguments.file)?],
    };
    if !arguments.messages {
        checked.iter_mut().for_each(|plan| plan.report.messages.clear());
    }
    match arguments.format {
        Format::Text => print(&checked)?,
        Format::Json => say_json(json!({ "kind": "proof", "plans": checked }))?,
    }
    let leaks: Vec<&str> = checked
        .iter()
        .filter(|plan| !plan.report.proved)
        .map(|plan| plan.file.as_str())
        .collect();
    if !leaks.is_empty() {
        bail!(
            "{} cannot be shown to tell nothing: do not run it, and compile the model anew",
            leaks.join(", ")
        );
    }
    Ok(())
}

fn check_folder(folder: &Path) -> Result<Vec<Checked>> {
    let mut checked = Vec::new();
    for role in [Role::Client, Role::Server, Role::Helper, Role::Owner] {
        let file = folder.join(format!("{}.plan", role.word()));
        if file.exists() {
            checked.push(check(&file)?);
        }
    }
    if checked.is_empty() {
        bail!(
            "{} holds no plans: give a folder that `trefoil compile` wrote",
            folder.display()
        );
    }
    Ok(checked)
}

fn check(file: &Path) -> Result<Checked> {
    let bytes = import::read(file)?;
    let report = if files::is_plan(&bytes) {
        report_of_plan(&bytes)
    } else {
        report_of_text(&bytes, &file.to_string_lossy())
    };
    Ok(Checked {
        file: file.display().to_string(),
        report: report.with_context(|| format!("{} cannot be verified", file.display()))?,
    })
}

fn report_of_plan(bytes: &[u8]) -> Result<Report> {
    let report = match decode_role(bytes)? {
        Role::Client => ClientPlan::decode(bytes).map(|plan| Report::of(plan.program())),
        Role::Server => ServerPlan::decode(bytes).map(|plan| Report::of(plan.program())),
        Role::Helper => HelperPlan::decode(bytes).map(|plan| Report::of(plan.program())),
        Role::Owner => return report_of_owner(Owner::decode(bytes)?),
    };
    match report {
        Err(PlanError::Leak(breaches)) => Ok(refused(breaches)),
        other => Ok(other?),
    }
}

fn report_of_owner(owner: Owner) -> Result<Report> {
    match owner.program.verify() {
        Ok(program) => Ok(Report::of(&program)),
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            bail!("its program is unsound: {}", faults.join("; "))
        }
    }
}

/// The report on a plan that does not decode, since it would leak.
fn refused(breaches: Vec<Breach>) -> Report {
    Report {
        program: String::new(),
        proved: false,
        messages: Vec::new(),
        proof: None,
        breaches,
    }
}

fn report_of_text(bytes: &[u8], name: &str) -> Result<Report> {
    let Ok(source) = std::str::from_utf8(bytes) else {
        bail!("it is neither a plan nor the text of a three-party program");
    };
    match Program::parse_verified(source, &TensorStore::of_stand_ins()) {
        Ok((program, _)) => Ok(Report::of(&program)),
        Err(faults) => bail!(
            "it is no plan, and as the text of a three-party program it has faults\n{}",
            faults.in_file(name)
        ),
    }
}

/// The numbers once, if they are the same for all.
fn print(checked: &[Checked]) -> Result<()> {
    for (at, plan) in checked.iter().enumerate() {
        let report = &plan.report;
        let verdict = match report.proved {
            true => "private".to_owned(),
            false => format!("NOT private: {}", counted(report.breaches.len(), "leak")),
        };
        say!("{}: {verdict}", plan.file);
        let is_told = at > 0 && report.proof == checked[0].report.proof && report.messages.is_empty();
        if !report.proved || !is_told {
            say!("{report}");
        }
    }
    Ok(())
}
