//! A network between the parties: what its text says, and when a frame that is sent over it arrives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A network between the parties: the same in every direction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkModel {
    /// Bits a second, one way.
    pub bits_per_second: f64,
    /// Seconds for a message there and back, beside the time its bits take.
    pub round_trip: f64,
}

impl Default for LinkModel {
    fn default() -> Self {
        Self::IDEAL
    }
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

    /// No network at all: parties of one process, linked by queues.
    pub const IDEAL: Self = Self {
        bits_per_second: f64::INFINITY,
        round_trip: 0.0,
    };

    /// Seconds that so many bytes take, one way, without latency.
    pub fn transfer(&self, bytes: u64) -> f64 {
        bytes as f64 * 8.0 / self.bits_per_second
    }

    /// Seconds from the last bit's departure to its arrival.
    pub fn latency(&self) -> f64 {
        self.round_trip / 2.0
    }
}

impl fmt::Display for LinkModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LAN => f.write_str("lan"),
            Self::WAN => f.write_str("wan"),
            Self::IDEAL => f.write_str("ideal"),
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
pub enum LinkModelError {
    /// The text is neither a name nor bandwidth and round trip.
    #[error("\"{0}\" is no link: give lan, wan, or bandwidth and round trip, for example 100Mbit,20ms")]
    Form(String),
    /// So slow that a run would take years, or infinitely fast.
    #[error("\"{0}\" is no link: give at least 1kbit and at most 1000Gbit, and a round trip of at most 60s")]
    Range(String),
}

/// Bandwidths that a text may ask for, in bits a second.
const BANDWIDTHS: std::ops::RangeInclusive<f64> = 1e3..=1e12;

/// The longest round trip that a text may ask for, in seconds.
const LONGEST_TRIP: f64 = 60.0;

impl FromStr for LinkModel {
    type Err = LinkModelError;

    fn from_str(text: &str) -> Result<Self, LinkModelError> {
        match text {
            "lan" => return Ok(Self::LAN),
            "wan" => return Ok(Self::WAN),
            _ => {}
        }
        let parsed = text.split_once(',').and_then(|(bandwidth, round_trip)| {
            Some(Self {
                bits_per_second: quantity(bandwidth, &[("Gbit", 1e9), ("Mbit", 1e6), ("kbit", 1e3)])?,
                round_trip: quantity(round_trip, &[("ms", 1e-3), ("us", 1e-6), ("s", 1.0)])?,
            })
        });
        let link = parsed.ok_or_else(|| LinkModelError::Form(text.to_owned()))?;
        if BANDWIDTHS.contains(&link.bits_per_second) && link.round_trip <= LONGEST_TRIP {
            Ok(link)
        } else {
            Err(LinkModelError::Range(text.to_owned()))
        }
    }
}

/// A number that is finite and not negative, with one of these units behind it.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, factor) = units.iter().find_map(|(unit, factor)| {
        let number = text.trim().strip_suffix(unit)?;
        Some((number, factor))
    })?;
    let value = number.trim().parse::<f64>().ok()? * factor;
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// One direction of a connection: frames pass it one behind the other.
#[derive(Clone, Debug)]
pub struct Lane {
    link: LinkModel,
    /// When the last bit of all frames so far will have left.
    free: f64,
}

/// When a frame travels, in seconds on its lane's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passage {
    /// Its first bit leaves: behind all earlier frames.
    pub begins: f64,
    /// Its last bit leaves.
    pub ends: f64,
    /// Its last bit arrives.
    pub arrives: f64,
}

impl Lane {
    /// A lane that nothing was sent on.
    pub fn new(link: LinkModel) -> Self {
        Self { link, free: 0.0 }
    }

    /// Puts a frame of so many bytes, header included, on the lane at time `at`.
    pub fn send(&mut self, at: f64, bytes: u64) -> Passage {
        let begins = at.max(self.free);
        self.free = begins + self.link.transfer(bytes);
        Passage {
            begins,
            ends: self.free,
            arrives: self.free + self.link.latency(),
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
            ("1kbit,60s", 1e3, 60.0),
            ("1000Gbit,0ms", 1e12, 0.0),
        ] {
            let link: LinkModel = text.parse().unwrap();
            assert!((link.bits_per_second - bits).abs() < 1.0 && (link.round_trip - trip).abs() < 1e-9);
            let again: LinkModel = link.to_string().parse().unwrap();
            assert!((again.round_trip - link.round_trip).abs() <= 1e-9 * link.round_trip);
        }
    }

    #[test]
    fn nonsense_is_no_link() {
        for text in [
            "",
            "man",
            "ideal",
            "100Mbit",
            "-1Mbit,1ms",
            "infMbit,1ms",
            "1Mbit,nanms",
            "1,1",
            "1e400Mbit,1ms",
            "1Mbit,-1ms",
        ] {
            let refused = text.parse::<LinkModel>().unwrap_err();
            assert!(matches!(refused, LinkModelError::Form(_)), "{text}");
        }
        for text in [
            "0Mbit,1ms",
            "999e-3kbit,1ms",
            "1001Gbit,1ms",
            "1e200Gbit,1ms",
            "1Mbit,61s",
        ] {
            let refused = text.parse::<LinkModel>().unwrap_err();
            assert!(matches!(refused, LinkModelError::Range(_)), "{text}");
        }
    }

    #[test]
    fn frames_queue_and_arrive_half_a_round_trip_after_they_left() {
        let mut lane = Lane::new(LinkModel {
            bits_per_second: 8.0,
            round_trip: 1.0,
        });
        let passage = |begins, ends| Passage {
            begins,
            ends,
            arrives: ends + 0.5,
        };
        assert_eq!(lane.send(1.0, 10), passage(1.0, 11.0));
        // Sent while the first is leaving; then one on a lane that is free again.
        assert_eq!(lane.send(2.0, 3), passage(11.0, 14.0));
        assert_eq!(lane.send(20.0, 0), passage(20.0, 20.0));
    }

    #[test]
    fn the_ideal_lane_takes_no_time() {
        let mut lane = Lane::new(LinkModel::IDEAL);
        assert_eq!(lane.send(3.0, u64::MAX).arrives, 3.0);
    }
}
