//! The helper: deals correlated randomness, and receives nothing that depends on an input.

use std::sync::Arc;

use trefoil_ir::mpc::{ConstId, ConstKind, Phase};
use trefoil_ir::plan::HelperPlan;
use trefoil_ir::tensor::Tensor;

use super::at::At;
use super::prepared::Prepared;
use super::store::{Memory, Store};
use super::{ExecError, Measured, flush};
use crate::kernel::Isa;
use crate::prg::{StreamKey, weight_share};
use crate::trace::StopWatch;
use crate::wire::Link;

/// The helper of one plan. Clones share the packed weights.
#[derive(Clone)]
pub struct Helper {
    plan: Arc<HelperPlan>,
    prepared: Arc<Prepared>,
    watch: StopWatch,
    measured: Measured,
}

/// The offline phase in progress.
pub(super) struct Offline<'a> {
    pub(super) isa: Isa,
    pub(super) client_key: &'a StreamKey,
    pub(super) server_key: &'a StreamKey,
    pub(super) store: Store,
    pub(super) client: &'a mut dyn Link,
}

impl Helper {
    /// Expands B and packs it.
    pub fn new(plan: HelperPlan) -> Self {
        Self::for_isa(Isa::detect(), plan)
    }

    pub(super) fn for_isa(isa: Isa, mut plan: HelperPlan) -> Self {
        let prepared = Prepared::new(isa, plan.program(), |id, len| constant(&plan, id, len));
        // B is all that it was for.
        plan.part.weight_seed.wipe();
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

    /// The helper's plan, which it runs.
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
        let phase = self.watch.start();
        let prepared = &*self.prepared;
        let mut step_seconds = Vec::with_capacity(prepared.steps.len());
        let mut offline = Offline {
            isa: prepared.isa,
            client_key,
            server_key,
            store: Store::new(&prepared.uses, Memory::starting_with(prepared.bytes())),
            client,
        };
        for step in &prepared.steps {
            let at = At::new(step, inference, &self.watch);
            step.kind.helper_offline(&at, &mut offline)?;
            offline.store.used(step);
            step_seconds.push(at.end());
        }
        flush(offline.client)?;
        self.measured = Measured {
            offline_seconds: phase.end_phase(Phase::Offline, inference),
            online_seconds: 0.0,
            step_seconds,
            peak_memory: offline.store.memory.peak(),
        };
        Ok(())
    }

    /// What the last inference took.
    pub fn measured(&mut self) -> Measured {
        std::mem::take(&mut self.measured)
    }
}

/// The helper has B and nothing of biases, multipliers or levels.
fn constant(plan: &HelperPlan, id: ConstId, len: usize) -> Option<Tensor<i32>> {
    if plan.program().constants[id.index()].kind != ConstKind::Weight {
        return None;
    }
    let share = weight_share(&plan.part.weight_seed, id, len);
    Some(Tensor::vector(share.into_iter().map(|w| w as i32).collect()))
}
