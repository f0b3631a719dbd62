//! The plans that a listening party offers: sessions of each at a time, and which there are may change while
//! it runs.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use trefoil_ir::plan::PlanId;

use crate::session::{Hosts, Identity, Statement};

/// A plan, ready to be executed.
pub struct Hosted<P> {
    /// This party with that plan.
    pub identity: Identity,
    /// What executes it.
    pub party: P,
}

/// The plans on offer; there is at least one whenever somebody asks.
pub struct Offer<P>(RwLock<Vec<Arc<Hosted<P>>>>);

/// There would be no plan left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no plan is left: put at least one into the folder of plans")]
pub struct NoPlan;

impl<P> Offer<P> {
    /// These plans. Of two of one compilation the first counts.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(plans: Vec<Hosted<P>>) -> Result<Self, NoPlan> {
        let plans: Vec<_> = plans.into_iter().map(Arc::new).collect();
        match plans.is_empty() {
            true => Err(NoPlan),
            false => Ok(Self(RwLock::new(plans))),
        }
    }

    /// Adds a plan, unless it is there already; whether it was added.
    pub fn add(&self, plan: Hosted<P>) -> bool {
        let mut plans = self.write();
        let is_new = plans.iter().all(|one| !one.identity.is(&plan.identity));
        if is_new {
            plans.push(Arc::new(plan));
        }
        is_new
    }

    /// Withdraws the plans of which `keep` says no; returns theirs. Sessions that run go on to their end.
    ///
    /// # Errors
    /// If none would be left; all stay then.
    pub fn withdraw(&self, keep: impl Fn(&Identity) -> bool) -> Result<Vec<PlanId>, NoPlan> {
        let mut plans = self.write();
        let (kept, gone): (Vec<_>, Vec<_>) = plans.iter().cloned().partition(|one| keep(&one.identity));
        if kept.is_empty() {
            return Err(NoPlan);
        }
        *plans = kept;
        Ok(gone.iter().map(|one| one.identity.plan_id()).collect())
    }

    /// The plan of a session, unless it was withdrawn since.
    pub fn find(&self, identity: &Identity) -> Option<Arc<Hosted<P>>> {
        let plans = self.read();
        plans.iter().find(|one| one.identity.is(identity)).cloned()
    }

    /// Which compilations there are.
    pub fn ids(&self) -> Vec<PlanId> {
        self.read().iter().map(|one| one.identity.plan_id()).collect()
    }

    /// Their ids, as people write them.
    pub(super) fn names(&self) -> Vec<String> {
        self.ids().iter().map(ToString::to_string).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Hosted<P>>>> {
        // The list is replaced in one go.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Arc<Hosted<P>>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Send + Sync> Hosts for Offer<P> {
    fn host(&self, hello: &Statement) -> Identity {
        let plans = self.read();
        let same = plans
            .iter()
            .find(|one| one.identity.plan_id() == hello.from.plan_id);
        // Where none fits, the first tells the opener so.
        let one = same.or(plans.first());
        one.map(|one| one.identity.clone())
            .expect("there is always a plan on offer")
    }
}
