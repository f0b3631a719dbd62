//! The instance: groups of items with costs and losses, in flat storage.

use std::ops::Range;

use thiserror::Error;

/// The greatest sum of the groups' dearest items: costs below it are exact in `f64`.
pub const MAX_COST: u64 = 1 << 53;

/// The greatest magnitude of a loss, so that no sum of losses overflows.
pub const MAX_LOSS: f64 = 1e150;

/// One option of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// What it takes of the budget.
    pub cost: u64,
    /// What it adds to the objective, which is minimised; may be negative.
    pub loss: f64,
}

/// A multiple-choice knapsack without its budget: exactly one item of every group is to be chosen.
#[derive(Clone, Debug, Default)]
pub struct Problem {
    items: Vec<Item>,
    ends: Vec<usize>,
    dearest: u64,
}

/// Why a group can't be part of a problem.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ProblemError {
    /// A group has no item.
    #[error("group {group} has no items; give it at least one, or leave the group out")]
    Empty {
        /// Number of the group, from 0.
        group: usize,
    },
    /// A loss is no number that can be added up.
    #[error(
        "item {item} of group {group} has loss {loss}; losses must be finite and at most {MAX_LOSS:e} in size, \
         so look for a fault where the losses were measured"
    )]
    Loss {
        /// Number of the group, from 0.
        group: usize,
        /// The item in the group.
        item: usize,
        /// The loss that was given.
        loss: f64,
    },
    /// The costs are too great to be added exactly.
    #[error(
        "with group {group} the dearest items cost more than 2^53 together; \
         count in a coarser unit (bytes instead of bits, microseconds instead of nanoseconds)"
    )]
    Cost {
        /// The group whose dearest item passed the limit.
        group: usize,
    },
    /// More items in a group, or more groups, than 32-bit indices can name.
    #[error("group {group} exceeds 2^32 groups or items; merge equal options before you pose the problem")]
    Size {
        /// Number of the group, from 0.
        group: usize,
    },
}

impl Problem {
    /// A problem of the given groups.
    pub fn new<G>(groups: impl IntoIterator<Item = G>) -> Result<Problem, ProblemError>
    where
        G: IntoIterator<Item = Item>,
    {
        let mut problem = Problem::default();
        for group in groups {
            problem.push(group)?;
        }
        Ok(problem)
    }

    /// Adds a group; a group that is refused leaves the problem as it was.
    pub fn push(&mut self, items: impl IntoIterator<Item = Item>) -> Result<(), ProblemError> {
        let start = self.items.len();
        self.items.extend(items);
        match self.check(start) {
            Ok(dearest) => {
                self.dearest = dearest;
                self.ends.push(self.items.len());
                Ok(())
            }
            Err(error) => {
                self.items.truncate(start);
                Err(error)
            }
        }
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.ends.len()
    }

    /// The number of items in all groups.
    pub fn items(&self) -> usize {
        self.items.len()
    }

    /// The items of one group.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn group(&self, group: usize) -> &[Item] {
        &self.items[self.range(group)]
    }

    /// The cost of one item per group.
    ///
    /// # Panics
    /// If `choice` isn't one item of every group.
    pub fn cost(&self, choice: &[usize]) -> u64 {
        self.chosen(choice).map(|item| item.cost).sum()
    }

    /// The loss of one item per group, summed with compensation.
    ///
    /// # Panics
    /// If `choice` isn't one item of every group.
    pub fn loss(&self, choice: &[usize]) -> f64 {
        super::sum::compensated(self.chosen(choice).map(|item| item.loss))
    }

    fn chosen<'a>(&'a self, choice: &'a [usize]) -> impl Iterator<Item = Item> + 'a {
        assert_eq!(choice.len(), self.groups(), "one item for every group");
        choice
            .iter()
            .enumerate()
            .map(|(group, &item)| self.group(group)[item])
    }

    fn range(&self, group: usize) -> Range<usize> {
        let start = group.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[group]
    }

    /// Checks the items from `start` on as the next group; returns the dearest items' sum with it.
    fn check(&self, start: usize) -> Result<u64, ProblemError> {
        let group = self.groups();
        let items = &self.items[start..];
        let limit = u32::MAX as usize;
        if self.items.len() >= limit || group >= limit {
            return Err(ProblemError::Size { group });
        }
        for (item, &Item { loss, .. }) in items.iter().enumerate() {
            // A range, because NaN must be outside too.
            if !(-MAX_LOSS..=MAX_LOSS).contains(&loss) {
                return Err(ProblemError::Loss { group, item, loss });
            }
        }
        let dearest = items.iter().map(|item| item.cost).max();
        let dearest = dearest.ok_or(ProblemError::Empty { group })?;
        let sum = self.dearest.checked_add(dearest);
        sum.filter(|&sum| sum <= MAX_COST)
            .ok_or(ProblemError::Cost { group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(cost: u64, loss: f64) -> Item {
        Item { cost, loss }
    }

    #[test]
    fn faulty_groups_are_named_and_leave_no_trace() {
        let mut problem = Problem::new([[item(1, 0.0)]]).unwrap();
        assert_eq!(problem.push([]), Err(ProblemError::Empty { group: 1 }));
        let nan = problem.push([item(0, 1.0), item(1, f64::NAN)]).unwrap_err();
        assert!(matches!(
            nan,
            ProblemError::Loss {
                group: 1,
                item: 1,
                ..
            }
        ));
        let infinite = problem.push([item(0, f64::NEG_INFINITY)]).unwrap_err();
        assert!(matches!(infinite, ProblemError::Loss { item: 0, .. }));
        for cost in [MAX_COST, u64::MAX] {
            assert_eq!(
                problem.push([item(cost, 0.0)]),
                Err(ProblemError::Cost { group: 1 })
            );
        }
        problem.push([item(MAX_COST - 1, 0.0)]).unwrap();
        assert_eq!((problem.groups(), problem.items()), (2, 2));
    }

    #[test]
    fn an_assignment_is_evaluated_on_the_groups_own_order() {
        let problem = Problem::new([vec![item(4, 1.0), item(2, 3.0)], vec![item(7, -2.0)]]).unwrap();
        assert_eq!(problem.cost(&[1, 0]), 9);
        assert_eq!(problem.loss(&[1, 0]), 1.0);
    }
}
