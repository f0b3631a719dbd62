//! Spending a budget: which channel gets which patch.
//!
//! A [`Goal`] says what may be spent; a [`Currency`] prices every option in it; the [`menu`] brings
//! prices and measured distortions together; [`knapsack`] chooses, and proves how well, and
//! [`fixed_charge`] where layers cost something besides their channels ([`tariff`]). [`ilp`]
//! solves the same with side constraints, [`joint`] weighs how the options interfere. [`rounds`] says which
//! gates are done in one round.

pub mod fixed_charge;
mod goal;
pub mod ilp;
pub mod joint;
pub mod knapsack;
pub mod menu;
pub mod price;
mod random;
pub mod rounds;
pub mod rules;
pub mod slots;
pub mod tariff;

pub use goal::{Goal, GoalError};
pub use price::Currency;
pub(crate) use random::Random;
