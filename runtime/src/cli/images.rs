//! The client's side of the data: images in units for the protocol, and what its results mean.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use trefoil_ir::Shape;
use trefoil_ir::mpc::{Party, Program};
use trefoil_ir::plan::{ClientPlan, InputEncoding};
use trefoil_ir::tail::Prediction;

use super::args::ImageArgs;
use super::error::CliError;
use super::outputs::OutputFiles;
use super::predictions::Format;
use super::results::Results;
use crate::data::{DataSet, Preprocess};
use crate::exec;
use crate::net::Stop;
use crate::report::Tally;
use crate::session::{ClientSession, SessionError};
use crate::wire::{AbortReason, Link};

#[cfg(test)]
mod tests;

/// What the other parties are told where the client ends a session on its own account: always the
/// same, since the reason may lie in an image or a result.
const NEUTRAL: AbortReason = AbortReason::Internal;

/// The images of a run, and what to do with the results.
pub struct Job {
    pub(super) data: DataSet,
    pub(super) repeat: usize,
    /// Inferences that are prepared ahead.
    stock: u32,
    /// Images that are run together.
    batch: u32,
    /// Classes that are printed of an image, if not as many as usual.
    pub(super) top: Option<usize>,
    pub(super) format: Format,
    pub(super) quiet: bool,
    pub(super) files: OutputFiles,
    pub(super) resume: bool,
    pub(super) report: Option<PathBuf>,
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
        args.files.check()?;
        if args.resume && args.files.are_none() {
            return Err(CliError::NothingToResume);
        }
        let mut data = DataSet::open(&args.data, preprocess.as_ref(), args.labels.as_deref())?;
        if let Some(images) = args.images {
            data = data.take(images);
        }
        let Shape { c, h, w } = ends(plan.program()).0;
        let job = Self {
            data: data.expect_shape((c, h, w))?,
            repeat,
            stock: args.stock,
            batch: args.batch,
            top: args.top,
            format: args.format,
            quiet: args.quiet,
            files: args.files.clone(),
            resume: args.resume,
            report: args.report.clone(),
        };
        job.check(plan)?;
        Ok(job)
    }

    /// Reads every image and label once, before there is a session: that one of them cannot be used
    /// is nothing that the other parties may see, and better said before hours of work than after.
    fn check(&self, plan: &ClientPlan) -> Result<(), CliError> {
        let reader = Reader::new(&self.data, plan);
        let classes = plan.part.output.tail.scores().classes();
        for index in 0..self.data.len() {
            reader.image(index)?;
            if let Some(classes) = classes {
                self.class(index, classes)?;
            }
        }
        Ok(())
    }

    /// The class that an image is labelled with, if it is.
    pub(super) fn class(&self, index: usize, classes: usize) -> Result<Option<usize>, CliError> {
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

    /// Images, repetitions included.
    pub(super) fn runs(&self) -> usize {
        self.data.len() * self.repeat
    }

    /// Opens a session, runs all images through it that are not in the results yet, and ends it. What
    /// came of each is in the results when the next batch begins, whatever happens then. Images are
    /// read before anybody waits for them: those of the first batch before the session is opened,
    /// those of the others while the batch before is online.
    ///
    /// # Errors
    /// If an image cannot be used, a result cannot be written, the session fails, or a stop is
    /// requested.
    pub fn run<L: Link>(
        &self,
        open: impl FnOnce() -> Result<ClientSession<L>, CliError>,
        party: &mut exec::Client,
        results: &mut Results<'_>,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<(), CliError> {
        let reader = &Reader::new(&self.data, party.plan());
        let (hand_over, batches) = sync_channel(0);
        let numbers = results.done()..self.runs();
        let size = self.batch as usize;
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("reader".to_owned());
            thread
                .spawn_scoped(scope, move || reader.read(numbers, size, &hand_over))
                .map_err(CliError::Reader)?;
            // Once this is over nobody takes a batch, and the reader ends.
            let mut batches = batches.into_iter();
            let first = batches.next().transpose()?;
            let batches = first.map(Ok).into_iter().chain(batches);
            self.serve(batches, open()?, party, results, tally, stop)
        })
    }

    /// Runs batches through a session, and ends it.
    fn serve<L: Link>(
        &self,
        batches: impl Iterator<Item = Result<Batch, CliError>>,
        mut session: ClientSession<L>,
        party: &mut exec::Client,
        results: &mut Results<'_>,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<(), CliError> {
        tally.setup(session.setup());
        let left = self.runs() - results.done();
        if let Err(error) = self.expect_room(&session, party, left) {
            // Nothing has been asked for, so there is nothing to break off.
            leave(session);
            return Err(error);
        }
        for batch in batches {
            if results.are_unwanted() {
                break;
            }
            if stop.requested() {
                leave(session);
                return Err(CliError::Stopped);
            }
            let Batch { numbers, images } = batch.inspect_err(|_| session.abort(NEUTRAL))?;
            let missing = self.missing(session.stock(), self.runs() - numbers.start);
            let images: Vec<&[i32]> = images.iter().map(Vec::as_slice).collect();
            // Where that fails the other parties have been told.
            let run = match missing {
                0 => session.run(party, &images).map_err(client_error)?,
                count => {
                    let both = session.prepare_and_run(party, count, &images);
                    let (preparation, run) = both.map_err(client_error)?;
                    tally.prepared(&preparation);
                    run
                }
            };
            tally.batch(&run);
            for (number, units) in numbers.zip(&run.units) {
                let added = results.add(party.plan(), number, units);
                added.inspect_err(|_| session.abort(NEUTRAL))?;
            }
        }
        leave(session);
        Ok(())
    }

    /// Whether the server has memory for so many images, as they are to be run.
    fn expect_room<L: Link>(
        &self,
        session: &ClientSession<L>,
        party: &exec::Client,
        left: usize,
    ) -> Result<(), CliError> {
        let most = u32::try_from(left).unwrap_or(u32::MAX);
        let room = session.expect_room(party, self.stock.min(most), self.batch.min(most));
        room.map_err(client_error)
    }

    /// What the stock lacks where it does not suffice for the next batch: no more than the images that are left
    /// will take.
    fn missing(&self, stock: usize, left: usize) -> u32 {
        let batch = left.min(self.batch as usize);
        if stock >= batch {
            return 0;
        }
        let wanted = left.min(self.stock.max(self.batch) as usize) - stock;
        u32::try_from(wanted).expect("no more than a stock or a batch, which have 32 bits")
    }
}

