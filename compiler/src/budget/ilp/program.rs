//! The problem with side constraints: items with several costs, caps and ties.

use serde::Serialize;
use thiserror::Error;

use crate::budget::knapsack::{MAX_COST, MAX_LOSS};

/// The greatest magnitude of a loss: the sum over tied groups must still be an item's loss.
const MAX_TIED_LOSS: f64 = MAX_LOSS / 4_294_967_296.0;

/// A choice of one item per group with any number of caps and ties.
///
/// Every item has one cost per *resource* (signs, bytes, nanoseconds); caps limit the sum of one
/// resource over some groups; tied groups must choose items of the same index.
#[derive(Clone, Debug)]
pub struct Program {
    resources: usize,
    groups: Vec<Group>,
    caps: Vec<Cap>,
    ties: Vec<Vec<usize>>,
    /// Per resource what the groups' dearest items use together.
    dearest: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Group {
    losses: Vec<f64>,
    /// One cost per resource for every item, item after item.
    costs: Vec<u64>,
}

/// A limit of what some groups may use of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cap {
    /// Number of the resource, from 0.
    pub resource: usize,
    /// The groups that share the cap; `None` for all.
    pub groups: Option<Vec<usize>>,
    /// The most that they may use together.
    pub limit: u64,
}

/// Why something can't be part of a program.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ProgramError {
    /// A group has no item.
    #[error("group {group} has no items; give it at least one, or leave the group out")]
    Empty {
        /// Number of the group, from 0.
        group: usize,
    },
    /// A loss is no number that can be added up.
    #[error(
        "item {item} of group {group} has loss {loss}; losses must be finite and at most {MAX_TIED_LOSS:e} in \
         size, so look for a fault where the losses were measured"
    )]
    Loss {
        /// Number of the group, from 0.
        group: usize,
        /// The item in the group.
        item: usize,
        /// The loss that was given.
        loss: f64,
    },
    /// An item's costs are not one per resource.
    #[error(
        "item {item} of group {group} has {found} costs, but there are {resources} resources; give one cost for each"
    )]
    Costs {
        /// Number of the group, from 0.
        group: usize,
        /// The item in the group.
        item: usize,
        /// How many costs it has.
        found: usize,
        /// How many it should have.
        resources: usize,
    },
    /// The costs are too great to be added exactly.
    #[error(
        "with group {group} the dearest items use more than 2^53 of resource {resource} together; \
         count it in a coarser unit"
    )]
    Sum {
        /// Number of the group, from 0.
        group: usize,
        /// Number of the resource, from 0.
        resource: usize,
    },
    /// A cap or a tie names a resource that doesn't exist.
    #[error("there is no resource {resource}; the program has {resources}, counted from 0")]
    Resource {
        /// The number that was given.
        resource: usize,
        /// How many there are.
        resources: usize,
    },
    /// A cap or a tie names a group that doesn't exist.
    #[error(
        "there is no group {group}; the program has {groups}, counted from 0; add groups before caps and ties"
    )]
    Group {
        /// The number that was given.
        group: usize,
        /// How many there are.
        groups: usize,
    },
    /// Groups with different numbers of items are tied.
    #[error(
        "groups {first} and {second} are tied but have {first_items} and {second_items} items; \
         tied groups need the same items in the same order"
    )]
    Tie {
        /// One group.
        first: usize,
        /// The other.
        second: usize,
        /// Items of the one.
        first_items: usize,
        /// Items of the other.
        second_items: usize,
    },
}

impl Program {
    /// A program without groups, whose items will have one cost for each of `resources` resources.
    pub fn new(resources: usize) -> Program {
        Program {
            resources,
            groups: Vec::new(),
            caps: Vec::new(),
            ties: Vec::new(),
            dearest: vec![0; resources],
        }
    }

    /// Adds a group of items, each its costs and its loss.
    pub fn push<C: AsRef<[u64]>>(
        &mut self,
        items: impl IntoIterator<Item = (C, f64)>,
    ) -> Result<(), ProgramError> {
        let number = self.groups.len();
        let mut group = Group {
            losses: Vec::new(),
            costs: Vec::new(),
        };
        for (item, (costs, loss)) in items.into_iter().enumerate() {
            let costs = costs.as_ref();
            self.check_item((number, item), costs, loss)?;
            group.losses.push(loss);
            group.costs.extend(costs);
        }
        self.dearest = self.check_group(number, &group)?;
        self.groups.push(group);
        Ok(())
    }

