//! The client's side of the data: images in units for the protocol, and what its results mean.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use trefoil_ir::mpc::{Op, Party, Program};
use trefoil_ir::plan::ClientPlan;
use trefoil_ir::shape::Shape;

use super::args::ImageArgs;
use super::error::CliError;
use super::outputs::{OutputFiles, Rows};
use super::print;
use crate::data::{DataSet, Preprocess};
use crate::exec;
use crate::files::write_private;
use crate::report::{Report, Tally};
use crate::session::{BatchRun, ClientSession, SessionError};
use crate::terminal::Bar;
use crate::wire::{AbortReason, Link};

/// What the other parties are told where the client ends a session on its own account: always the
/// same, since the reason may lie in an image or a result.
const NEUTRAL: AbortReason = AbortReason::Internal;

/// The images of a run, and what to do with the results.
pub struct Job {
    data: DataSet,
    repeat: usize,
    /// Inferences that are prepared ahead.
    stock: u32,
    /// Images that are run together.
    batch: u32,
    files: OutputFiles,
    report: Option<PathBuf>,
}

impl Job {
    /// Opens the images as the plan wants them.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn open(plan: &ClientPlan, args: &ImageArgs, repeat: usize) -> Result<Self, CliError> {
        let preprocess = plan
            .part
            .preprocess
            .as_deref()
            .map(Preprocess::from_toml)
            .transpose()?;
        let mut data = DataSet::open(&args.data, preprocess.as_ref(), args.labels.as_deref())?;
        if let Some(images) = args.images {
            data = data.take(images);
        }
        // A run may take hours: what cannot be written at its end is better said now.
        args.files.check()?;
        args.report.as_deref().map_or(Ok(()), check_folder)?;
        let Shape { c, h, w } = ends(plan.program()).0;
        let job = Self {
            data: data.expect_shape((c, h, w))?,
            repeat,
            stock: args.stock,
            batch: args.batch,
            files: args.files.clone(),
            report: args.report.clone(),
        };
        job.check(plan)?;
        Ok(job)
    }

    /// Reads every image and label once, before there is a session: that one of them cannot be used
    /// is nothing that the other parties may see, and better said before hours of work than after.
    fn check(&self, plan: &ClientPlan) -> Result<(), CliError> {
        let classes = plan.part.output.tail.scores().classes();
        for index in 0..self.data.len() {
            self.image(plan, index)?;
            if let Some(classes) = classes {
                self.class(index, classes)?;
            }
        }
        Ok(())
    }

    /// The class that an image is labelled with, if it is.
    fn class(&self, index: usize, classes: usize) -> Result<Option<usize>, CliError> {
        let Some(label) = self.data.label(index) else {
            return Ok(None);
        };
        let class = usize::try_from(label).ok().filter(|&class| class < classes);
        class.map(Some).ok_or_else(|| CliError::Label {
            name: self.data.name(index),
            label,
            last: classes.saturating_sub(1),
        })
    }

    /// Runs all images through a session and ends it; prints a prediction for each.
    ///
    /// # Errors
    /// If an image cannot be used or the session fails.
    pub fn run<L: Link>(
        &self,
        mut session: ClientSession<L>,
        party: &mut exec::Client,
    ) -> Result<(Results, Tally), CliError> {
        let mut tally = Tally::default();
        tally.setup(session.setup());
        let mut results = Results::default();
        let bar = Bar::new(self.data.len() * self.repeat, "images");
        let mut left = self.data.len() * self.repeat;
        while left > 0 {
            let first = self.data.len() * self.repeat - left;
            let numbers = first..first + left.min(self.batch as usize);
            let images = self.images(party.plan(), numbers.clone());
            let images = images.inspect_err(|_| session.abort(NEUTRAL))?;
            self.fill(&mut session, party, left, &mut tally)?;
            let run = self.batch(&mut session, party, &images)?;
            tally.batch(&run);
            left -= images.len();
            for (number, units) in numbers.zip(&run.units) {
                // Repetitions are measured, and not shown again.
                if number < self.data.len() {
                    let line = results.add(self, party.plan(), number, units);
                    let printed = line.and_then(|line| bar.suspend(|| print(&line)));
                    printed.inspect_err(|_| session.abort(NEUTRAL))?;
                }
                bar.step();
            }
        }
        session.end().map_err(client_error)?;
        Ok((results, tally))
    }

    /// Fills the stock where it does not suffice for the next batch, with no more than the images
    /// that are left will take.
    fn fill<L: Link>(
        &self,
        session: &mut ClientSession<L>,
        party: &mut exec::Client,
        left: usize,
        tally: &mut Tally,
    ) -> Result<(), CliError> {
        let batch = left.min(self.batch as usize);
        if session.stock() >= batch {
            return Ok(());
        }
        let wanted = left.min(self.stock.max(self.batch) as usize) - session.stock();
        let count = u32::try_from(wanted).expect("no more than a stock or a batch, which have 32 bits");
        tally.prepared(&session.prepare(party, count).map_err(client_error)?);
        Ok(())
    }

    /// Reads and encodes images, counted through all repetitions.
    fn images(&self, plan: &ClientPlan, numbers: Range<usize>) -> Result<Vec<Vec<i32>>, CliError> {
        let index = |number| number % self.data.len();
        numbers.map(|number| self.image(plan, index(number))).collect()
    }

    /// Runs images together. Where that fails the other parties have been told.
    fn batch<L: Link>(
        &self,
        session: &mut ClientSession<L>,
        party: &mut exec::Client,
        images: &[Vec<i32>],
    ) -> Result<BatchRun, CliError> {
        let images: Vec<&[i32]> = images.iter().map(Vec::as_slice).collect();
        session.run(party, &images).map_err(client_error)
    }

    /// Writes what was asked for, and a summary to the standard output.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish(&self, plan: &ClientPlan, results: &Results, tally: &Tally) -> Result<(), CliError> {
        results.rows.write(&self.files)?;
        let report = tally.report(plan.program(), results.top1());
        if let Some(path) = &self.report {
            write_report(path, &report)?;
        }
        print(&report.summary())
    }

    fn image(&self, plan: &ClientPlan, index: usize) -> Result<Vec<i32>, CliError> {
        let image = self.data.get(index)?;
        let units = plan.part.input.encode(&image.values, ends(plan.program()).0);
        units.map_err(|problem| CliError::Image {
            name: self.data.name(index),
            problem,
        })
    }
}

