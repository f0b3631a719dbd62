//! The server: has the weights, and sees uniformly random values only.

use std::collections::BTreeMap;
use std::sync::Arc;

use trefoil_ir::mpc::privacy::Key;
use trefoil_ir::mpc::schedule::{Round, Slot};
use trefoil_ir::mpc::{ConstId, Kind, Op, Party, Phase, Program, Stage, ValueId};
use trefoil_ir::plan::ServerPlan;
use zeroize::Zeroizing;

use super::prepared::{Prepared, has_messages};
use super::store::{Memory, Store, Value};
use super::{At, ExecError, Measured, add_seconds, batch, flush, local};
use crate::kernel::{self, Isa};
use crate::pool;
use crate::prg::StreamKey;
use crate::protocol::gate::{self, Exact};
use crate::protocol::layout::Half;
use crate::protocol::streams::StepStreams;
use crate::protocol::{section, truncate};
use crate::trace::Lap;
use crate::wire::Link;

/// The server of one plan. Clones share the packed weights.
#[derive(Clone)]
pub struct Server {
    plan: Arc<ServerPlan>,
    prepared: Arc<Prepared>,
    measured: Measured,
}

/// What the offline phase of one inference left at the server: the client's masked shares. Used
/// once.
pub struct ServerStock {
    inference: u32,
    /// Wiped when they were used or are dropped unused.
    shares: BTreeMap<ValueId, Zeroizing<Vec<u8>>>,
    memory: Memory,
    /// Bytes of the shares.
    bytes: u64,
}

