//! What it takes to run something on one image, said before it is run: memory and work.
//!
//! A file of some hundred bytes can ask for gigabytes and hours, of which no single value is beyond
//! measure. All numbers here saturate.

/// What one image takes; `Id` names the values, of a graph or of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand<Id> {
    /// Bytes of all constants, held throughout.
    pub constants: u64,
    /// Bytes of values and of what their making takes, where they are most.
    pub peak: u64,
    /// The value at which that is.
    pub peak_at: Id,
    /// Bytes of all values together.
    pub values: u64,
    /// Work, in multiply-adds of a matrix product: what else is done counts as as many as take the
    /// same time.
    pub work: u64,
    /// The value that takes most of it.
    pub work_at: Id,
}

/// Adds values up, in the order in which they are computed.
pub(crate) struct Tally<Id> {
    demand: Demand<Id>,
    live: u64,
    most_work: u64,
}

impl<Id: Copy> Tally<Id> {
    /// Nothing is computed yet, and `first` comes first.
    pub(crate) fn new(constants: u64, first: Id) -> Self {
        let demand = Demand {
            constants,
            peak: 0,
            peak_at: first,
            values: 0,
            work: 0,
            work_at: first,
        };
        Self {
            demand,
            live: 0,
            most_work: 0,
        }
    }

    /// A value of so many bytes is computed, with so many beside it meanwhile.
    pub(crate) fn compute(&mut self, id: Id, bytes: u64, scratch: u64, work: u64) {
        self.live = self.live.saturating_add(bytes);
        let demand = &mut self.demand;
        demand.values = demand.values.saturating_add(bytes);
        let now = self.live.saturating_add(scratch);
        if now > demand.peak {
            demand.peak = now;
            demand.peak_at = id;
        }
        demand.work = demand.work.saturating_add(work);
        if work > self.most_work {
            self.most_work = work;
            demand.work_at = id;
        }
    }

    /// A value of so many bytes has had its last use.
    pub(crate) fn free(&mut self, bytes: u64) {
        self.live = self.live.saturating_sub(bytes);
    }

    pub(crate) fn finish(self) -> Demand<Id> {
        self.demand
    }
}

/// A product that does not wrap.
pub(crate) fn product(factors: &[usize]) -> u64 {
    factors
        .iter()
        .fold(1, |product: u64, &factor| product.saturating_mul(factor as u64))
}