    /// Limits one resource over all groups, also those that are added later.
    pub fn budget(&mut self, resource: usize, limit: u64) -> Result<(), ProgramError> {
        self.cap(Cap {
            resource,
            groups: None,
            limit,
        })
    }

    /// Adds a cap.
    pub fn cap(&mut self, cap: Cap) -> Result<(), ProgramError> {
        if cap.resource >= self.resources {
            return Err(ProgramError::Resource {
                resource: cap.resource,
                resources: self.resources,
            });
        }
        self.check_names(cap.groups.iter().flatten())?;
        self.caps.push(cap);
        Ok(())
    }

    /// Makes some groups choose items of the same index.
    pub fn tie(&mut self, groups: Vec<usize>) -> Result<(), ProgramError> {
        self.check_names(&groups)?;
        if let Some(pair) = groups
            .windows(2)
            .find(|pair| self.items(pair[0]) != self.items(pair[1]))
        {
            return Err(ProgramError::Tie {
                first: pair[0],
                second: pair[1],
                first_items: self.items(pair[0]),
                second_items: self.items(pair[1]),
            });
        }
        self.ties.push(groups);
        Ok(())
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The number of items of a group.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn items(&self, group: usize) -> usize {
        self.groups[group].losses.len()
    }

    /// What an item uses of a resource.
    ///
    /// # Panics
    /// If there is no such item or resource.
    pub fn cost(&self, group: usize, item: usize, resource: usize) -> u64 {
        self.groups[group].costs[item * self.resources..][..self.resources][resource]
    }

    /// What an item loses.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn loss(&self, group: usize, item: usize) -> f64 {
        self.groups[group].losses[item]
    }

    /// What a choice uses of every resource.
    ///
    /// # Panics
    /// If `choice` isn't one item of every group.
    pub fn uses(&self, choice: &[usize]) -> Vec<u64> {
        assert_eq!(choice.len(), self.groups(), "one item for every group");
        let mut uses = Vec::with_capacity(self.resources);
        for resource in 0..self.resources {
            let chosen = choice.iter().enumerate();
            uses.push(
                chosen
                    .map(|(group, &item)| self.cost(group, item, resource))
                    .sum(),
            );
        }
        uses
    }

    /// The caps, budgets among them, in the order in which they were added.
    pub fn caps(&self) -> &[Cap] {
        &self.caps
    }

    /// The sets of tied groups.
    pub fn ties(&self) -> &[Vec<usize>] {
        &self.ties
    }

    fn check_item(
        &self,
        (group, item): (usize, usize),
        costs: &[u64],
        loss: f64,
    ) -> Result<(), ProgramError> {
        if costs.len() != self.resources {
            return Err(ProgramError::Costs {
                group,
                item,
                found: costs.len(),
                resources: self.resources,
            });
        }
        // A range, because NaN must be outside too.
        if (-MAX_TIED_LOSS..=MAX_TIED_LOSS).contains(&loss) {
            Ok(())
        } else {
            Err(ProgramError::Loss { group, item, loss })
        }
    }

    /// Checks the next group as a whole; returns `dearest` with it.
    fn check_group(&self, number: usize, group: &Group) -> Result<Vec<u64>, ProgramError> {
        if group.losses.is_empty() {
            return Err(ProgramError::Empty { group: number });
        }
        let sums = self.dearest.iter().enumerate().map(|(resource, &before)| {
            let costs = group.costs.iter().skip(resource).step_by(self.resources);
            let sum = before.checked_add(costs.max().copied().unwrap_or(0));
            let sum = sum.filter(|&sum| sum <= MAX_COST);
            sum.ok_or(ProgramError::Sum {
                group: number,
                resource,
            })
        });
        sums.collect()
    }

    fn check_names<'a>(&self, named: impl IntoIterator<Item = &'a usize>) -> Result<(), ProgramError> {
        let groups = self.groups();
        match named.into_iter().find(|&&group| group >= groups) {
            Some(&group) => Err(ProgramError::Group { group, groups }),
            None => Ok(()),
        }
    }
}
