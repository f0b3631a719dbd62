//! What becomes of the results of a run: each is printed, counted and written as it comes, and kept
//! where the run fails.

use std::path::Path;

use trefoil_ir::plan::{ClientPart, ClientPlan};
use trefoil_ir::tail::{self, Type};

use super::error::CliError;
use super::images::{Job, predict};
use super::predictions::{Format, Found, Prediction, Writer};
use super::print;
use crate::data::{DataError, DataSet, Origin, ResultsFile, Row};
use crate::files::{self, write_private};
use crate::report::{Accuracy, Report, Tally};
use crate::terminal::{Bar, note, print::chain};

/// Classes that are printed of an image, and of a map, where nothing else is asked for.
const USUAL: usize = 1;
const USUAL_OF_A_MAP: usize = 3;

/// What the images came to.
pub struct Results<'a> {
    job: &'a Job,
    writer: Writer,
    /// The file of the network's own outputs, if one is asked for.
    output: Option<ResultsFile>,
    /// The file of its logits, if one is asked for.
    logits: Option<ResultsFile>,
    bar: Bar,
    /// Whether somebody reads the standard output.
    heard: bool,
    /// Images whose results are there.
    done: usize,
    accuracy: Accuracy,
}

impl<'a> Results<'a> {
    /// Begins: takes up what an earlier run left, if that was asked for. A run may take hours, so what
    /// cannot be written at its end is refused here.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn begin(job: &'a Job, plan: &ClientPlan) -> Result<Self, CliError> {
        if let Some(path) = &job.report {
            check_writable(path)?;
        }
        let decoding = &plan.part.output;
        let types = decoding.tail.types();
        let types = types.expect("a plan is decoded only with a tail that can be run");
        let origin = origin(&job.data, plan)?;
        let mut output = open(job, job.files.output(), types.last(), &origin)?;
        let mut logits = open(job, job.files.logits(), types.first(), &origin)?;
        let mut files: Vec<&mut ResultsFile> = output.iter_mut().chain(&mut logits).collect();
        let done = level(&mut files)?;
        let images = (0..job.data.len()).map(|index| job.data.name(index));
        let map = decoding.tail.scores().classes().is_none();
        let bar = if job.quiet {
            Bar::hidden()
        } else {
            Bar::new(job.runs(), "images")
        };
        bar.at(done);
        let mut results = Self {
            job,
            writer: Writer::new(job.format, map, job.data.has_labels(), images, &decoding.classes),
            output,
            logits,
            bar,
            heard: true,
            done,
            accuracy: Accuracy::default(),
        };
        results.say(&results.writer.header())?;
        Ok(results)
    }

    /// How many images have results, those of an earlier run included.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// Whether an earlier run came to its end, but for the names of its files.
    pub(super) fn are_complete(&self) -> bool {
        self.done >= self.job.runs()
    }

    /// Whether nobody would learn of further results.
    pub(super) fn are_unwanted(&self) -> bool {
        !self.heard && self.job.files.are_none() && self.job.report.is_none()
    }

    /// Takes one run's result in, counted through all repetitions.
    pub(super) fn add(&mut self, plan: &ClientPlan, number: usize, units: &[i64]) -> Result<(), CliError> {
        // Repetitions are measured, and not shown again.
        if number < self.job.data.len() {
            let result = predict(plan, units);
            if let Some(file) = &mut self.output {
                file.append(&result.output)?;
            }
            if let Some(file) = &mut self.logits {
                file.append(&result.logits)?;
            }
            self.done += 1;
            self.show(plan, number, &result)?;
        }
        self.bar.step();
        Ok(())
    }

    /// Counts and prints one image's result.
    fn show(&mut self, plan: &ClientPlan, index: usize, result: &tail::Prediction) -> Result<(), CliError> {
        let decoding = &plan.part.output;
        let map = result.class().is_none();
        let classes = decoding.tail.scores().classes();
        let label = classes.map(|classes| self.job.class(index, classes));
        let label = label.transpose()?.flatten();
        if let Some(label) = label {
            self.accuracy.count(result.class() == Some(label));
        }
        let top = self.job.top.unwrap_or(if map { USUAL_OF_A_MAP } else { USUAL });
        let prediction = Prediction {
            name: self.job.data.name(index),
            label,
            found: Found::new(result, &decoding.tail, &decoding.classes, top),
        };
        self.say(&self.writer.image(&prediction))
    }

    /// Prints predictions, as long as they are wanted.
    fn say(&mut self, text: &str) -> Result<(), CliError> {
        if self.heard && !self.job.quiet && !text.is_empty() {
            self.heard = self.bar.suspend(|| print(text))?;
        }
        Ok(())
    }

    /// Writes what was asked for, and a summary. Of a run that failed it says where the results are that
    /// it came to.
    ///
    /// # Errors
    /// If a file cannot be written, or the run's.
    pub fn finish(
        mut self,
        outcome: Result<(), CliError>,
        plan: &ClientPlan,
        tally: &Tally,
    ) -> Result<(), CliError> {
        self.bar.clear();
        let accuracy = Some(self.accuracy).filter(Accuracy::is_of_some);
        let mut report = tally.report(plan.program(), accuracy);
        let outcome = outcome.and_then(|()| self.complete());
        report.error = outcome.as_ref().err().map(|error| chain(error));
        let reported = match &self.job.report {
            Some(path) => write_report(path, &report),
            None => Ok(()),
        };
        // Of two errors the first says more.
        outcome.and(reported).map_err(|source| self.with_kept(source))?;
        if self.done >= self.job.data.len() {
            for file in self.output.iter().chain(&self.logits) {
                file.forget();
            }
        }
        self.summarise(&report)
    }

    /// Gives the arrays of results their names, if all are in them.
    fn complete(&mut self) -> Result<(), CliError> {
        if self.done < self.job.data.len() {
            return Ok(());
        }
        let mut files: Vec<&mut ResultsFile> = self.output.iter_mut().chain(&mut self.logits).collect();
        files.iter().try_for_each(|file| file.sync())?;
        Ok(files.iter_mut().try_for_each(|file| file.finish())?)
    }

    /// Says with an error where the results are that the run came to before.
    fn with_kept(&self, source: CliError) -> CliError {
        let kept: Vec<_> = self
            .output
            .iter()
            .chain(&self.logits)
            .filter_map(ResultsFile::kept)
            .collect();
        match kept.first() {
            Some(first) => CliError::Interrupted {
                rows: first.rows,
                total: first.total,
                paths: kept.iter().map(|kept| kept.path.clone()).collect(),
                source: Box::new(source),
            },
            None if self.done > 0 && !self.are_complete() => CliError::Incomplete {
                done: self.done,
                total: self.job.data.len(),
                source: Box::new(source),
            },
            None => source,
        }
    }

    fn summarise(&self, report: &Report) -> Result<(), CliError> {
        match self.job.format {
            // Below a table stands an empty line.
            Format::Text if !self.heard => Ok(()),
            Format::Text => {
                let above = if self.job.quiet { "" } else { "\n" };
                print(&format!("{above}{}\n", report.summary())).map(drop)
            }
            Format::Csv | Format::Jsonl => {
                note(format_args!("{}", report.summary()));
                Ok(())
            }
        }
    }
}

