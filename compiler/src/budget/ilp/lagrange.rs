//! Prices for the rows: a lower bound, a feasible choice, and options that neither can use.
//!
//! With every use charged at its row's price the blocks part, and their least charged losses, less
//! what the limits are worth, bound the optimum from below, whatever the prices are. Prices are
//! raised row by row to where the limit is just kept; then subgradient steps polish them. Options
//! whose regret reaches the distance of a known choice from the bound can't improve on it.

use super::reduce::{Block, Choice, Reduced};
use super::{improve, model};

const ROUNDS: usize = 8;
const STEPS: usize = 200;

/// After so many steps that don't raise the bound, the search goes back to the best prices, and on
/// at half the pace.
const PATIENCE: usize = 20;

const HALVINGS: usize = 60;

/// What rounding may add to a bound, as a fraction of the sizes of its terms.
const ROUNDING: f64 = 1e-12;

/// The Lagrangian relaxation at the best prices that were found.
pub(super) struct Relaxation {
    /// A price per row.
    prices: Vec<f64>,
    /// No choice loses less.
    pub(super) bound: f64,
    /// A good feasible choice, an option of every block, if one was found.
    pub(super) incumbent: Option<Vec<usize>>,
}

impl Relaxation {
    pub(super) fn of(reduced: &Reduced) -> Relaxation {
        let mut relaxation = Relaxation {
            prices: vec![0.0; reduced.rows.len()],
            bound: f64::NEG_INFINITY,
            incumbent: None,
        };
        relaxation.row_by_row(reduced);
        relaxation.look_for_incumbent(reduced);
        relaxation.polish(reduced);
        relaxation.look_for_incumbent(reduced);
        relaxation
    }

    /// Removes the options that no better choice than the incumbent can contain; returns the
    /// incumbent in terms of what is left.
    pub(super) fn fix(&self, reduced: &mut Reduced) -> Option<Vec<usize>> {
        let incumbent = self.incumbent.as_ref()?;
        let distance = reduced.loss(incumbent) - self.bound;
        let blocks = reduced.blocks.iter_mut().zip(incumbent);
        Some(
            blocks
                .map(|(block, &held)| self.fix_block(block, held, distance))
                .collect(),
        )
    }

    /// Keeps the held option, whose new place it returns, and those of less regret than `distance`.
    fn fix_block(&self, block: &mut Block, held: usize, distance: f64) -> usize {
        let (_, least) = best(block, &self.prices);
        // What rounding may have hidden stays.
        let limit = least + distance + 1e-9 * (least.abs() + distance);
        let held = block.options[held].item;
        let rows = &block.rows;
        block
            .options
            .retain(|option| charged(rows, option, &self.prices) <= limit || option.item == held);
        let held = block.options.iter().position(|option| option.item == held);
        held.expect("the held option was kept")
    }

    /// Raises every price in turn to the least at which its row's limit is kept.
    fn row_by_row(&mut self, reduced: &Reduced) {
        let mut prices = self.prices.clone();
        for _ in 0..ROUNDS {
            for row in 0..prices.len() {
                prices[row] = fitting_price(reduced, &prices, row);
            }
            if !self.try_prices(reduced, &prices) {
                return;
            }
        }
    }

    /// Takes the prices if they raise the bound.
    fn try_prices(&mut self, reduced: &Reduced, prices: &[f64]) -> bool {
        let (bound, _) = value(reduced, prices);
        let better = bound > self.bound;
        if better {
            self.bound = bound;
            self.prices.copy_from_slice(prices);
        }
        better
    }