impl ServerStock {
    /// Which inference this serves.
    pub fn inference(&self) -> u32 {
        self.inference
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Server {
    /// Packs W.
    pub fn new(plan: ServerPlan) -> Self {
        Self::for_isa(Isa::detect(), plan)
    }

    pub(super) fn for_isa(isa: Isa, plan: ServerPlan) -> Self {
        let constant = |id: ConstId, _| Some(plan.part.constants[id.index()].clone());
        let prepared = Prepared::new(isa, plan.program(), constant);
        Self {
            plan: Arc::new(plan),
            prepared: Arc::new(prepared),
            measured: Measured::default(),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &ServerPlan {
        &self.plan
    }

    /// Receives the client's masked shares of every accumulator that is truncated.
    ///
    /// # Errors
    /// If the link fails.
    pub fn offline(&mut self, inference: u32, client: &mut dyn Link) -> Result<ServerStock, ExecError> {
        let begin = Lap::start(client);
        let program: &Program = self.plan.program();
        let mut memory = Memory::starting_with(self.prepared.bytes());
        let mut shares = BTreeMap::new();
        for id in program
            .ids()
            .filter(|&id| matches!(program.step(id).op, Op::Truncate(_) | Op::TruncateSums(_)))
        {
            let share = At {
                program,
                inference,
                step: id,
            }
            .receive(client, Stage::MaskedShare)?;
            memory.add(share.len());
            shares.insert(id, Zeroizing::new(share));
        }
        self.measured = Measured {
            step_seconds: vec![0.0; program.steps.len()],
            peak_memory: memory.peak(),
            ..Measured::default()
        };
        self.measured.offline_seconds = begin.end_phase(client, Phase::Offline, inference);
        Ok(ServerStock {
            inference,
            shares,
            memory,
            bytes: memory.current().saturating_sub(self.prepared.bytes() as u64),
        })
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
        let begin = Lap::start(client);
        let first = stocks.first().map_or(0, ServerStock::inference);
        let (plan, prepared) = (Arc::clone(&self.plan), Arc::clone(&self.prepared));
        let program: &Program = plan.program();
        let online = |stock| Online::new(program, &prepared, key, stock);
        let mut batch: Vec<Online<'_>> = stocks.into_iter().map(online).collect();
        for round in &prepared.schedule.rounds {
            batch::round(
                program,
                &mut batch,
                &inputs(program, round),
                client,
                |image, link| image.open(round, link),
            )?;
            flush(program, client)?;
            batch::round(program, &mut batch, &round.client, client, |image, link| {
                image.close(round, link)
            })?;
        }
        self.settle(&batch);
        self.measured.online_seconds = begin.end_phase(client, Phase::Online, first);
        Ok(())
    }

    /// Takes over what was measured of each image.
    fn settle(&mut self, batch: &[Online<'_>]) {
        let packed = self.prepared.bytes() as u64;
        let mut peak = packed;
        for online in batch {
            add_seconds(&mut self.measured.step_seconds, &online.step_seconds);
            peak += online.store.memory.peak().saturating_sub(packed);
        }
        self.measured.peak_memory = self.measured.peak_memory.max(peak);
    }

    /// What the last inference took.
    pub fn measured(&mut self) -> Measured {
        std::mem::take(&mut self.measured)
    }
}

/// What the client sends ahead of a round that the image opens.
fn inputs(program: &Program, round: &Round) -> Vec<Slot> {
    let begin = round.begin.iter().copied();
    let inputs = begin.filter(|&id| matches!(program.step(id).op, Op::Input(_)));
    let stage = Stage::Input;
    inputs.map(|step| Slot { step, stage }).collect()
}

/// The online phase of one image in progress.
struct Online<'a> {
    program: &'a Program,
    prepared: &'a Prepared,
    key: &'a StreamKey,
    inference: u32,
    shares: BTreeMap<ValueId, Zeroizing<Vec<u8>>>,
    store: Store,
    gates: BTreeMap<ValueId, (gate::Server<'a>, StepStreams<'a>)>,
    step_seconds: Vec<f64>,
}

impl batch::Image for Online<'_> {
    fn at(&self, step: ValueId) -> At<'_> {
        At {
            program: self.program,
            inference: self.inference,
            step,
        }
    }
}

impl<'a> Online<'a> {
    fn new(program: &'a Program, prepared: &'a Prepared, key: &'a StreamKey, stock: ServerStock) -> Self {
        let ServerStock {
            inference,
            shares,
            memory,
            ..
        } = stock;
        Self {
            program,
            prepared,
            key,
            inference,
            shares,
            store: Store::new(program, memory),
            gates: BTreeMap::new(),
            step_seconds: vec![0.0; program.steps.len()],
        }
    }

    /// The server's part of a round up to what it sends.
    fn open(&mut self, round: &Round, client: &mut dyn Link) -> Result<(), ExecError> {
        for &id in &round.begin {
            self.timed(id, client, |online, client| online.begin(id, client))?;
        }
        for slot in &round.server {
            self.timed(slot.step, client, |online, client| {
                online.send(slot.step, slot.stage, client)
            })?;
        }
        Ok(())
    }

    /// The server's part of a round from the answers on.
    fn close(&mut self, round: &Round, client: &mut dyn Link) -> Result<(), ExecError> {
        for slot in &round.client {
            let payload = self.at(slot.step).receive(client, slot.stage)?;
            self.timed(slot.step, client, |online, client| {
                online.take(slot.step, slot.stage, payload, client)
            })?;
        }
        Ok(())
    }

    fn timed(
        &mut self,
        id: ValueId,
        client: &mut dyn Link,
        work: impl FnOnce(&mut Self, &mut dyn Link) -> Result<(), ExecError>,
    ) -> Result<(), ExecError> {
        let lap = Lap::start(client);
        let result = work(self, client);
        self.step_seconds[id.index()] += lap.end_step(client, id, self.inference);
        result
    }

    fn at(&self, step: ValueId) -> At<'a> {
        At {
            program: self.program,
            inference: self.inference,
            step,
        }
    }

    fn streams(&self, step: ValueId) -> StepStreams<'a> {
        let draws = self.prepared.draws(step).of_key(Key::ServerHelper);
        StepStreams::new(self.key, self.inference, step.0, draws)
    }

