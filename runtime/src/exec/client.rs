//! The client: has the image and learns the output.

use std::collections::BTreeMap;
use std::sync::Arc;

use trefoil_ir::mpc::privacy::Key;
use trefoil_ir::mpc::schedule::Round;
use trefoil_ir::mpc::{ConstId, Op, Party, Phase, Program, Stage, ValueId};
use trefoil_ir::plan::ClientPlan;

use super::prepared::{Prepared, has_messages};
use super::store::{Memory, Store, Value};
use super::{At, ExecError, INPUT_MASK, Measured, add_seconds, batch, flush, local};
use crate::kernel::{self, Isa};
use crate::pool;
use crate::prg::{Purpose, StreamKey};
use crate::protocol::gate::{self, Exact, MaskSource, result_mask};
use crate::protocol::layout::Half;
use crate::protocol::streams::StepStreams;
use crate::protocol::{section, truncate};
use crate::trace::Lap;
use crate::wire::Link;

/// The client of one plan. Clones share the packed weights.
#[derive(Clone)]
pub struct Client {
    plan: Arc<ClientPlan>,
    prepared: Arc<Prepared>,
    measured: Measured,
}

/// What the client keeps of a gate until it runs.
struct GateStock {
    rs: Vec<u16>,
    deal: Vec<u8>,
}

impl GateStock {
    fn bytes(&self) -> usize {
        self.deal.len() + 2 * self.rs.len()
    }
}

impl Drop for GateStock {
    fn drop(&mut self) {
        pool::recycle(std::mem::take(&mut self.rs));
        pool::recycle(std::mem::take(&mut self.deal));
    }
}

/// What the offline phase of one inference left at the client. Used once.
pub struct ClientStock {
    inference: u32,
    input_mask: Vec<u32>,
    gates: BTreeMap<ValueId, GateStock>,
    /// The client's half of what is revealed.
    revealed: Vec<u16>,
    /// Bytes of all of this.
    bytes: u64,
}

impl ClientStock {
    /// Which inference this serves.
    pub fn inference(&self) -> u32 {
        self.inference
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn wipe(&mut self) {
        pool::recycle(std::mem::take(&mut self.input_mask));
        pool::recycle(std::mem::take(&mut self.revealed));
        self.gates.clear();
    }

    /// Whether nothing is left that [`wipe`](Self::wipe) should have wiped.
    #[cfg(test)]
    pub(super) fn is_wiped(&self) -> bool {
        let mut gates = self.gates.values();
        let gates = gates.all(|gate| gate.rs.is_empty() && gate.deal.is_empty());
        gates && self.input_mask.is_empty() && self.revealed.is_empty()
    }
}

impl Drop for ClientStock {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl Client {
    /// Packs F.
    pub fn new(plan: ClientPlan) -> Self {
        Self::for_isa(Isa::detect(), plan)
    }

    pub(super) fn for_isa(isa: Isa, plan: ClientPlan) -> Self {
        let constant = |id: ConstId, _| plan.part.constants[id.index()].clone();
        let prepared = Prepared::new(isa, plan.program(), constant);
        Self {
            plan: Arc::new(plan),
            prepared: Arc::new(prepared),
            measured: Measured::default(),
        }
    }

    /// The plan.
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
        let begin = Lap::start(helper);
        let (plan, prepared) = (Arc::clone(&self.plan), Arc::clone(&self.prepared));
        let program: &Program = plan.program();
        self.measured = Measured {
            step_seconds: vec![0.0; program.steps.len()],
            ..Measured::default()
        };
        let mut offline = Offline {
            program,
            prepared: &prepared,
            key,
            inference,
            store: Store::new(program, Memory::starting_with(prepared.bytes())),
            input_mask: Vec::new(),
            gates: BTreeMap::new(),
            revealed: Vec::new(),
        };
        for id in program.ids() {
            let lap = Lap::start(helper);
            if !local::run(program, &prepared, Party::Client, id, &mut offline.store) {
                offline.step(id, server, helper)?;
                offline.store.used(program, id);
            }
            self.measured.step_seconds[id.index()] += lap.end_step(helper, id, inference);
        }
        flush(program, server)?;
        let Offline {
            input_mask,
            gates,
            revealed,
            store,
            ..
        } = offline;
        let mut memory = store.memory;
        memory.add(4 * input_mask.len() + 2 * revealed.len());
        self.measured.peak_memory = memory.peak();
        self.measured.offline_seconds = begin.end_phase(helper, Phase::Offline, inference);
        Ok(ClientStock {
            inference,
            input_mask,
            gates,
            revealed,
            bytes: memory.current().saturating_sub(prepared.bytes() as u64),
        })
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
        let begin = Lap::start(server);
        if stocks.len() != images.len() {
            return Err(ExecError::Batch {
                images: images.len(),
                stocks: stocks.len(),
            });
        }
        let (plan, prepared) = (Arc::clone(&self.plan), Arc::clone(&self.prepared));
        let program: &Program = plan.program();
        let first = stocks.first().map_or(0, ClientStock::inference);
        let online = |stock| Online::new(program, &prepared, key, stock);
        let mut batch: Vec<Online<'_>> = stocks.into_iter().map(online).collect();
        for (online, image) in batch.iter().zip(images) {
            send_image(program, &online.stock, image, server)?;
        }
        for round in &prepared.schedule.rounds {
            batch::round(program, &mut batch, &round.server, server, |image, link| {
                image.answer_all(round, link)
            })?;
            flush(program, server)?;
        }
        self.settle(&batch);
        self.measured.online_seconds = begin.end_phase(server, Phase::Online, first);
        Ok(batch.into_iter().map(|online| online.output).collect())
    }

