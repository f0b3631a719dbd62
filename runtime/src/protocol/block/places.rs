//! Where a group's pixels stand in a layer, and which of them a job writes.

use std::ops::Range;

use super::JOB_VALUES;

/// Where a group's pixels stand in a layer: runs of neighbours.
pub struct Places {
    runs: Vec<Run>,
    count: usize,
}

/// Neighbours in the group and in the layer.
#[derive(Clone, Copy)]
struct Run {
    group: usize,
    layer: usize,
    len: usize,
}

impl Places {
    /// The places of these channels of a layer, each of `plane` pixels.
    pub fn new(channels: &[usize], plane: usize) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (at, &channel) in channels.iter().enumerate() {
            let layer = channel * plane;
            match runs.last_mut() {
                Some(run) if run.layer + run.len == layer => run.len += plane,
                Some(_) | None => runs.push(Run {
                    group: at * plane,
                    layer,
                    len: plane,
                }),
            }
        }
        let count = channels.len() * plane;
        Self { runs, count }
    }

    /// The places of `count` values that stand in order by themselves.
    pub fn in_order(count: usize) -> Self {
        Self::new(&[0], count)
    }

    /// The number of pixels.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where a range of the group's pixels stands: each stretch of neighbours, with its place in the
    /// range.
    pub fn stretches(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, usize)> + '_ {
        let first = self
            .runs
            .partition_point(|run| run.group + run.len <= range.start);
        let runs = self.runs[first..].iter();
        runs.take_while(move |run| run.group < range.end).map({
            let range = range.clone();
            move |run| {
                let from = run.group.max(range.start);
                let to = (run.group + run.len).min(range.end);
                let layer = run.layer + from - run.group;
                (layer..layer + to - from, from - range.start)
            }
        })
    }

    /// Cuts a layer into what each job's pixels are, in their order.
    pub fn jobs<'a, T>(&self, layer: &'a mut [T]) -> Vec<Stretches<'a, T>> {
        let mut rest = layer;
        let mut gone = 0;
        let mut jobs = Vec::with_capacity(self.count.div_ceil(JOB_VALUES));
        for first in (0..self.count).step_by(JOB_VALUES) {
            let range = first..self.count.min(first + JOB_VALUES);
            let mut stretches = Vec::new();
            for (layer, _) in self.stretches(range) {
                let (_, behind) = rest.split_at_mut(layer.start - gone);
                let (stretch, behind) = behind.split_at_mut(layer.len());
                rest = behind;
                gone = layer.end;
                stretches.push(stretch);
            }
            stretches.reverse();
            jobs.push(Stretches(stretches));
        }
        jobs
    }
}

/// The places in a layer that one job writes, the last one first.
pub struct Stretches<'a, T>(Vec<&'a mut [T]>);

impl<T: Copy> Stretches<'_, T> {
    /// Writes the next values.
    pub fn write(&mut self, mut values: &[T]) {
        while !values.is_empty()
            && let Some(stretch) = self.0.last_mut()
        {
            let len = stretch.len().min(values.len());
            let (now, later) = values.split_at(len);
            let (to, rest) = std::mem::take(stretch).split_at_mut(len);
            to.copy_from_slice(now);
            *stretch = rest;
            if stretch.is_empty() {
                self.0.pop();
            }
            values = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use trefoil_ir::mpc::gate::BLOCK;

    use super::*;
    use crate::protocol::block::values_in;
    use crate::protocol::operand::Half;

    #[test]
    fn jobs_write_what_blocks_load() {
        let channels: Vec<usize> = (0..90).filter(|c| c % 5 != 1 && c % 7 != 3).collect();
        let places = Places::new(&channels, 300);
        let layer: Vec<u16> = (0..90 * 300).map(|i| (i * 7) as u16).collect();
        let mut back = vec![0; layer.len()];
        let mut values = [0; BLOCK];
        for (job, mut stretches) in places.jobs(&mut back).into_iter().enumerate() {
            for block in job * 16..places.count().div_ceil(BLOCK).min((job + 1) * 16) {
                Half::Top(&layer).load(&places, block, &mut values);
                stretches.write(&values[..values_in(block, places.count())]);
            }
        }
        for (c, (want, got)) in layer.chunks(300).zip(back.chunks(300)).enumerate() {
            let want = if channels.contains(&c) {
                want.to_vec()
            } else {
                vec![0; 300]
            };
            assert_eq!(got, want, "channel {c}");
        }
    }
}