    /// Does what needs no message of this round.
    fn begin(&mut self, id: ValueId, client: &mut dyn Link) -> Result<(), ExecError> {
        if local::run(self.program, self.prepared, Party::Server, id, &mut self.store) {
            return Ok(());
        }
        let step = self.program.step(id);
        match &step.op {
            Op::Input(_) => {
                let payload = self.at(id).receive(client, Stage::Input)?;
                let hat = section::to_u32s(&payload, step.ty.shape.len())
                    .map_err(|e| self.at(id).malformed(client, e))?;
                pool::recycle(payload);
                self.store.put(id, Value::Ring(hat));
            }
            Op::Truncate(_) | Op::TruncateSums(_) => {
                let mut share = self
                    .shares
                    .remove(&id)
                    .expect("the offline phase left every masked share");
                let s = self.store.take_ring(step.args[0]);
                let isa = self.prepared.isa;
                let d = truncate::server(isa, s, &share, &mut self.streams(id))
                    .map_err(|e| self.at(id).malformed(client, e))?;
                self.store.memory.free(share.len());
                pool::recycle(std::mem::take(&mut *share));
                self.store.put(id, Value::Ring(d));
                self.store.used(self.program, id);
            }
            _ if self.prepared.is_gate(id) && !has_messages(self.program, id) => {
                let hat = self.store.take_ring(step.args[0]);
                self.store.put(id, Value::Ring(hat));
                self.store.used(self.program, id);
            }
            // Gates and the revelation go on when their messages are due.
            _ => {}
        }
        Ok(())
    }

    fn send(&mut self, id: ValueId, stage: Stage, client: &mut dyn Link) -> Result<(), ExecError> {
        let payload = match stage {
            Stage::M1 => {
                let mut streams = self.streams(id);
                let (zs, exact) = self.operand(id);
                let levels = self.prepared.levels(self.program, id);
                let layer = self.prepared.gate(id);
                let (gate, m1) = gate::Server::m1(layer, zs, exact, levels, &mut streams);
                self.gates.insert(id, (gate, streams));
                m1
            }
            Stage::M3 => {
                let (mut gate, mut streams) = self.gates.remove(&id).expect("M3 follows M1");
                let m3 = gate.m3(self.operand(id).0, &mut streams);
                self.gates.insert(id, (gate, streams));
                m3.map_err(|e| self.at(id).malformed(client, e))?
            }
            _ => {
                let half = self.operand(id).0.to_vec();
                self.store.used(self.program, id);
                let payload = section::of_u16s(&half);
                pool::recycle(half);
                payload
            }
        };
        self.at(id).send(client, stage, payload)
    }

    /// The server's half of a step's operand, and D, of which patch sums are taken.
    fn operand(&self, id: ValueId) -> (Half<'_>, Exact<'_>) {
        let step = self.program.step(id);
        let x = self.store.ring(step.args[0]);
        if let Op::Max(_) = step.op {
            let y = self.store.ring(step.args[1]);
            return (Half::Difference(x, y), Exact::default());
        }
        match self.program.ty(step.args[0]).kind {
            Kind::Truncated => {
                let sums = step.args.get(1).map_or(&[][..], |&sums| self.store.ring(sums));
                (Half::D(x), Exact { pixels: x, sums })
            }
            Kind::Activation | Kind::Accumulator | Kind::Sums | Kind::Output => {
                (Half::Activation(x), Exact::default())
            }
        }
    }

    fn take(
        &mut self,
        id: ValueId,
        stage: Stage,
        payload: Vec<u8>,
        client: &dyn Link,
    ) -> Result<(), ExecError> {
        if stage == Stage::M2 {
            let (gate, _) = self.gates.get_mut(&id).expect("M2 follows M1");
            gate.take_m2(payload);
            let ends_here = !self.program.messages(id).iter().any(|m| m.stage == Stage::M4);
            return if ends_here {
                self.finish(id, &[], client)
            } else {
                Ok(())
            };
        }
        self.finish(id, &payload, client)?;
        pool::recycle(payload);
        Ok(())
    }

    fn finish(&mut self, id: ValueId, m4: &[u8], client: &dyn Link) -> Result<(), ExecError> {
        let step = self.program.step(id);
        let (gate, mut streams) = self.gates.remove(&id).expect("a gate ends once");
        let passed = self.store.ring(step.args[0]);
        let mut hat = gate
            .finish(m4, passed, step.ty.shape.len(), &mut streams)
            .map_err(|e| self.at(id).malformed(client, e))?;
        if let Op::Max(_) = step.op {
            kernel::add_assign(self.prepared.isa, &mut hat, self.store.ring(step.args[1]));
        }
        self.store.put(id, Value::Ring(hat));
        self.store.used(self.program, id);
        Ok(())
    }
}
