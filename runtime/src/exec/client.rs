//! The client: has the image and learns the output.

use std::collections::BTreeMap;
use std::sync::Arc;

use trefoil_ir::mpc::schedule::Round;
use trefoil_ir::mpc::{Phase, ValueId};
use trefoil_ir::plan::ClientPlan;

use super::at::At;
use super::batch::{self, Image};
use super::prepared::Prepared;
use super::step::gate;
use super::stock::ClientStock;
use super::store::{Memory, Store};
use super::{ExecError, Measured, add_seconds, flush};
use crate::kernel::Isa;
use crate::prg::StreamKey;
use crate::trace::StopWatch;
use crate::wire::Link;

/// The client of one plan. Clones share the packed weights.
#[derive(Clone)]
pub struct Client {
    plan: Arc<ClientPlan>,
    prepared: Arc<Prepared>,
    watch: StopWatch,
    measured: Measured,
}

impl Client {
    /// Packs F.
    pub fn new(plan: ClientPlan) -> Self {
        Self::for_isa(Isa::detect(), plan)
    }

    pub(super) fn for_isa(isa: Isa, plan: ClientPlan) -> Self {
        let prepared = Prepared::new(isa, plan.program(), |id, _| {
            plan.part.constants[id.index()].clone()
        });
        Self {
            plan: Arc::new(plan),
            prepared: Arc::new(prepared),
            watch: StopWatch::default(),
            measured: Measured::default(),
        }
    }

    /// The party, with a watch that takes the time of its steps.
    #[must_use]
    pub fn with_watch(mut self, watch: StopWatch) -> Self {
        self.watch = watch;
        self
    }

    /// The same, in place.
    pub fn set_watch(&mut self, watch: StopWatch) {
        self.watch = watch;
    }

    /// The client's plan, which it runs.
    pub fn plan(&self) -> &ClientPlan {
        &self.plan
    }

    /// Prepares one inference with the helper, and hands the server its masked shares.
    ///
    /// # Errors
    /// If a link fails or a message is malformed.
    pub fn offline(
        &mut self,
        key: &StreamKey,
        inference: u32,
        server: &mut dyn Link,
        helper: &mut dyn Link,
    ) -> Result<ClientStock, ExecError> {
        let phase = self.watch.start();
        let prepared = &*self.prepared;
        let mut step_seconds = Vec::with_capacity(prepared.steps.len());
        let mut offline = Offline {
            isa: prepared.isa,
            key,
            store: Store::new(&prepared.uses, Memory::starting_with(prepared.bytes())),
            stock: ClientStock::new(inference),
            server,
            helper,
        };
        for step in &prepared.steps {
            let at = At::new(step, inference, &self.watch);
            step.kind.client_offline(&at, &mut offline)?;
            offline.store.used(step);
            step_seconds.push(at.end());
        }
        flush(offline.server)?;
        let mut memory = offline.store.memory;
        let mut stock = offline.stock;
        memory.add(4 * stock.input_mask.len() + 2 * stock.revealed.len());
        stock.bytes = memory.current().saturating_sub(prepared.bytes() as u64);
        self.measured = Measured {
            offline_seconds: phase.end_phase(Phase::Offline, inference),
            online_seconds: 0.0,
            step_seconds,
            peak_memory: memory.peak(),
        };
        Ok(stock)
    }

    /// Runs one inference on an image in units; returns the output in units.
    ///
    /// # Errors
    /// As [`online_batch`](Self::online_batch).
    pub fn online(
        &mut self,
        key: &StreamKey,
        stock: ClientStock,
        image: &[i32],
        server: &mut dyn Link,
    ) -> Result<Vec<i64>, ExecError> {
        let mut outputs = self.online_batch(key, vec![stock], &[image], server)?;
        Ok(outputs.pop().unwrap_or_default())
    }

