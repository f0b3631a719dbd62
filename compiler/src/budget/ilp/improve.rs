//! From the choice at the prices to a feasible one, and on to a better one.

use super::lagrange::charged;
use super::reduce::{Block, Reduced};

/// Looks at options, times rows, that the search may take.
const EFFORT: usize = 200_000_000;

/// Changes of least regret that are paired.
const CANDIDATES: usize = 300;

/// Gains below this fraction of the loss are rounding errors.
const LEAST_GAIN: f64 = 1e-12;

/// A block's change of options.
#[derive(Clone, Copy)]
struct Change {
    block: usize,
    option: usize,
    score: f64,
}

/// Makes a choice feasible, then as good as single and paired changes make it; false if no feasible
/// one is found.
pub(super) fn improve(reduced: &Reduced, prices: &[f64], choice: &mut [usize]) -> bool {
    let mut effort = EFFORT;
    if !repair(reduced, prices, choice, &mut effort) {
        return false;
    }
    descend(reduced, choice, &mut effort);
    while exchange(reduced, prices, choice, &mut effort) {
        descend(reduced, choice, &mut effort);
    }
    true
}

/// Changes options until all limits are kept: at each step the least rise of charged loss per
/// violation removed. False if there is no way down or the effort is spent.
fn repair(reduced: &Reduced, prices: &[f64], choice: &mut [usize], effort: &mut usize) -> bool {
    loop {
        let uses = reduced.uses(choice);
        let Some(over) = violation(reduced, &uses) else {
            return true;
        };
        let score = |block: &Block, held: usize, option: usize| {
            let left = violation_after(reduced, block, held, option, &uses).unwrap_or(0.0);
            let rise = regret(block, held, option, prices);
            (left < over).then(|| rise.max(0.0) / (over - left))
        };
        if !step(reduced, choice, effort, score) {
            return false;
        }
    }
}

/// Takes single changes that lose less and keep all limits, the best first.
fn descend(reduced: &Reduced, choice: &mut [usize], effort: &mut usize) {
    loop {
        let uses = reduced.uses(choice);
        let score = |block: &Block, held: usize, option: usize| {
            let gain = block.options[option].loss - block.options[held].loss;
            let keeps = gain < 0.0 && violation_after(reduced, block, held, option, &uses).is_none();
            keeps.then_some(gain)
        };
        if !step(reduced, choice, effort, score) {
            return;
        }
    }
}

/// Takes the best pair of changes that loses less and keeps all limits, among those of least regret.
fn exchange(reduced: &Reduced, prices: &[f64], choice: &mut [usize], effort: &mut usize) -> bool {
    let by_regret = changes(reduced, choice, effort, |block, held, option| {
        Some(regret(block, held, option, prices))
    });
    let Some(mut candidates) = by_regret else {
        return false;
    };
    candidates.sort_by(|a, b| a.score.total_cmp(&b.score));
    candidates.truncate(CANDIDATES);
    let Some((first, second)) = best_pair(reduced, choice, &candidates, effort) else {
        return false;
    };
    choice[first.block] = first.option;
    choice[second.block] = second.option;
    true
}

/// By how much a block's charged loss rises if it changes its option.
fn regret(block: &Block, held: usize, option: usize, prices: &[f64]) -> f64 {
    let now = charged(&block.rows, &block.options[held], prices);
    charged(&block.rows, &block.options[option], prices) - now
}

/// By how much the loss rises if a block changes its option; negative where it falls.
fn rise(reduced: &Reduced, choice: &[usize], change: &Change) -> f64 {
    let options = &reduced.blocks[change.block].options;
    options[change.option].loss - options[choice[change.block]].loss
}

fn best_pair(
    reduced: &Reduced,
    choice: &[usize],
    candidates: &[Change],
    effort: &mut usize,
) -> Option<(Change, Change)> {
    *effort = effort.checked_sub(candidates.len() * candidates.len() * reduced.rows.len())?;
    let uses = reduced.uses(choice);
    let mut best = None;
    let mut least = -LEAST_GAIN * reduced.loss(choice).abs();
    for (place, first) in candidates.iter().enumerate() {
        let block = &reduced.blocks[first.block];
        let mut after = uses.clone();
        block.change_uses(choice[first.block], first.option, &mut after);
        for second in candidates[..place]
            .iter()
            .filter(|second| second.block != first.block)
        {
            let rise = rise(reduced, choice, first) + rise(reduced, choice, second);
            let block = &reduced.blocks[second.block];
            let held = choice[second.block];
            if rise < least && violation_after(reduced, block, held, second.option, &after).is_none() {
                least = rise;
                best = Some((*first, *second));
            }
        }
    }
    best
}

/// Takes the change of one block with the least score; false if there is none.
fn step(
    reduced: &Reduced,
    choice: &mut [usize],
    effort: &mut usize,
    score: impl Fn(&Block, usize, usize) -> Option<f64>,
) -> bool {
    let changes = changes(reduced, choice, effort, score).unwrap_or_default();
    let Some(best) = changes.into_iter().min_by(|a, b| a.score.total_cmp(&b.score)) else {
        return false;
    };
    choice[best.block] = best.option;
    true
}

/// All single changes that have a score; `None` if the effort is spent.
fn changes(
    reduced: &Reduced,
    choice: &[usize],
    effort: &mut usize,
    score: impl Fn(&Block, usize, usize) -> Option<f64>,
) -> Option<Vec<Change>> {
    *effort = effort.checked_sub(reduced.open_options() * reduced.rows.len())?;
    let mut changes = Vec::new();
    for (block, (of, &held)) in reduced.blocks.iter().zip(choice).enumerate() {
        for option in (0..of.options.len()).filter(|&option| option != held) {
            changes.extend(score(of, held, option).map(|score| Change { block, option, score }));
        }
    }
    Some(changes)
}

/// By how much the limits are exceeded, each row measured by its limit; `None` if none is.
fn violation(reduced: &Reduced, uses: &[u64]) -> Option<f64> {
    let over = uses
        .iter()
        .zip(&reduced.rows)
        .map(|(&used, row)| excess(used, row.limit));
    Some(over.sum::<f64>()).filter(|&over| over > 0.0)
}

/// The violation if a block changes its option.
fn violation_after(
    reduced: &Reduced,
    block: &Block,
    held: usize,
    option: usize,
    uses: &[u64],
) -> Option<f64> {
    let from = block.options[held].uses.iter();
    let to = block.options[option].uses.iter();
    let mut changes = block.rows.iter().zip(from.zip(to)).peekable();
    let over = reduced
        .rows
        .iter()
        .zip(uses)
        .enumerate()
        .map(|(at, (row, &used))| {
            let change = changes.next_if(|&(&changed, _)| changed == at);
            let used = change.map_or(used, |(_, (from, to))| used - from + to);
            excess(used, row.limit)
        });
    Some(over.sum::<f64>()).filter(|&over| over > 0.0)
}

fn excess(used: u64, limit: u64) -> f64 {
    used.saturating_sub(limit) as f64 / (limit as f64 + 1.0)
}
