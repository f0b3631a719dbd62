//! The rule of patch sums: what a gate takes from its second operand are sums over its own patches.

use std::collections::HashMap;

use thiserror::Error;

use crate::geometry::{Patches, Window};
use crate::mpc::op::{Class, Local, Op, Truncation};
use crate::mpc::patch_sums::SumList;
use crate::mpc::program::{Program, ValueId};

/// Why a step does not make the patch sums that a gate takes.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Mismatch {
    #[error("these patch sums stand at two places of the gates that use them: compute them for each")]
    TwoPlaces,
    #[error("a part of these patch sums ends within an entry of the gate that uses them")]
    CutEntry,
    #[error("these are not the sums over the patches of the gate that uses them")]
    OtherPatches,
    #[error("`{0}` makes no patch sums")]
    NoSums(&'static str),
}

/// Where the values that patch sums are made of stand, in all gates of a program. Each has one place,
/// so that a check of all gates takes no more steps than the program has, whatever its chains.
#[derive(Default)]
pub(super) struct Origins {
    /// A number for each list of patches on a map of so many rows and columns.
    lists: HashMap<(Patches, [usize; 2]), usize>,
    /// For each value, the number of the list that it is a stretch of, and the entry with which it
    /// begins.
    places: HashMap<ValueId, (usize, usize)>,
}

impl Origins {
    /// Checks that a vector of sums was made of the entries in `list`, patch for patch, on a map of
    /// `map` rows and columns, by the steps that make such vectors.
    ///
    /// # Errors
    /// The first step that does not fit, and why.
    pub(super) fn check(
        &mut self,
        program: &Program,
        sums: ValueId,
        list: &SumList,
        map: [usize; 2],
    ) -> Result<(), (ValueId, Mismatch)> {
        let count = self.lists.len();
        let number = *self.lists.entry((list.patches.clone(), map)).or_insert(count);
        let gate = GateSums {
            list,
            map,
            starts: list.starts(map[0], map[1]),
        };
        let mut open = vec![Stretch {
            value: sums,
            first: 0,
            last: list.patches.len(),
        }];
        while let Some(stretch) = open.pop() {
            self.visit(program, &gate, number, stretch, &mut open)
                .map_err(|mismatch| (stretch.value, mismatch))?;
        }
        Ok(())
    }

    /// Checks the step that makes a stretch, unless that is done, and opens what it is made of.
    fn visit(
        &mut self,
        program: &Program,
        gate: &GateSums<'_>,
        number: usize,
        stretch: Stretch,
        open: &mut Vec<Stretch>,
    ) -> Result<(), Mismatch> {
        let place = (number, stretch.first);
        match self.places.insert(stretch.value, place) {
            None => gate.follow(program, stretch, open),
            Some(known) if known == place => Ok(()),
            Some(_) => Err(Mismatch::TwoPlaces),
        }
    }
}

/// A value that holds the sums of a gate's entries `first..last`.
#[derive(Clone, Copy)]
struct Stretch {
    value: ValueId,
    first: usize,
    last: usize,
}

/// The sums that a gate takes.
struct GateSums<'a> {
    list: &'a SumList,
    /// Rows and columns of the gate's map.
    map: [usize; 2],
    /// Where each entry's sums begin in the gate's operand.
    starts: Vec<usize>,
}

impl GateSums<'_> {
    /// Checks the step that makes a stretch, and opens the operands that it only hands on.
    fn follow(&self, program: &Program, stretch: Stretch, open: &mut Vec<Stretch>) -> Result<(), Mismatch> {
        let step = program.step(stretch.value);
        match source(&step.op) {
            Source::Made(sums, window) => {
                let input = program.ty(step.args[0]).shape;
                self.check_made(stretch, sums, window.output(input.h, input.w).ok())
            }
            Source::Operands => {
                open.extend(step.args.iter().map(|&value| Stretch { value, ..stretch }));
                Ok(())
            }
            Source::Parts => self.split(program, &step.args, stretch, open),
            Source::None => Err(Mismatch::NoSums(step.op.name())),
        }
    }

    /// The sums that a step makes must be those of the stretch.
    fn check_made(&self, stretch: Stretch, made: &SumList, map: Option<[usize; 2]>) -> Result<(), Mismatch> {
        if made.patches == self.list.patches[stretch.first..stretch.last] && map == Some(self.map) {
            Ok(())
        } else {
            Err(Mismatch::OtherPatches)
        }
    }

    /// Opens each part of a concatenation with the entries that it holds.
    fn split(
        &self,
        program: &Program,
        parts: &[ValueId],
        Stretch { first, last, .. }: Stretch,
        open: &mut Vec<Stretch>,
    ) -> Result<(), Mismatch> {
        let mut entry = first;
        let mut position = *self.starts.get(first).ok_or(Mismatch::CutEntry)?;
        for (at, &part) in parts.iter().enumerate() {
            position += program.ty(part).shape.len();
            // All parts together are as long as all entries, and none is empty.
            let end = if at + 1 == parts.len() {
                last
            } else {
                let behind = self.starts[entry..last].binary_search(&position);
                entry + behind.map_err(|_| Mismatch::CutEntry)?
            };
            open.push(Stretch {
                value: part,
                first: entry,
                last: end,
            });
            entry = end;
        }
        Ok(())
    }
}

/// Where a step has patch sums from.
enum Source<'a> {
    /// It makes them, on the map that a window makes of its operand.
    Made(&'a SumList, &'a Window),
    /// Each of its operands holds the same sums.
    Operands,
    /// Its operands hold them one behind the other.
    Parts,
    /// It has none.
    None,
}

fn source(op: &Op) -> Source<'_> {
    match op.class() {
        Class::Local(local) => local_source(local),
        Class::Truncate(Truncation::Sums) => Source::Operands,
        Class::Input | Class::Truncate(Truncation::Pixels(_)) | Class::Gate(_) | Class::Reveal => {
            Source::None
        }
    }
}

fn local_source(local: Local<'_>) -> Source<'_> {
    match local {
        Local::Conv2dSums(op) => Source::Made(&op.sums, &op.window),
        Local::PoolSums(op) => Source::Made(&op.sums, &op.window),
        Local::Add => Source::Operands,
        Local::Concat => Source::Parts,
        Local::Conv2d(_)
        | Local::Lift(_)
        | Local::SumPool(_)
        | Local::Interpolate(_)
        | Local::Gather(_)
        | Local::Pad(_)
        | Local::Reshape
        | Local::Shuffle(_) => Source::None,
    }
}