    /// Runs several inferences through the same rounds, one on each image, in this order; the
    /// server does so with the same inferences. Returns the outputs.
    ///
    /// # Errors
    /// If the link fails, a message is malformed, an image has another size than the plan's, or
    /// there are not as many images as stocks.
    pub fn online_batch(
        &mut self,
        key: &StreamKey,
        stocks: Vec<ClientStock>,
        images: &[&[i32]],
        server: &mut dyn Link,
    ) -> Result<Vec<Vec<i64>>, ExecError> {
        let phase = self.watch.start();
        if stocks.len() != images.len() {
            return Err(ExecError::Batch {
                images: images.len(),
                stocks: stocks.len(),
            });
        }
        let prepared = &*self.prepared;
        let first = stocks.first().map_or(0, ClientStock::inference);
        let mut batch: Vec<Online<'_>> = stocks
            .into_iter()
            .map(|stock| Online::new(prepared, &self.watch, key, stock))
            .collect();
        for (online, image) in batch.iter().zip(images) {
            online.begin(image, server)?;
        }
        for round in &prepared.schedule.rounds {
            batch::round(prepared, &mut batch, &round.server, server, |image, link| {
                image.answer_all(round, link)
            })?;
            flush(server)?;
        }
        // What the client holds of an image only shrinks while it is online.
        let mut peak = prepared.bytes() as u64;
        for online in &batch {
            add_seconds(&mut self.measured.step_seconds, &online.step_seconds);
            peak += online.stock.bytes;
        }
        self.measured.peak_memory = self.measured.peak_memory.max(peak);
        self.measured.online_seconds = phase.end_phase(Phase::Online, first);
        Ok(batch.into_iter().map(|online| online.output).collect())
    }

    /// What the last inference took.
    pub fn measured(&mut self) -> Measured {
        std::mem::take(&mut self.measured)
    }
}

/// The offline phase in progress.
pub(super) struct Offline<'a> {
    pub(super) isa: Isa,
    pub(super) key: &'a StreamKey,
    pub(super) store: Store,
    pub(super) stock: ClientStock,
    pub(super) server: &'a mut dyn Link,
    pub(super) helper: &'a mut dyn Link,
}

impl Offline<'_> {
    /// Keeps what a gate will take.
    pub(super) fn keep(&mut self, gate: ValueId, stock: gate::Stock) {
        self.store.memory.add(stock.bytes());
        self.stock.gates.insert(gate, stock);
    }
}

/// The online phase of one image in progress.
pub(super) struct Online<'a> {
    prepared: &'a Prepared,
    watch: &'a StopWatch,
    pub(super) key: &'a StreamKey,
    pub(super) stock: ClientStock,
    pub(super) gates: BTreeMap<ValueId, gate::Answering<'a>>,
    pub(super) output: Vec<i64>,
    step_seconds: Vec<f64>,
}

impl<'a> Image<'a> for Online<'a> {
    fn at(&self, step: ValueId) -> At<'a> {
        At::new(self.prepared.step(step), self.stock.inference(), self.watch)
    }
}

impl<'a> Online<'a> {
    fn new(prepared: &'a Prepared, watch: &'a StopWatch, key: &'a StreamKey, stock: ClientStock) -> Self {
        Self {
            prepared,
            watch,
            key,
            stock,
            gates: BTreeMap::new(),
            output: Vec::new(),
            step_seconds: vec![0.0; prepared.steps.len()],
        }
    }

    /// Sends what goes ahead of the rounds.
    fn begin(&self, image: &[i32], server: &mut dyn Link) -> Result<(), ExecError> {
        for step in &self.prepared.steps {
            step.kind.client_begin(&self.at(step.id), image, self, server)?;
        }
        Ok(())
    }

    /// The client's part of a round: receives the whole bundle, then answers it.
    fn answer_all(&mut self, round: &Round, server: &mut dyn Link) -> Result<(), ExecError> {
        let mut received = Vec::with_capacity(round.server.len());
        for slot in &round.server {
            received.push(self.at(slot.step).receive(server, slot.stage)?);
        }
        for (slot, payload) in round.server.iter().zip(received) {
            let at = self.at(slot.step);
            let message = (slot.stage, payload);
            at.step.kind.client_answer(&at, message, self, server)?;
            self.step_seconds[slot.step.index()] += at.end();
        }
        Ok(())
    }
}
