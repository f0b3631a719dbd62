//! What is left of every group once dominated items are gone, and its lower convex hull.
//!
//! An item is dominated by one of the same group that costs no more and loses no more. Many patch
//! shapes cover a map with the same number of patches; of those only the best one remains.

use std::ops::Range;

use super::problem::{Item, Problem};

/// The undominated items of all groups: in every group costs rise and losses fall strictly.
pub(super) struct Frontier {
    points: Vec<Point>,
    ends: Vec<usize>,
}

/// An undominated item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) cost: u64,
    pub(super) loss: f64,
    /// Its index in its group of the problem.
    pub(super) item: u32,
}

/// A step from one hull point of a group to the next dearer one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Loss saved per unit of cost.
    pub(super) slope: f64,
    pub(super) cost: u64,
    pub(super) group: u32,
    /// The point that it leads to, counted in its group.
    pub(super) to: u32,
}

impl Frontier {
    pub(super) fn of(problem: &Problem) -> Frontier {
        let mut points: Vec<Point> = Vec::new();
        let mut ends = Vec::with_capacity(problem.groups());
        let mut sorted = Vec::new();
        for group in 0..problem.groups() {
            sort(problem.group(group), &mut sorted);
            let start = points.len();
            for &point in &sorted {
                if points.len() == start || point.loss < points[points.len() - 1].loss {
                    points.push(point);
                }
            }
            ends.push(points.len());
        }
        Frontier { points, ends }
    }

    pub(super) fn groups(&self) -> usize {
        self.ends.len()
    }

    /// The number of points in all groups.
    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    pub(super) fn group(&self, group: usize) -> &[Point] {
        &self.points[self.range(group)]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[Point]> {
        (0..self.groups()).map(|group| self.group(group))
    }

    /// The least possible cost of an assignment.
    pub(super) fn least_cost(&self) -> u64 {
        self.iter().map(|points| points[0].cost).sum()
    }

    /// The greatest number that divides all differences of costs within groups; 0 if there are none.
    pub(super) fn cost_step(&self) -> u64 {
        let mut step = 0;
        for points in self.iter() {
            for point in &points[1..] {
                step = gcd(step, point.cost - points[0].cost);
            }
            if step == 1 {
                break;
            }
        }
        step
    }

    /// All steps along the groups' lower hulls, steepest first. Within a group the slopes fall
    /// strictly, so the order respects the hulls; equal slopes of several groups go by group.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut hull = Vec::new();
        for (group, points) in self.iter().enumerate() {
            lower_hull(points, &mut hull);
            steps.extend(hull.windows(2).map(|pair| Step {
                slope: slope(points, pair[0], pair[1]),
                cost: points[pair[1]].cost - points[pair[0]].cost,
                group: group as u32,
                to: pair[1] as u32,
            }));
        }
        steps.sort_unstable_by(|a, b| {
            let order = b.slope.total_cmp(&a.slope);
            order.then(a.group.cmp(&b.group)).then(a.to.cmp(&b.to))
        });
        steps
    }

    fn range(&self, group: usize) -> Range<usize> {
        let start = group.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[group]
    }
}

/// The items by cost, then loss, then their own order, so that the first of equals stays.
fn sort(items: &[Item], sorted: &mut Vec<Point>) {
    sorted.clear();
    sorted.extend(
        items
            .iter()
            .enumerate()
            .map(|(item, &Item { cost, loss })| Point {
                cost,
                loss,
                item: item as u32,
            }),
    );
    sorted.sort_unstable_by(|a, b| {
        let order = a.cost.cmp(&b.cost).then(a.loss.total_cmp(&b.loss));
        order.then(a.item.cmp(&b.item))
    });
}

/// The indices of the points on the lower hull, from the cheapest on.
fn lower_hull(points: &[Point], hull: &mut Vec<usize>) {
    hull.clear();
    for next in 0..points.len() {
        while let [.., before, last] = hull[..]
            && slope(points, before, last) <= slope(points, last, next)
        {
            hull.pop();
        }
        hull.push(next);
    }
}

fn slope(points: &[Point], from: usize, to: usize) -> f64 {
    let from = points[from];
    let to = points[to];
    (from.loss - to.loss) / (to.cost - from.cost) as f64
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontier(items: &[(u64, f64)]) -> Frontier {
        let items = items.iter().map(|&(cost, loss)| Item { cost, loss });
        Frontier::of(&Problem::new([items]).unwrap())
    }

    #[test]
    fn dominated_items_go_and_equal_costs_merge() {
        let left = frontier(&[(4, 1.0), (4, 0.5), (0, 9.0), (2, 9.0), (4, 0.5), (9, 0.5)]);
        let items: Vec<_> = left.group(0).iter().map(|point| point.item).collect();
        assert_eq!(items, [2, 1]);
        assert_eq!(left.cost_step(), 4);
    }

    #[test]
    fn the_hull_skips_what_lies_above_it() {
        let left = frontier(&[(0, 10.0), (1, 9.5), (2, 4.0), (3, 3.0), (4, 2.0)]);
        let steps = left.steps();
        let to: Vec<_> = steps.iter().map(|step| (step.to, step.slope)).collect();
        // The point (3, 3) lies on the segment between its neighbours, so it is no corner.
        assert_eq!(to, [(2, 3.0), (4, 1.0)]);
    }
}