/// What the images came to.
#[derive(Default)]
pub struct Results {
    rows: Rows,
    labelled: usize,
    correct: usize,
}

impl Results {
    /// Takes one image's result in; returns the line to print.
    fn add(&mut self, job: &Job, plan: &ClientPlan, index: usize, units: &[i64]) -> Result<String, CliError> {
        let decoding = &plan.part.output;
        let prediction = decoding.predict(units, ends(plan.program()).1);
        let name = job.data.name(index);
        let line = match prediction.class().zip(decoding.tail.scores().classes()) {
            Some((class, classes)) => {
                if let Some(wanted) = job.class(index, classes)? {
                    self.labelled += 1;
                    self.correct += usize::from(wanted == class);
                }
                match decoding.classes.get(class) {
                    Some(word) => format!("{name}\t{class}\t{word}"),
                    None => format!("{name}\t{class}"),
                }
            }
            None => format!("{name}\tmap {:?}", prediction.output.dims),
        };
        self.rows.add(&job.files, prediction);
        Ok(line)
    }

    /// The part of the labelled images that were recognised; none without labels, or of a network
    /// whose output is a map.
    pub fn top1(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.correct as f64 / self.labelled as f64)
    }
}

/// Shapes of the image and of what is revealed.
fn ends(program: &Program) -> (Shape, Shape) {
    let shape_of = |wanted: fn(&Op) -> bool| {
        let step = program.steps.iter().find(|step| wanted(&step.op));
        step.expect("a plan is decoded only with an input and an output")
            .ty
            .shape
    };
    (
        shape_of(|op| matches!(op, Op::Input(_))),
        shape_of(|op| matches!(op, Op::Reveal(_))),
    )
}

/// Refuses a file that could not be written, before work is done for it.
///
/// # Errors
/// If its folder does not exist.
pub fn check_folder(path: &Path) -> Result<(), CliError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.map(fs::metadata) {
        Some(Err(source)) => Err(CliError::Write {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

fn write_report(path: &Path, report: &Report) -> Result<(), CliError> {
    write_private(path, report.to_json() + "\n").map_err(|source| CliError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The client's view of a failed session.
pub fn client_error(source: SessionError) -> CliError {
    CliError::Session {
        party: Party::Client,
        source: Box::new(source),
    }
}
