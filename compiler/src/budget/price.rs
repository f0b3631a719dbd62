//! What one channel's gate costs, in a budget's currency.
//!
//! Prices are whole numbers so that sums are exact: DReLUs, bits, or picoseconds. A price is that of
//! the channel's own share of its layer's messages. What a layer costs besides its channels is its
//! [`tariff`](super::tariff); what the rest of the network costs does not depend on patches, up to the
//! few bits that fill a message's last byte.

use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::mpc::gate::{self, Group, Rounds};
use trefoil_ir::mpc::patch_sums::is_large;
use trefoil_ir::mpc::time::{LinkModel, Machine, Seconds};
use trefoil_ir::mpc::{Link, Message, Phase, Section, Stage};
use trefoil_ir::{Patch, Shape};

use super::goal::Goal;

/// The unit in which a budget is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Currency {
    /// Signs that are computed.
    Relus,
    /// Bits sent, in one phase or in both.
    Bits(Option<Phase>),
    /// Picoseconds over a link.
    Picoseconds(LinkModel),
}

const PICOSECONDS: f64 = 1e12;

impl Currency {
    /// The currency of a goal.
    pub fn of(goal: &Goal) -> Self {
        match goal {
            Goal::Share(_) | Goal::Relus(_) => Currency::Relus,
            Goal::Bytes(_) => Currency::Bits(None),
            Goal::OnlineBytes(_) => Currency::Bits(Some(Phase::Online)),
            Goal::Seconds(_, link) => Currency::Picoseconds(*link),
        }
    }

    /// The price of one channel with these patches, on a map of `h` x `w`; `upper` is given for a
    /// clip.
    pub fn price(&self, lower: Patch, upper: Option<Patch>, map: [usize; 2]) -> u64 {
        self.price_in(Rounds::Two, lower, upper, map)
    }

    /// The same, with its signs taken in so many rounds.
    pub fn price_in(&self, rounds: Rounds, lower: Patch, upper: Option<Patch>, [h, w]: [usize; 2]) -> u64 {
        if *self == Currency::Relus {
            return (lower.signs(h, w) + upper.map_or(0, |p| p.signs(h, w))) as u64;
        }
        let sums = sums(lower, upper, [h, w]);
        let upper = upper.map(|patch| vec![patch]);
        let groups = gate::groups(&vec![lower], upper.as_ref(), Shape::new(1, h, w), sums > 0);
        self.gate(&gate::in_rounds(rounds, groups), sums)
    }

    /// What the messages of these groups cost.
    pub fn of_groups(&self, groups: &[Group]) -> u64 {
        self.gate(groups, 0)
    }

    /// A gate with so many sums over large patches, which are truncated on their own.
    fn gate(&self, groups: &[Group], sums: usize) -> u64 {
        let mut messages = gate::messages(groups);
        messages.push(Message {
            stage: Stage::MaskedShare,
            sections: vec![Section::fields(sums, 32)],
        });
        let offline = bits(&messages, |stage| stage.phase() == Phase::Offline);
        let online = bits(&messages, |stage| stage.phase() == Phase::Online);
        match *self {
            Currency::Relus => groups.iter().map(|group| group.drelus() as u64).sum(),
            Currency::Bits(Some(Phase::Offline)) => offline,
            Currency::Bits(Some(Phase::Online)) => online,
            Currency::Bits(None) => offline + online,
            Currency::Picoseconds(link) => {
                let signs: usize = groups.iter().map(Group::drelus).sum();
                let deal = bits(&messages, |stage| {
                    stage.phase() == Phase::Offline && stage.link() == Link::HelperToClient
                });
                // Offline the helper's deals are sent while the next ones are computed; online
                // everything is waited for. See `trefoil_ir::mpc::time`.
                let offline = work(Phase::Offline, offline, signs).max(deal as f64 / link.bits_per_second);
                let online = work(Phase::Online, online, signs) + online as f64 / link.bits_per_second;
                ((offline + online) * PICOSECONDS).round() as u64
            }
        }
    }

    /// What a whole program costs; `drelus` are the signs that its ReLUs take.
    pub fn total(&self, cost: &Cost, drelus: u64) -> u64 {
        let bytes = cost.bytes();
        match *self {
            Currency::Relus => drelus,
            Currency::Bits(None) => bytes.total * 8,
            Currency::Bits(Some(Phase::Online)) => bytes.online * 8,
            Currency::Bits(Some(Phase::Offline)) => bytes.offline * 8,
            Currency::Picoseconds(link) => (Seconds::predict(cost, &link).total * PICOSECONDS).round() as u64,
        }
    }