/// What results depend on.
pub(super) fn origin(images: &DataSet, plan: &ClientPlan) -> Result<Origin, DataError> {
    let ClientPart {
        input,
        output,
        preprocess,
        ..
    } = &plan.part;
    // The plan's id is of what the parties compute, and not of what the client does before and behind it.
    let mut client = blake3::Hasher::new();
    let hashed = serde_json::to_writer(&mut client, &(input, output, preprocess));
    hashed.expect("numbers and words can be written as JSON, and a hash takes all");
    Ok(Origin {
        plan: format!("{} {}", plan.plan_id(), client.finalize()),
        data: images.origin()?,
    })
}

/// Brings files of results to as many rows as all of them have: a run may have ended between two of
/// them. Then they are one row apart, and complete ones are not apart at all.
fn level(files: &mut [&mut ResultsFile]) -> Result<usize, CliError> {
    let Some(longest) = files.iter().max_by_key(|file| file.rows()) else {
        return Ok(0);
    };
    let Some(shortest) = files.iter().min_by_key(|file| file.rows()) else {
        return Ok(0);
    };
    let rows = longest.rows();
    let fewer = shortest.rows();
    let apart = if longest.is_complete() { 0 } else { 1 };
    if rows - fewer > apart {
        return Err(CliError::Apart {
            longer: longest.place().to_owned(),
            rows,
            shorter: shortest.place().to_owned(),
            fewer,
        });
    }
    for file in files {
        file.keep(fewer)?;
    }
    Ok(fewer)
}

/// Opens the file for arrays of type `ty`, if one is asked for and the network has such arrays.
fn open(
    job: &Job,
    path: Option<&Path>,
    ty: Option<&Type>,
    origin: &Origin,
) -> Result<Option<ResultsFile>, DataError> {
    let Some((path, ty)) = path.zip(ty) else {
        return Ok(None);
    };
    let row = Row {
        dtype: ty.dtype,
        dims: ty.row_dims().to_vec(),
    };
    let images = job.data.len();
    let file = if job.resume {
        ResultsFile::resume(path, row, images, origin)?
    } else {
        ResultsFile::create(path, row, images, origin)?
    };
    Ok(Some(file))
}

/// Refuses a file that could not be written, before work is done for it.
///
/// # Errors
/// If its folder does not exist, or takes no file.
pub fn check_writable(path: &Path) -> Result<(), CliError> {
    files::check_writable(path).map_err(|source| CliError::Write {
        path: path.to_owned(),
        source,
    })
}

fn write_report(path: &Path, report: &Report) -> Result<(), CliError> {
    write_private(path, report.to_json() + "\n").map_err(|source| CliError::Write {
        path: path.to_owned(),
        source,
    })
}
