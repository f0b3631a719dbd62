//! The client's side of the data: images in units for the protocol, and what its results mean.

use std::ops::Range;
use std::path::PathBuf;

use trefoil_ir::mpc::{Party, Program};
use trefoil_ir::plan::ClientPlan;
use trefoil_ir::shape::Shape;
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
use crate::session::{BatchRun, ClientSession, SessionError};
use crate::wire::{AbortReason, Link};

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

    /// Runs all images through a session that are not in the results yet, and ends it. What came of
    /// each is in the results when the next batch begins, whatever happens then.
    ///
    /// # Errors
    /// If an image cannot be used, a result cannot be written, the session fails, or a stop is
    /// requested.
    pub fn run<L: Link>(
        &self,
        mut session: ClientSession<L>,
        party: &mut exec::Client,
        results: &mut Results<'_>,
        tally: &mut Tally,
        stop: &Stop,
    ) -> Result<(), CliError> {
        tally.setup(session.setup());
        let next = results.done();
        if let Err(error) = self.expect_room(&session, party, self.runs() - next) {
            // Nothing has been asked for, so there is nothing to break off.
            session.end().map_err(client_error)?;
            return Err(error);
        }
        let mut next = next;
        while next < self.runs() && !results.are_unwanted() {
            if stop.requested() {
                session.end().map_err(client_error)?;
                return Err(CliError::Stopped);
            }
            let left = self.runs() - next;
            let numbers = next..next + left.min(self.batch as usize);
            let images = self.images(party.plan(), numbers.clone());
            let images = images.inspect_err(|_| session.abort(NEUTRAL))?;
            self.fill(&mut session, party, left, tally)?;
            let run = self.batch(&mut session, party, &images)?;
            tally.batch(&run);
            next = numbers.end;
            for (number, units) in numbers.zip(&run.units) {
                let added = results.add(party.plan(), number, units);
                added.inspect_err(|_| session.abort(NEUTRAL))?;
            }
        }
        session.end().map_err(client_error)
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

    fn image(&self, plan: &ClientPlan, index: usize) -> Result<Vec<i32>, CliError> {
        let image = self.data.get(index)?;
        let units = plan.part.input.encode(&image.values, ends(plan.program()).0);
        units.map_err(|problem| CliError::Image {
            name: self.data.name(index),
            problem,
        })
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
