//! The helper: deals correlated randomness, and receives nothing that depends on an input.

use std::sync::Arc;

use trefoil_ir::mpc::privacy::Key;
use trefoil_ir::mpc::{Op, Party, Phase, Program, Stage};
use trefoil_ir::plan::HelperPlan;
use trefoil_ir::tensor::Tensor;

use super::prepared::{Prepared, has_messages};
use super::store::{Memory, Store, Value};
use super::{At, ExecError, INPUT_MASK, Measured, flush, local};
use crate::kernel::{self, Isa};
use crate::prg::{StreamKey, weight_share};
use crate::protocol::gate::{Exact, MaskSource, helper_deal, result_mask};
use crate::protocol::layout::Half;
use crate::protocol::streams::StepStreams;
use crate::protocol::truncate;
use crate::trace::Lap;
use crate::wire::Link;

/// The helper of one plan. Clones share the packed weights.
#[derive(Clone)]
pub struct Helper {
    plan: Arc<HelperPlan>,
    prepared: Arc<Prepared>,
    measured: Measured,
}

impl Helper {
    /// Expands B and packs it.
    pub fn new(plan: HelperPlan) -> Self {
        Self::for_isa(Isa::detect(), plan)
    }

    pub(super) fn for_isa(isa: Isa, mut plan: HelperPlan) -> Self {
        let seed = &plan.part.weight_seed;
        let share = |id, len: usize| {
            let share = weight_share(seed, id, len);
            Some(Tensor::vector(share.into_iter().map(|w| w as i32).collect()))
        };
        // The helper has B and nothing of biases, multipliers or levels.
        let is_weight = |id: trefoil_ir::mpc::ConstId| {
            plan.program().constants[id.index()].kind == trefoil_ir::mpc::ConstKind::Weight
        };
        let constant = |id, len| if is_weight(id) { share(id, len) } else { None };
        let prepared = Prepared::new(isa, plan.program(), constant);
        // B is all that it was for.
        plan.part.weight_seed.wipe();
        Self {
            plan: Arc::new(plan),
            prepared: Arc::new(prepared),
            measured: Measured::default(),
        }
    }

    /// The plan.
    pub fn plan(&self) -> &HelperPlan {
        &self.plan
    }

    /// Deals one inference.
    ///
    /// # Errors
    /// If the link to the client fails.
    pub fn offline(
        &mut self,
        client_key: &StreamKey,
        server_key: &StreamKey,
        inference: u32,
        client: &mut dyn Link,
    ) -> Result<(), ExecError> {
        let begin = Lap::start(client);
        let (plan, prepared) = (Arc::clone(&self.plan), Arc::clone(&self.prepared));
        let program: &Program = plan.program();
        self.measured = Measured {
            step_seconds: vec![0.0; program.steps.len()],
            ..Measured::default()
        };
        let mut store = Store::new(program, Memory::starting_with(prepared.bytes()));
        for id in program.ids() {
            let at = At {
                program,
                inference,
                step: id,
            };
            let lap = Lap::start(client);
            if !local::run(program, &prepared, Party::Helper, id, &mut store) {
                let streams = |stream_key, key| {
                    StepStreams::new(stream_key, inference, id.0, prepared.draws(id).of_key(key))
                };
                let with_client = streams(client_key, Key::ClientHelper);
                let with_server = streams(server_key, Key::ServerHelper);
                run_step(&at, &prepared, &mut store, (with_client, with_server), client)?;
                store.used(program, id);
            }
            self.measured.step_seconds[id.index()] = lap.end_step(client, id, inference);
        }
        flush(program, client)?;
        self.measured.peak_memory = store.memory.peak();
        self.measured.offline_seconds = begin.end_phase(client, Phase::Offline, inference);
        Ok(())
    }

    /// What the last inference took.
    pub fn measured(&mut self) -> Measured {
        std::mem::take(&mut self.measured)
    }
}

fn run_step(
    at: &At<'_>,
    prepared: &Prepared,
    store: &mut Store,
    (mut client_streams, mut server_streams): (StepStreams<'_>, StepStreams<'_>),
    client: &mut dyn Link,
) -> Result<(), ExecError> {
    let (program, id) = (at.program, at.step);
    let step = program.step(id);
    match &step.op {
        Op::Input(_) => {
            store.put(id, Value::Ring(client_streams.u32s(INPUT_MASK)));
        }
        Op::Truncate(op) => {
            let h = store.take_ring(step.args[0]);
            let (r, message) =
                truncate::helper(prepared.isa, op, h, &mut client_streams, &mut server_streams);
            at.send(client, Stage::TruncationMask, message)?;
            store.put(id, Value::Ring(r));
        }
        Op::TruncateSums(_) => {
            let h = store.take_ring(step.args[0]);
            let r = truncate::helper_sums(prepared.isa, h, &mut client_streams, &mut server_streams);
            store.put(id, Value::Ring(r));
        }
        Op::Reveal(_) => {}
        Op::Max(_) => {
            let (x, y) = (store.ring(step.args[0]), store.ring(step.args[1]));
            let source = MaskSource {
                rs: Half::Difference(x, y),
                exact: Exact::default(),
                passed: &[],
            };
            let mut mask = deal(
                at,
                prepared,
                &source,
                &mut client_streams,
                &mut server_streams,
                client,
            )?;
            kernel::add_assign(prepared.isa, &mut mask, y);
            store.put(id, Value::Ring(mask));
        }
        _ => {
            let r = store.ring(step.args[0]);
            let source = MaskSource {
                rs: match &step.op {
                    Op::Relu(_) => Half::Activation(r),
                    _ => Half::R(r),
                },
                exact: Exact {
                    pixels: r,
                    sums: step.args.get(1).map_or(&[], |&sums| store.ring(sums)),
                },
                passed: r,
            };
            let mask = deal(
                at,
                prepared,
                &source,
                &mut client_streams,
                &mut server_streams,
                client,
            )?;
            store.put(id, Value::Ring(mask));
        }
    }
    Ok(())
}

fn deal(
    at: &At<'_>,
    prepared: &Prepared,
    source: &MaskSource<'_>,
    client_streams: &mut StepStreams<'_>,
    server_streams: &mut StepStreams<'_>,
    client: &mut dyn Link,
) -> Result<Vec<u32>, ExecError> {
    let layer = prepared.gate(at.step);
    if has_messages(at.program, at.step) {
        let message = helper_deal(layer, source, client_streams, server_streams);
        at.send(client, Stage::Deal, message)?;
    }
    Ok(result_mask(layer, source, client_streams))
}
