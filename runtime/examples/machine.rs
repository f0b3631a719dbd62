//! Fits the constants of [`trefoil_ir::mpc::time::Machine`] to measured runs, and shows how far
//! predictions are off.
//!
//! ```sh
//! trefoil-party local --plans PLANS --data IMAGES --repeat 9 --report a.json     # for several plans
//! trefoil-party local --plans PLANS --data IMAGES --link wan --report b.json     # if you like
//! cargo run --release -p trefoil-runtime --example machine -- a.json b.json ...
//! ```
//!
//! Runs without a link make the fit: on the ideal link a phase takes its work and nothing else, and
//! work is linear in the constants. Least squares on relative errors, with no constant below zero.
//! Runs over links are compared with what their own build predicted: paste the constants into
//! `ir/src/mpc/time/work.rs`, build, run again.

use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use trefoil_ir::mpc::time::{LinkModel, Seconds, Work};

/// Of a report, what is needed here.
#[derive(Deserialize)]
struct Report {
    #[serde(skip)]
    name: String,
    seconds: Measured,
    predicted: Predicted,
}

#[derive(Deserialize)]
struct Measured {
    median: Seconds,
}

#[derive(Deserialize)]
struct Predicted {
    link: String,
    seconds: Seconds,
    work: Phases,
}

#[derive(Deserialize)]
struct Phases {
    offline: Work,
    online: Work,
}

const TERMS: usize = Work::NAMES.len();

fn main() -> ExitCode {
    match run() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String> {
    let reports = std::env::args().skip(1).map(|path| read(&path));
    let reports: Vec<Report> = reports.collect::<Result<_>>()?;
    let ideal = LinkModel::IDEAL.to_string();
    let direct: Vec<&Report> = reports.iter().filter(|r| r.predicted.link == ideal).collect();
    let mut text = String::new();
    if direct.len() >= TERMS {
        let offline = fit(&direct, |r| (r.predicted.work.offline, r.seconds.median.offline));
        let online = fit(&direct, |r| (r.predicted.work.online, r.seconds.median.online));
        write!(
            text,
            "{}{}",
            constants("OFFLINE", &offline),
            constants("ONLINE", &online)
        )?;
        table(&mut text, "fitted over measured", &direct, |report| {
            let work = &report.predicted.work;
            [seconds(&offline, &work.offline), seconds(&online, &work.online)]
        })?;
    } else if reports.is_empty() {
        bail!("give the reports of some runs");
    } else {
        writeln!(
            text,
            "{TERMS} reports of runs without --link are needed for a fit"
        )?;
    }
    let all: Vec<&Report> = reports.iter().collect();
    table(&mut text, "predicted over measured", &all, |report| {
        let Seconds { offline, online, .. } = report.predicted.seconds;
        [offline, online]
    })?;
    Ok(text)
}

fn read(path: &str) -> Result<Report> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let report: Report =
        serde_json::from_str(&text).with_context(|| format!("{path} is no report of a run"))?;
    Ok(Report {
        name: path.trim_end_matches(".json").to_owned(),
        ..report
    })
}

/// The constants of one phase, as they are pasted.
fn constants(phase: &str, costs: &[f64; TERMS]) -> String {
    let mut text = format!("    pub const {phase}: Self = Self {{\n");
    for (name, cost) in Work::NAMES.iter().zip(costs) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "        {name}: {:.3}e-9,", cost * 1e9);
    }
    text + "    };\n"
}

fn table(
    text: &mut String,
    title: &str,
    reports: &[&Report],
    seconds: impl Fn(&Report) -> [f64; 2],
) -> Result<()> {
    writeln!(
        text,
        "{title}: total (offline, online) of total (offline + online) seconds"
    )?;
    for report in reports {
        let [offline, online] = seconds(report);
        let measured = &report.seconds.median;
        writeln!(
            text,
            "  {:.2} ({:.2}, {:.2}) of {:.4} ({:.4} + {:.4})  {} {}",
            (offline + online) / measured.total,
            offline / measured.offline,
            online / measured.online,
            measured.total,
            measured.offline,
            measured.online,
            report.predicted.link,
            report.name
        )?;
    }
    Ok(())
}

fn seconds(costs: &[f64; TERMS], work: &Work) -> f64 {
    let counts = work.counts().into_iter().zip(costs);
    counts.map(|(count, cost)| count as f64 * cost).sum()
}

/// The constants, none below zero, with the least sum of squared relative errors.
fn fit(reports: &[&Report], phase: impl Fn(&Report) -> (Work, f64)) -> [f64; TERMS] {
    let rows = reports.iter().map(|report| {
        let (work, seconds) = phase(report);
        work.counts().map(|count| count as f64 / seconds)
    });
    let rows: Vec<[f64; TERMS]> = rows.collect();
    // In units of each column's norm, so that all unknowns are of one size.
    let norms: [f64; TERMS] = std::array::from_fn(|term| {
        let square: f64 = rows.iter().map(|row| row[term] * row[term]).sum();
        square.sqrt()
    });
    let mut costs = [0.0; TERMS];
    // Coordinate descent: a convex problem of a few unknowns.
    for _ in 0..100_000 {
        for term in (0..TERMS).filter(|&term| norms[term] > 0.0) {
            let gradient: f64 = rows
                .iter()
                .map(|row| {
                    let fitted: f64 = row.iter().zip(&costs).map(|(count, cost)| count * cost).sum();
                    row[term] * (1.0 - fitted)
                })
                .sum();
            let step = gradient / (norms[term] * norms[term]);
            costs[term] = f64::max(0.0, costs[term] + step);
        }
    }
    costs
}