    /// The same without what round trips take, which no channel has of its own.
    #[must_use]
    pub fn without_round_trips(self) -> Self {
        match self {
            Currency::Picoseconds(link) => Currency::Picoseconds(LinkModel {
                round_trip: 0.0,
                ..link
            }),
            Currency::Relus | Currency::Bits(_) => self,
        }
    }

    /// A goal's amount in this currency; `drelus` is the imported network's count at 1x1.
    pub fn limit(goal: &Goal, drelus: u64) -> u64 {
        match *goal {
            Goal::Share(share) => (share * drelus as f64 + 1e-9).floor() as u64,
            Goal::Relus(count) => count,
            Goal::Bytes(bytes) | Goal::OnlineBytes(bytes) => bytes.saturating_mul(8),
            Goal::Seconds(seconds, _) => (seconds * PICOSECONDS).min(u64::MAX as f64) as u64,
        }
    }

    /// An amount in words.
    pub fn show(&self, amount: u64) -> String {
        match self {
            Currency::Relus => format!("{amount} DReLUs"),
            Currency::Bits(_) => format!("{} bytes", amount.div_ceil(8)),
            Currency::Picoseconds(_) => format!("{:.4} seconds", amount as f64 / PICOSECONDS),
        }
    }
}

/// The sums of a channel over large patches, which are computed apart.
pub fn sums(lower: Patch, upper: Option<Patch>, [h, w]: [usize; 2]) -> usize {
    let own = upper.filter(|patch| *patch != lower);
    let patches = [Some(lower), own].into_iter().flatten();
    let large = patches.filter(|patch| is_large(*patch));
    large.map(|patch| patch.signs(h, w)).sum()
}

/// Picoseconds that multiply-adds of such sums take, both phases.
pub fn sum_work(macs: f64) -> f64 {
    let a_mac = Machine::of(Phase::Offline).sum_mac + Machine::of(Phase::Online).sum_mac;
    macs * a_mac * PICOSECONDS
}

/// Content of the messages of some stages.
fn bits(messages: &[Message], counts: impl Fn(Stage) -> bool) -> u64 {
    let counted = messages.iter().filter(|message| counts(message.stage));
    counted.map(Message::content_bits).sum()
}

/// Seconds of arithmetic on so many bits of messages and so many signs in a phase.
fn work(phase: Phase, bits: u64, signs: usize) -> f64 {
    let machine = Machine::of(phase);
    bits as f64 / 8.0 * machine.byte + signs as f64 * machine.sign
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Patch = Patch::Block { h: 2, w: 4 };

    #[test]
    fn prices_are_those_of_the_protocol() {
        let map = [6, 8];
        assert_eq!(Currency::Relus.price(BLOCK, None, map), 6);
        assert_eq!(Currency::Relus.price(BLOCK, Some(Patch::PIXEL), map), 54);
        let bits = Currency::Bits(None);
        assert_eq!(bits.price(Patch::PIXEL, None, map), (216 - 47) * 48);
        assert_eq!(bits.price(BLOCK, None, map), (130 - 48) * 48 + 113 * 6);
        assert_eq!(bits.price(Patch::Identity, None, map), 33 * 48);
        let large = Patch::Block { h: 4, w: 4 };
        assert_eq!(bits.price(large, None, map), (130 - 48) * 48 + (113 + 32) * 4);
        let online = Currency::Bits(Some(Phase::Online)).price(Patch::PIXEL, None, map);
        let offline = Currency::Bits(Some(Phase::Offline)).price(Patch::PIXEL, None, map);
        assert_eq!(online + offline, bits.price(Patch::PIXEL, None, map));
    }

    #[test]
    fn two_signs_on_one_opening_cost_less_than_two() {
        let bits = Currency::Bits(None);
        let paired = bits.price(BLOCK, Some(BLOCK), [6, 8]);
        let both = bits.price(BLOCK, Some(Patch::Block { h: 4, w: 2 }), [6, 8]);
        assert!(paired < both);
    }

    #[test]
    fn a_slow_link_makes_bits_dear() {
        let price = |link| Currency::Picoseconds(link).price(BLOCK, None, [8, 8]);
        assert!(price(LinkModel::WAN) > price(LinkModel::LAN));
    }

    #[test]
    fn limits_are_whole_amounts() {
        assert_eq!(Currency::limit(&Goal::Share(0.06), 1000), 60);
        assert_eq!(Currency::limit(&Goal::Share(0.25), 6), 1);
        assert_eq!(Currency::limit(&Goal::Bytes(3), 0), 24);
    }
}
