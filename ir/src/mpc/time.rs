//! How long a program takes, predicted from its cost: arithmetic, bytes over a link, round trips.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cost::Cost;
use super::message::{Link, Phase};

/// A network between the parties: the same in every direction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkModel {
    /// Bits a second, one way.
    pub bits_per_second: f64,
    /// Seconds for a message there and back, beside the time its bits take.
    pub round_trip: f64,
}

impl LinkModel {
    /// Machines of one data centre: 3 Gbit/s, 0.3 ms. Like [`WAN`](Self::WAN) the setting that papers
    /// of the field compare in (Rathee et al., CrypTFlow2, 2020).
    pub const LAN: Self = Self {
        bits_per_second: 3e9,
        round_trip: 0.3e-3,
    };

    /// Machines on two continents: 320 Mbit/s, 80 ms.
    pub const WAN: Self = Self {
        bits_per_second: 320e6,
        round_trip: 80e-3,
    };

    /// Seconds that so many bytes take, one way, without latency.
    pub fn transfer(&self, bytes: u64) -> f64 {
        bytes as f64 * 8.0 / self.bits_per_second
    }
}

impl fmt::Display for LinkModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LAN => f.write_str("lan"),
            Self::WAN => f.write_str("wan"),
            _ => write!(
                f,
                "{}Mbit,{}ms",
                self.bits_per_second / 1e6,
                self.round_trip * 1e3
            ),
        }
    }
}

/// A text is no link.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("\"{0}\" is no link: give lan, wan, or bandwidth and round trip, for example 100Mbit,20ms")]
pub struct LinkModelError(String);

impl FromStr for LinkModel {
    type Err = LinkModelError;

    fn from_str(text: &str) -> Result<Self, LinkModelError> {
        match text {
            "lan" => return Ok(Self::LAN),
            "wan" => return Ok(Self::WAN),
            _ => {}
        }
        let parsed = text.split_once(',').and_then(|(bandwidth, round_trip)| {
            let bits_per_second = quantity(bandwidth, &[("Gbit", 1e9), ("Mbit", 1e6), ("kbit", 1e3)])?;
            let round_trip = quantity(round_trip, &[("ms", 1e-3), ("us", 1e-6), ("s", 1.0)])?;
            (bits_per_second > 0.0).then_some(Self {
                bits_per_second,
                round_trip,
            })
        });
        parsed.ok_or_else(|| LinkModelError(text.to_owned()))
    }
}

/// A number that is finite and not negative, with one of these units behind it.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let number = |&(unit, factor): &(&str, f64)| Some((text.trim().strip_suffix(unit)?, factor));
    let (number, factor) = units.iter().find_map(number)?;
    let value = number.trim().parse::<f64>().ok()? * factor;
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// What arithmetic costs on the parties' machines, in seconds for all of a phase's parties.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// A multiply-add of a layer.
    pub mac: f64,
    /// A sign of a gate, with the pixels that it gates if there is one for each.
    pub sign: f64,
    /// A byte sent: packed, masked and unpacked.
    pub byte: f64,
}

impl Machine {
    /// Measured on two cores with AVX-512 that all three parties share, ReLU networks from 0.04 to
    /// 4 G multiply-adds: offline.
    pub const OFFLINE: Self = Self {
        mac: 0.035e-9,
        sign: 25e-9,
        byte: 0.6e-9,
    };

    /// The same online.
    pub const ONLINE: Self = Self {
        mac: 0.025e-9,
        sign: 25e-9,
        byte: 1.0e-9,
    };

    /// The machine of a phase.
    pub const fn of(phase: Phase) -> Self {
        match phase {
            Phase::Offline => Self::OFFLINE,
            Phase::Online => Self::ONLINE,
        }
    }
}

/// Predicted seconds of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Before the input is known.
    pub offline: f64,
    /// With the input.
    pub online: f64,
    /// Both.
    pub total: f64,
}

impl Seconds {
    /// Of a program of this cost over this link.
    ///
    /// Online the two directions take turns, and each round trip is waited for; offline all
    /// messages flow at once, so that the busiest direction counts.
    pub fn predict(cost: &Cost, link: &LinkModel) -> Self {
        let [offline, online] = [Phase::Offline, Phase::Online].map(|phase| {
            let bytes = |l: Link| cost.links.get(&(l, phase)).copied().unwrap_or(0);
            let all: u64 = Link::ALL.into_iter().map(bytes).sum();
            let machine = Machine::of(phase);
            let work = cost.macs() as f64 * machine.mac
                + cost.drelus() as f64 * machine.sign
                + all as f64 * machine.byte;
            let travel = match phase {
                Phase::Offline => Link::ALL.into_iter().map(bytes).max().unwrap_or(0),
                Phase::Online => all,
            };
            let waits = match phase {
                Phase::Offline => 1.0,
                Phase::Online => cost.round_trips as f64,
            };
            work + link.transfer(travel) + waits * link.round_trip
        });
        Self {
            offline,
            online,
            total: offline + online,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_and_written() {
        for (text, bits, trip) in [
            ("lan", 3e9, 3e-4),
            ("wan", 3.2e8, 0.08),
            ("100Mbit,20ms", 1e8, 0.02),
            ("1Gbit, 500us", 1e9, 5e-4),
        ] {
            let link: LinkModel = text.parse().unwrap();
            assert!((link.bits_per_second - bits).abs() < 1.0 && (link.round_trip - trip).abs() < 1e-9);
            let again: LinkModel = link.to_string().parse().unwrap();
            assert!((again.round_trip / link.round_trip - 1.0).abs() < 1e-9);
        }
        for text in [
            "",
            "man",
            "100Mbit",
            "0Mbit,1ms",
            "-1Mbit,1ms",
            "infMbit,1ms",
            "1Mbit,nanms",
            "1,1",
        ] {
            assert!(text.parse::<LinkModel>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_online_phase_waits_for_rounds_and_for_both_directions() {
        let mut cost = Cost {
            round_trips: 10,
            ..Cost::default()
        };
        cost.links.insert((Link::ServerToClient, Phase::Online), 3000);
        cost.links.insert((Link::ClientToServer, Phase::Online), 1000);
        cost.links.insert((Link::HelperToClient, Phase::Offline), 5000);
        cost.links.insert((Link::ClientToServer, Phase::Offline), 4000);
        let link = LinkModel {
            bits_per_second: 8.0,
            round_trip: 1.0,
        };
        let seconds = Seconds::predict(&cost, &link);
        assert!((seconds.online - 4010.0).abs() < 1e-3 && (seconds.offline - 5001.0).abs() < 1e-3);
    }
}