    /// Takes over what was measured of each image. What the client holds of one only shrinks while
    /// it is online.
    fn settle(&mut self, batch: &[Online<'_>]) {
        let mut peak = self.prepared.bytes() as u64;
        for online in batch {
            add_seconds(&mut self.measured.step_seconds, &online.step_seconds);
            peak += online.stock.bytes;
        }
        self.measured.peak_memory = self.measured.peak_memory.max(peak);
    }

    /// What the last inference took.
    pub fn measured(&mut self) -> Measured {
        std::mem::take(&mut self.measured)
    }
}

/// The offline phase in progress.
struct Offline<'a> {
    program: &'a Program,
    prepared: &'a Prepared,
    key: &'a StreamKey,
    inference: u32,
    store: Store,
    input_mask: Vec<u32>,
    gates: BTreeMap<ValueId, GateStock>,
    revealed: Vec<u16>,
}

impl Offline<'_> {
    fn step(&mut self, id: ValueId, server: &mut dyn Link, helper: &mut dyn Link) -> Result<(), ExecError> {
        let at = At {
            program: self.program,
            inference: self.inference,
            step: id,
        };
        let step = self.program.step(id);
        let isa = self.prepared.isa;
        let draws = self.prepared.draws(id).of_key(Key::ClientHelper);
        let mut streams = StepStreams::new(self.key, self.inference, id.0, draws);
        match &step.op {
            Op::Input(_) => {
                self.input_mask = streams.u32s(INPUT_MASK);
                self.store.put(id, Value::Ring(self.input_mask.clone()));
            }
            Op::Truncate(op) => {
                let share = self.store.take_ring(step.args[0]);
                let sent = truncate::client_send(isa, &share, &mut streams);
                pool::recycle(share);
                at.send(server, Stage::MaskedShare, sent)?;
                let message = at.receive(helper, Stage::TruncationMask)?;
                let rs = truncate::client_receive(isa, op, &message, step.ty.shape.len())
                    .map_err(|e| at.malformed(helper, e))?;
                pool::recycle(message);
                self.store.put(id, Value::Top(rs));
            }
            Op::TruncateSums(_) => {
                let share = self.store.take_ring(step.args[0]);
                let sent = truncate::client_send(isa, &share, &mut streams);
                pool::recycle(share);
                at.send(server, Stage::MaskedShare, sent)?;
            }
            Op::Reveal(_) => self.revealed = self.low_half(step.args[0]),
            Op::Max(_) => {
                let [x, y] = [0, 1].map(|arg| self.store.ring(step.args[arg]));
                let rs = Half::Difference(x, y).to_vec();
                let mut mask = self.gate(&at, rs, None, &mut streams, helper)?;
                kernel::add_assign(isa, &mut mask, self.store.ring(step.args[1]));
                self.store.put(id, Value::Ring(mask));
            }
            _ => {
                let rs = self.low_half(step.args[0]);
                let passed = matches!(&step.op, Op::Relu(_)).then_some(step.args[0]);
                let mask = self.gate(&at, rs, passed, &mut streams, helper)?;
                self.store.put(id, Value::Ring(mask));
            }
        }
        Ok(())
    }

    /// The client's half of a truncated value or of an activation, modulo 2^16.
    fn low_half(&self, id: ValueId) -> Vec<u16> {
        match self.store.top(id) {
            Some(rs) => Half::Top(rs).to_vec(),
            None => Half::Activation(self.store.ring(id)).to_vec(),
        }
    }

    /// Takes the helper's message of a gate in; returns the mask of its result. `passed` is the
    /// operand, if channels may pass unchanged.
    fn gate(
        &mut self,
        at: &At<'_>,
        rs: Vec<u16>,
        passed: Option<ValueId>,
        streams: &mut StepStreams<'_>,
        helper: &mut dyn Link,
    ) -> Result<Vec<u32>, ExecError> {
        let source = MaskSource {
            rs: Half::Top(&rs),
            exact: Exact::default(),
            passed: passed.map_or(&[], |operand| self.store.ring(operand)),
        };
        let mask = result_mask(self.prepared.gate(at.step), &source, streams);
        if has_messages(at.program, at.step) {
            let deal = at.receive(helper, Stage::Deal)?;
            let stock = GateStock { rs, deal };
            self.store.memory.add(stock.bytes());
            self.gates.insert(at.step, stock);
        }
        Ok(mask)
    }
}

