//! What a budget is stated in: `6%`, `relus=500k`, `bytes=60MB`, `online-bytes=20MB`,
//! `seconds=0.5@lan`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use trefoil_ir::mpc::time::{LinkModel, LinkModelError};
use trefoil_runtime::amount::{self, AmountError};

/// A budget: what may be spent, and in what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// This part of the imported network's DReLUs, 1 being all of them (the paper's budget).
    Share(f64),
    /// So many DReLUs.
    Relus(u64),
    /// So many bytes an image, both phases.
    Bytes(u64),
    /// So many bytes an image, online.
    OnlineBytes(u64),
    /// So many seconds an image, both phases, over this link.
    Seconds(f64, LinkModel),
}

impl Goal {
    /// Whether bytes are counted.
    pub fn counts_bytes(&self) -> bool {
        match self {
            Goal::Bytes(_) | Goal::OnlineBytes(_) => true,
            Goal::Share(_) | Goal::Relus(_) | Goal::Seconds(..) => false,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::Share(share) => write!(f, "{}%", share * 100.0),
            Goal::Relus(count) => write!(f, "relus={count}"),
            Goal::Bytes(bytes) => write!(f, "bytes={bytes}"),
            Goal::OnlineBytes(bytes) => write!(f, "online-bytes={bytes}"),
            Goal::Seconds(seconds, link) => write!(f, "seconds={seconds}@{link}"),
        }
    }
}

/// A text is no budget.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GoalError {
    /// It has another form.
    #[error(
        "\"{0}\" is no budget: give a share of the DReLUs (6%), relus=500k, bytes=60MB, \
         online-bytes=20MB or seconds=0.5@lan"
    )]
    Form(String),
    /// A share beyond everything, or below nothing.
    #[error("a budget of {0} is no share: give one from 0% to 100%")]
    Share(String),
    /// The number of bytes or DReLUs.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// The link of a time.
    #[error(transparent)]
    Link(#[from] LinkModelError),
}

impl FromStr for Goal {
    type Err = GoalError;

    fn from_str(text: &str) -> Result<Self, GoalError> {
        read(text)?.ok_or_else(|| GoalError::Form(text.to_owned()))
    }
}

/// Reads a budget; `None` if the text is of no form that budgets have.
fn read(text: &str) -> Result<Option<Goal>, GoalError> {
    if let Some(percent) = text.trim().strip_suffix('%') {
        return share(text, percent);
    }
    let Some((unit, spent)) = text.split_once('=') else {
        return Ok(None);
    };
    Ok(Some(match unit.trim() {
        "relus" => Goal::Relus(amount::count(spent)?),
        "bytes" => Goal::Bytes(amount::bytes(spent)?),
        "online-bytes" => Goal::OnlineBytes(amount::bytes(spent)?),
        "seconds" => {
            let (seconds, link) = spent.split_once('@').unwrap_or((spent, "lan"));
            match seconds.trim().parse::<f64>() {
                Ok(seconds) if seconds.is_finite() && seconds > 0.0 => {
                    let link = match link.trim() {
                        // All three parties on one machine.
                        "ideal" => LinkModel::IDEAL,
                        link => link.parse()?,
                    };
                    Goal::Seconds(seconds, link)
                }
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    }))
}

fn share(text: &str, percent: &str) -> Result<Option<Goal>, GoalError> {
    let Ok(percent) = percent.trim().parse::<f64>() else {
        return Ok(None);
    };
    let share = percent / 100.0;
    if !(0.0..=1.0).contains(&share) {
        return Err(GoalError::Share(text.to_owned()));
    }
    Ok(Some(Goal::Share(share)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read() {
        for (text, goal) in [
            ("6%", Goal::Share(0.06)),
            ("12.5 %", Goal::Share(0.125)),
            ("relus=500k", Goal::Relus(500_000)),
            ("relus=7", Goal::Relus(7)),
            ("bytes=60MB", Goal::Bytes(60_000_000)),
            ("bytes=1.5MiB", Goal::Bytes(1_572_864)),
            ("online-bytes=20kB", Goal::OnlineBytes(20_000)),
            ("bytes=1TB", Goal::Bytes(1_000_000_000_000)),
            ("seconds=0.5@lan", Goal::Seconds(0.5, LinkModel::LAN)),
            ("seconds=2@wan", Goal::Seconds(2.0, LinkModel::WAN)),
            ("seconds=0.1@ideal", Goal::Seconds(0.1, LinkModel::IDEAL)),
        ] {
            assert_eq!(text.parse(), Ok(goal), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_a_hint() {
        for text in [
            "",
            "6",
            "%",
            "x%",
            "bytes",
            "seconds=0@lan",
            "seconds=inf",
            "watts=3",
        ] {
            assert!(matches!(text.parse::<Goal>(), Err(GoalError::Form(_))), "{text}");
        }
        for text in [
            "bytes=",
            "bytes=-1",
            "bytes=nan",
            "online-bytes=1e30",
            "relus=5B",
            "bytes=99EB",
        ] {
            assert!(
                matches!(text.parse::<Goal>(), Err(GoalError::Amount(_))),
                "{text}"
            );
        }
        assert!(matches!("101%".parse::<Goal>(), Err(GoalError::Share(_))));
        assert!(matches!("-1%".parse::<Goal>(), Err(GoalError::Share(_))));
        assert!(matches!(
            "seconds=1@moon".parse::<Goal>(),
            Err(GoalError::Link(_))
        ));
    }
}