/// Ends a session that nothing is left to do for. Whoever has left it before does no harm to the
/// results, and where there is an error that one says more.
fn leave<L: Link>(session: ClientSession<L>) {
    let _ = session.end();
}

/// Images that are to run together.
struct Batch {
    /// Which they are, counted through all repetitions.
    numbers: Range<usize>,
    /// In units.
    images: Vec<Vec<i32>>,
}

/// Reads images and encodes them as the plan wants them.
struct Reader<'a> {
    data: &'a DataSet,
    encoding: InputEncoding,
    shape: Shape,
}

impl<'a> Reader<'a> {
    fn new(data: &'a DataSet, plan: &ClientPlan) -> Self {
        Self {
            data,
            encoding: plan.part.input.clone(),
            shape: ends(plan.program()).0,
        }
    }

    fn image(&self, index: usize) -> Result<Vec<i32>, CliError> {
        let image = self.data.get(index)?;
        let units = self.encoding.encode(&image.values, self.shape);
        units.map_err(|problem| CliError::Image {
            name: self.data.name(index),
            problem: problem.to_string(),
        })
    }

    /// Reads images, counted through all repetitions.
    fn batch(&self, numbers: Range<usize>) -> Result<Batch, CliError> {
        let images = numbers.clone().map(|number| self.image(number % self.data.len()));
        let images = images.collect::<Result<_, _>>()?;
        Ok(Batch { numbers, images })
    }

    /// Reads one batch after the other until one cannot be read, or nobody takes it.
    fn read(&self, numbers: Range<usize>, size: usize, hand_over: &SyncSender<Result<Batch, CliError>>) {
        let end = numbers.end;
        for start in numbers.step_by(size) {
            let batch = self.batch(start..end.min(start + size));
            let failed = batch.is_err();
            if hand_over.send(batch).is_err() || failed {
                return;
            }
        }
    }
}

/// What an image comes to, from what the program revealed.
pub(super) fn predict(plan: &ClientPlan, units: &[i64]) -> Prediction {
    plan.part.output.predict(units, ends(plan.program()).1)
}

/// Shapes of the image and of what is revealed.
fn ends(program: &Program) -> (Shape, Shape) {
    let input = program.input().expect("a plan is decoded only with an input");
    let output = program.output().expect("a plan is decoded only with an output");
    (program.ty(input).shape, program.ty(output).shape)
}

/// The client's view of a failed session.
pub fn client_error(source: SessionError) -> CliError {
    CliError::Session {
        party: Party::Client,
        source: Box::new(source),
    }
}
