//! The server: has the weights, and sees uniformly random values only.

use std::collections::BTreeMap;
use std::sync::Arc;

use trefoil_ir::mpc::schedule::{Round, Slot};
use trefoil_ir::mpc::{Phase, Stage, ValueId};
use trefoil_ir::plan::ServerPlan;
use zeroize::Zeroizing;

use super::at::At;
use super::batch::{self, Image};
use super::prepared::{Prepared, Step};
use super::step::gate;
use super::stock::ServerStock;
use super::store::{Memory, Store, Value};
use super::{ExecError, Measured, add_seconds, flush};
use crate::kernel::Isa;
use crate::prg::StreamKey;
use crate::trace::StopWatch;
use crate::wire::Link;

/// The server of one plan. Clones share the packed weights.
#[derive(Clone)]
pub struct Server {
    plan: Arc<ServerPlan>,
    prepared: Arc<Prepared>,
    watch: StopWatch,
    measured: Measured,
}

impl Server {
    /// Packs W.
    pub fn new(plan: ServerPlan) -> Self {
        Self::for_isa(Isa::detect(), plan)
    }

    pub(super) fn for_isa(isa: Isa, plan: ServerPlan) -> Self {
        let prepared = Prepared::new(isa, plan.program(), |id, _| {
            Some(plan.part.constants[id.index()].clone())
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

    /// The server's plan, which it runs.
    pub fn plan(&self) -> &ServerPlan {
        &self.plan
    }

    /// Receives the client's masked shares of every accumulator that is truncated.
    ///
    /// # Errors
    /// If the link fails.
    pub fn offline(&mut self, inference: u32, client: &mut dyn Link) -> Result<ServerStock, ExecError> {
        let phase = self.watch.start();
        let prepared = &*self.prepared;
        let mut offline = Offline {
            stock: ServerStock::new(inference, Memory::starting_with(prepared.bytes())),
            client,
        };
        for step in &prepared.steps {
            let at = At::new(step, inference, &self.watch);
            step.kind.server_offline(&at, &mut offline)?;
        }
        self.measured = Measured {
            offline_seconds: phase.end_phase(Phase::Offline, inference),
            online_seconds: 0.0,
            step_seconds: vec![0.0; prepared.steps.len()],
            peak_memory: offline.stock.memory.peak(),
        };
        Ok(offline.stock)
    }

    /// Runs one inference.
    ///
    /// # Errors
    /// If the link fails or a message is malformed.
    pub fn online(
        &mut self,
        key: &StreamKey,
        stock: ServerStock,
        client: &mut dyn Link,
    ) -> Result<(), ExecError> {
        self.online_batch(key, vec![stock], client)
    }

    /// Runs several inferences through the same rounds, in this order; the client does so with the
    /// same inferences.
    ///
    /// # Errors
    /// If the link fails or a message is malformed.
    pub fn online_batch(
        &mut self,
        key: &StreamKey,
        stocks: Vec<ServerStock>,
        client: &mut dyn Link,
    ) -> Result<(), ExecError> {
        let phase = self.watch.start();
        let prepared = &*self.prepared;
        let first = stocks.first().map_or(0, ServerStock::inference);
        let mut batch: Vec<Online<'_>> = stocks
            .into_iter()
            .map(|stock| Online::new(prepared, &self.watch, key, stock))
            .collect();
        for round in &prepared.schedule.rounds {
            let ahead = ahead_of(prepared, round);
            batch::round(prepared, &mut batch, &ahead, client, |image, link| {
                image.open(round, link)
            })?;
            flush(client)?;
            batch::round(prepared, &mut batch, &round.client, client, |image, link| {
                image.close(round, link)
            })?;
        }
        let packed = prepared.bytes() as u64;
        let mut peak = packed;
        for online in &batch {
            add_seconds(&mut self.measured.step_seconds, &online.step_seconds);
            peak += online.store.memory.peak().saturating_sub(packed);
        }
        self.measured.peak_memory = self.measured.peak_memory.max(peak);
        self.measured.online_seconds = phase.end_phase(Phase::Online, first);
        Ok(())
    }

    /// What the last inference took.
    pub fn measured(&mut self) -> Measured {
        std::mem::take(&mut self.measured)
    }
}

/// What the client sends ahead of a round that the image opens.
fn ahead_of(prepared: &Prepared, round: &Round) -> Vec<Slot> {
    let stage = Stage::Input;
    let begun = round.begin.iter().copied();
    begun
        .filter(|&step| prepared.step(step).has(stage))
        .map(|step| Slot { step, stage })
        .collect()
}

/// The offline phase in progress.
pub(super) struct Offline<'a> {
    pub(super) stock: ServerStock,
    pub(super) client: &'a mut dyn Link,
}

/// The online phase of one image in progress.
pub(super) struct Online<'a> {
    prepared: &'a Prepared,
    watch: &'a StopWatch,
    pub(super) key: &'a StreamKey,
    inference: u32,
    pub(super) shares: BTreeMap<ValueId, Zeroizing<Vec<u8>>>,
    pub(super) store: Store,
    pub(super) gates: BTreeMap<ValueId, gate::Opened<'a>>,
    step_seconds: Vec<f64>,
}

impl<'a> Image<'a> for Online<'a> {
    fn at(&self, step: ValueId) -> At<'a> {
        At::new(self.prepared.step(step), self.inference, self.watch)
    }
}

impl<'a> Online<'a> {
    fn new(prepared: &'a Prepared, watch: &'a StopWatch, key: &'a StreamKey, stock: ServerStock) -> Self {
        Self {
            prepared,
            watch,
            key,
            inference: stock.inference(),
            shares: stock.shares,
            store: Store::new(&prepared.uses, stock.memory),
            gates: BTreeMap::new(),
            step_seconds: vec![0.0; prepared.steps.len()],
        }
    }

    pub(super) fn isa(&self) -> Isa {
        self.prepared.isa
    }

    /// Stores the value of a step, which has used its operands.
    pub(super) fn complete(&mut self, step: &Step, values: Vec<u32>) {
        self.store.put(step.id, Value::Ring(values));
        self.store.used(step);
    }

    /// The server's part of a round up to what it sends.
    fn open(&mut self, round: &Round, client: &mut dyn Link) -> Result<(), ExecError> {
        for &step in &round.begin {
            let at = self.at(step);
            at.step.kind.server_begin(&at, self, client)?;
            self.step_seconds[step.index()] += at.end();
        }
        for slot in &round.server {
            let at = self.at(slot.step);
            at.step.kind.server_send(&at, slot.stage, self, client)?;
            self.step_seconds[slot.step.index()] += at.end();
        }
        Ok(())
    }

    /// The server's part of a round from the answers on.
    fn close(&mut self, round: &Round, client: &mut dyn Link) -> Result<(), ExecError> {
        for slot in &round.client {
            let payload = self.at(slot.step).receive(client, slot.stage)?;
            let at = self.at(slot.step);
            let message = (slot.stage, payload);
            at.step.kind.server_receive(&at, message, self, client)?;
            self.step_seconds[slot.step.index()] += at.end();
        }
        Ok(())
    }
}
