//! Arguments that state a budget and how it is spent.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::ValueEnum;
use thiserror::Error;
use trefoil_ir::Patch;

use super::PATCHES;
use crate::budget::Goal;
use crate::budget::menu::ClipSigns;
use crate::budget::rules::{LayerCap, Rules};
use crate::driver::assign::Strategy;
use crate::driver::compile::PatchSource;
use crate::profile::Profile;

/// How patches are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Assign {
    /// Distortions add up; the choice for a network that will be tuned.
    Additive,
    /// Distortions interfere; the choice for a network that stays as it is.
    Joint,
    /// At random: a baseline to compare with.
    Random,
}

/// Which signs of a clip (ReLU6) may share patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Clips {
    /// Both.
    Both,
    /// That of x; that of x - high stays with every pixel.
    Lower,
    /// Neither.
    None,
}

#[derive(Debug, clap::Args)]
pub(super) struct BudgetArguments {
    /// What `trefoil calibrate` has measured; needs --budget.
    #[arg(long, value_name = "PROFILE", requires = "budgets", help_heading = PATCHES)]
    profile: Option<PathBuf>,
    /// What may be spent: 6% (of the DReLUs), relus=500k, bytes=60MB, online-bytes=20MB, or seconds=0.5@lan
    /// (lan, wan, bandwidth and round trip as in 100Mbit,20ms, or ideal for one machine). Several must all be met.
    #[arg(long = "budget", value_name = "BUDGET", help_heading = PATCHES)]
    budgets: Vec<Goal>,
    /// A layer that keeps a sign for every pixel, by its ONNX name.
    #[arg(long, value_name = "LAYER", requires = "budgets", help_heading = PATCHES)]
    keep: Vec<String>,
    /// A layer all of whose channels get the same patches.
    #[arg(long, value_name = "LAYER", requires = "budgets", help_heading = PATCHES)]
    tie: Vec<String>,
    /// The most that a layer may cost: a share of what it costs with a sign for every pixel, as in /layer1/Relu=50%, or
    /// an amount, as in /layer1/Relu=bytes=2MB.
    #[arg(long = "cap", value_name = "LAYER=BUDGET", requires = "budgets", help_heading = PATCHES)]
    caps: Vec<LayerCap>,
    /// How patches are chosen.
    #[arg(long, value_enum, default_value = "additive", help_heading = PATCHES)]
    assign: Assign,
    /// Which signs of a clip (ReLU6) may share patches.
    #[arg(long, value_enum, default_value = "both", help_heading = PATCHES)]
    clip_signs: Clips,
    /// The same patch everywhere, for comparison.
    #[arg(
        long,
        value_name = "HxW",
        conflicts_with_all = ["profile", "assignment"],
        value_parser = patch,
        help_heading = PATCHES
    )]
    uniform: Option<Patch>,
}

/// A text is no patch.
#[derive(Clone, Copy, Debug, Error)]
#[error("a patch is HxW (or H,W) with both from 1, or 0x1 for the identity")]
pub(super) struct PatchError;

pub(super) fn patch(text: &str) -> Result<Patch, PatchError> {
    let (h, w) = text.split_once([',', 'x']).ok_or(PatchError)?;
    let h = h.trim().parse().map_err(|_| PatchError)?;
    let w = w.trim().parse().map_err(|_| PatchError)?;
    Patch::from_pair([h, w]).ok_or(PatchError)
}

impl BudgetArguments {
    /// The profile, if one is named.
    pub(super) fn profile(&self) -> Result<Option<Profile>> {
        if !self.budgets.is_empty() && self.profile.is_none() && self.uniform.is_none() {
            bail!(
                "a budget is spent by what was measured: --profile PROFILE is required, which `trefoil calibrate` writes (or \
                 --uniform HxW)"
            );
        }
        let has_rules = !(self.keep.is_empty() && self.tie.is_empty() && self.caps.is_empty());
        if self.uniform.is_some() && (self.budgets.len() > 1 || has_rules) {
            bail!(
                "--uniform is held against one --budget, and knows no --keep, --tie or --cap: leave the others out"
            );
        }
        Ok(self.profile.as_deref().map(Profile::open).transpose()?)
    }

    /// What may be spent, by the network and by single layers.
    pub(super) fn goals(&self) -> impl Iterator<Item = &Goal> {
        let caps = self.caps.iter().map(|cap| &cap.goal);
        self.budgets.iter().chain(caps)
    }

    /// Where the patches come from.
    pub(super) fn source(&self, profile: Option<Profile>) -> PatchSource {
        match (self.uniform, profile, &self.budgets[..]) {
            (Some(patch), _, goals) => PatchSource::Uniform {
                patch,
                goal: goals.first().copied(),
            },
            (None, Some(profile), [_, ..]) => PatchSource::Budget {
                profile: Arc::new(profile),
                goals: self.budgets.clone(),
                rules: Rules {
                    keep: self.keep.iter().cloned().collect(),
                    tie: self.tie.iter().cloned().collect(),
                    caps: self.caps.clone(),
                },
                strategy: self.assign.into(),
                clips: self.clip_signs.into(),
            },
            _ => PatchSource::Model,
        }
    }
}

impl From<Assign> for Strategy {
    fn from(assign: Assign) -> Self {
        match assign {
            Assign::Additive => Strategy::Additive,
            Assign::Joint => Strategy::Joint,
            Assign::Random => Strategy::Random(0),
        }
    }
}

impl From<Clips> for ClipSigns {
    fn from(clips: Clips) -> Self {
        match clips {
            Clips::Both => ClipSigns::Both,
            Clips::Lower => ClipSigns::Lower,
            Clips::None => ClipSigns::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_read_in_either_spelling() {
        let block = Patch::from_pair([2, 3]);
        assert_eq!(
            [patch("2x3").ok(), patch("2,3").ok(), patch(" 2 , 3 ").ok()],
            [block; 3]
        );
        assert_eq!(patch("0x1").ok(), Some(Patch::Identity));
        for text in ["", "2", "2x", "x2", "0x0", "-1x2", "2x2x2", "2X2 "] {
            assert!(patch(text).is_err(), "{text}");
        }
    }
}