/// The message Input: x - a.
fn send_image(
    program: &Program,
    stock: &ClientStock,
    image: &[i32],
    server: &mut dyn Link,
) -> Result<(), ExecError> {
    let input = program
        .ids()
        .find(|&id| matches!(program.step(id).op, Op::Input(_)));
    let id = input.expect("the verifier has seen the input");
    let expected = stock.input_mask.len();
    if image.len() != expected {
        return Err(ExecError::Image {
            given: image.len(),
            expected,
        });
    }
    let masked: Vec<u32> = image
        .iter()
        .zip(&stock.input_mask)
        .map(|(x, a)| (*x as u32).wrapping_sub(*a))
        .collect();
    let at = At {
        program,
        inference: stock.inference,
        step: id,
    };
    at.send(server, Stage::Input, section::of_u32s(&masked))
}

/// The online phase of one image in progress.
struct Online<'a> {
    program: &'a Program,
    prepared: &'a Prepared,
    key: &'a StreamKey,
    stock: ClientStock,
    gates: BTreeMap<ValueId, (gate::Client<'a>, GateStock, StepStreams<'a>)>,
    output: Vec<i64>,
    step_seconds: Vec<f64>,
}

impl batch::Image for Online<'_> {
    fn at(&self, step: ValueId) -> At<'_> {
        At {
            program: self.program,
            inference: self.stock.inference,
            step,
        }
    }
}

impl<'a> Online<'a> {
    fn new(program: &'a Program, prepared: &'a Prepared, key: &'a StreamKey, stock: ClientStock) -> Self {
        Self {
            program,
            prepared,
            key,
            stock,
            gates: BTreeMap::new(),
            output: Vec::new(),
            step_seconds: vec![0.0; program.steps.len()],
        }
    }

    fn at(&self, step: ValueId) -> At<'a> {
        At {
            program: self.program,
            inference: self.stock.inference,
            step,
        }
    }

    /// The client's part of a round: receives the whole bundle, then answers it.
    fn answer_all(&mut self, round: &Round, server: &mut dyn Link) -> Result<(), ExecError> {
        let mut received = Vec::with_capacity(round.server.len());
        for slot in &round.server {
            let payload = self.at(slot.step).receive(server, slot.stage)?;
            received.push((slot.step, slot.stage, payload));
        }
        for (step, stage, payload) in received {
            let lap = Lap::start(server);
            if stage == Stage::Reveal {
                self.output = self.reveal(step, &payload, server)?;
            } else {
                self.answer(step, stage, payload, server)?;
            }
            self.step_seconds[step.index()] += lap.end_step(server, step, self.stock.inference);
        }
        Ok(())
    }

    /// M2 answers M1, M4 answers M3.
    fn answer(
        &mut self,
        id: ValueId,
        stage: Stage,
        payload: Vec<u8>,
        server: &mut dyn Link,
    ) -> Result<(), ExecError> {
        let at = self.at(id);
        if stage == Stage::M1 {
            let stock = self
                .stock
                .gates
                .remove(&id)
                .expect("the offline phase left a stock for every gate");
            let draws = self.prepared.draws(id).of_key(Key::ClientHelper);
            let mut streams = StepStreams::new(self.key, self.stock.inference, id.0, draws);
            // The mask of the result was drawn offline, to prepare the layers behind; here it is applied.
            streams.replay(Purpose::FreshMask);
            let layer = self.prepared.gate(id);
            let levels = self.prepared.levels(self.program, id);
            let rs = Half::Top(&stock.rs);
            let (gate, m2) = gate::Client::m2(layer, rs, &stock.deal, payload, levels, &mut streams)
                .map_err(|e| at.malformed(server, e))?;
            if layer.bytes(Stage::M3) > 0 {
                self.gates.insert(id, (gate, stock, streams));
            }
            return at.send(server, Stage::M2, m2);
        }
        let (gate, stock, mut streams) = self.gates.remove(&id).expect("M3 follows M1");
        let m4 = gate
            .m4(Half::Top(&stock.rs), &stock.deal, &payload, &mut streams)
            .map_err(|e| at.malformed(server, e))?;
        pool::recycle(payload);
        at.send(server, Stage::M4, m4)
    }

    /// The server's half plus the client's.
    fn reveal(&self, id: ValueId, payload: &[u8], server: &dyn Link) -> Result<Vec<i64>, ExecError> {
        let count = self.stock.revealed.len();
        let halves = section::to_u16s(payload, count).map_err(|e| self.at(id).malformed(server, e))?;
        let open = |(s, c): (&u16, &u16)| i64::from(s.wrapping_add(*c) as i16);
        Ok(halves.iter().zip(&self.stock.revealed).map(open).collect())
    }
}