    /// Subgradient steps, their length from the distance to the incumbent (Polyak's).
    fn polish(&mut self, reduced: &Reduced) {
        let Some(incumbent) = &self.incumbent else {
            return;
        };
        let goal = reduced.loss(incumbent);
        let mut prices = self.prices.clone();
        let mut pace = 1.0;
        let mut idle = 0;
        for _ in 0..STEPS {
            let (bound, choice) = value(reduced, &prices);
            let slope = overuse(reduced, &choice);
            let square: f64 = slope.iter().map(|over| over * over).sum();
            if square == 0.0 || bound >= goal {
                break;
            }
            let step = pace * (goal - bound) / square;
            for (price, over) in prices.iter_mut().zip(&slope) {
                *price = (*price + step * over).max(0.0);
            }
            idle = if self.try_prices(reduced, &prices) {
                0
            } else {
                idle + 1
            };
            if idle == PATIENCE {
                prices.copy_from_slice(&self.prices);
                pace /= 2.0;
                idle = 0;
            }
        }
    }

    fn look_for_incumbent(&mut self, reduced: &Reduced) {
        let (_, mut choice) = value(reduced, &self.prices);
        if !improve::improve(reduced, &self.prices, &mut choice) {
            return;
        }
        let before = self.incumbent.as_ref();
        if before.is_none_or(|before| reduced.loss(&choice) < reduced.loss(before)) {
            self.incumbent = Some(choice);
        }
    }
}

pub(super) fn charged(rows: &[usize], option: &Choice, prices: &[f64]) -> f64 {
    let charges = rows
        .iter()
        .zip(&option.uses)
        .map(|(&row, &used)| prices[row] * used as f64);
    option.loss + charges.sum::<f64>()
}

/// The option of least charged loss.
fn best(block: &Block, prices: &[f64]) -> (usize, f64) {
    let options = block.options.iter().enumerate();
    let charged = options.map(|(place, option)| (place, charged(&block.rows, option, prices)));
    charged
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .expect("every group has an item, and one always stays")
}

/// The bound at some prices, safe against rounding, and the choice that attains it.
fn value(reduced: &Reduced, prices: &[f64]) -> (f64, Vec<usize>) {
    let best = reduced.blocks.iter().map(|block| best(block, prices));
    let (choice, losses): (Vec<usize>, Vec<f64>) = best.unzip();
    let worth = reduced
        .rows
        .iter()
        .zip(prices)
        .map(|(row, price)| row.limit as f64 * price);
    let worth: f64 = worth.sum();
    let size = worth + losses.iter().map(|loss| loss.abs()).sum::<f64>();
    (losses.iter().sum::<f64>() - worth - ROUNDING * size, choice)
}

/// By how much a choice exceeds every limit; negative where it stays below.
fn overuse(reduced: &Reduced, choice: &[usize]) -> Vec<f64> {
    let uses = reduced.uses(choice);
    let rows = uses.iter().zip(&reduced.rows);
    rows.map(|(&used, row)| used as f64 - row.limit as f64).collect()
}

/// The least price of a row, up to halving, at which the blocks keep its limit.
fn fitting_price(reduced: &Reduced, prices: &[f64], row: usize) -> f64 {
    let mut prices = prices.to_vec();
    let blocks = touching(reduced, row);
    let mut fits = |price: f64| {
        prices[row] = price;
        let uses = blocks
            .iter()
            .map(|&(block, place)| block.options[best(block, &prices).0].uses[place]);
        uses.sum::<u64>() <= reduced.rows[row].limit
    };
    if fits(0.0) {
        return 0.0;
    }
    let mut high = f64::MIN_POSITIVE.max(1e-9 * model::largest_difference(reduced));
    while !fits(high) && high < f64::MAX / 4.0 {
        high *= 4.0;
    }
    let mut low = 0.0;
    for _ in 0..HALVINGS {
        let middle = low + (high - low) / 2.0;
        *(if fits(middle) { &mut high } else { &mut low }) = middle;
    }
    high
}

/// The open blocks that use a row, each with the row's place in it.
fn touching(reduced: &Reduced, row: usize) -> Vec<(&Block, usize)> {
    let places = reduced
        .open()
        .map(|block| (block, block.rows.binary_search(&row)));
    places
        .filter_map(|(block, place)| place.ok().map(|place| (block, place)))
        .collect()
}
