//! One step of the protocol on a few values, from the input on.

use trefoil_ir::mpc::gate::{self, Group, Rounds, WIDE};
use trefoil_ir::mpc::privacy::{DrawId, Draws};
use trefoil_ir::mpc::{Party, Stage};
use trefoil_ir::{Patch, Shape};

use super::super::parties::{
    Halves, Keys, Shares, Sums, run_gate, seed, sums_truncation, truncation_of_channels,
};
use super::breaks::Broken;
use super::table::{Column, GateViews, Place};
use crate::prg::{Purpose, StreamKey, Tap};
use crate::protocol::tests::random;

/// What is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// A convolution's accumulator: all three parties have a share.
    Convolved,
    /// The same, with patch sums from an accumulator of their own.
    Summed,
    /// An accumulator made of activations alone: the helper's share is zero.
    Lifted,
    /// An activation.
    Activation,
    /// The difference of two activations.
    Difference,
}

/// A gate and its operand; without groups the operand is revealed.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) operand: Operand,
    pub(super) groups: Vec<Group>,
    pub(super) shape: Shape,
    /// Only the masks of these values are turned round; all of them, if there are none.
    pub(super) probes: Vec<usize>,
    /// Which image comes in.
    pub(super) image: u64,
    pub(super) broken: Option<Broken>,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) client: Vec<Column>,
    pub(super) server: Vec<Column>,
    /// The activation, or what is revealed.
    result: Vec<u32>,
    /// The low halves of R, of which the rounding coins are functions.
    low: Vec<u16>,
}

const INPUT: u32 = 0;
const OTHER_INPUT: u32 = 1;
const TRUNCATE: u32 = 2;
const SUMS: u32 = 3;
const GATE: u32 = 4;

/// The layer's weight, its share F at the client (odd, so that every bit of a enters the client's
/// share), and its bias; the weight of patch sums and its share.
const WEIGHT: u32 = 91_003;
const SHARE: u32 = 0x9c3a_5e7f;
const BIAS: u32 = 1_234_567;
const SUM_WEIGHT: u32 = 22_751;
const SUM_SHARE: u32 = 0x51f7_a46d;

impl Case {
    pub(super) fn new(operand: Operand, shape: Shape, groups: Vec<Group>) -> Self {
        Self {
            operand,
            groups,
            shape,
            probes: Vec::new(),
            image: 5,
            broken: None,
        }
    }

    /// A gate on an accumulator with one channel for each of these patches, below and above.
    pub(super) fn patches(operand: Operand, map: [usize; 2], patches: &[[Patch; 2]]) -> Self {
        let shape = Shape::new(patches.len(), map[0], map[1]);
        let [lower, upper] = [0, 1].map(|at| patches.iter().map(|of| of[at]).collect());
        let mut groups = gate::groups(&lower, Some(&upper), shape, false);
        if operand == Operand::Summed {
            let openings = groups
                .iter_mut()
                .flat_map(|group| group.openings.iter_mut().skip(1));
            openings.for_each(|opening| opening.sums = vec![Some(0)]);
        }
        Self::new(operand, shape, groups)
    }

    /// The same with all signs taken in one round.
    pub(super) fn in_one_round(self) -> Self {
        let groups = gate::in_rounds(Rounds::One, self.groups);
        Self { groups, ..self }
    }

    pub(super) fn probing(self, probes: &[usize]) -> Self {
        let probes = probes.to_vec();
        Self { probes, ..self }
    }

    pub(super) fn broken(self, broken: Broken) -> Self {
        let broken = Some(broken);
        Self { broken, ..self }
    }

    /// Runs it, with one bit turned round of the streams that a party shares with the helper.
    pub(super) fn run(&self, session: u32, tap: Option<(Party, Tap)>) -> Outcome {
        let mut run = Run {
            case: self,
            session,
            keys: match tap {
                Some((party, tap)) => Keys::tapped(session, party, tap),
                None => Keys::new(session),
            },
            outcome: Outcome {
                client: Vec::new(),
                server: Vec::new(),
                result: Vec::new(),
                low: Vec::new(),
            },
        };
        run.all();
        if let Some(broken) = self.broken {
            let key = |party| match tap {
                Some((of, tap)) if of == party => StreamKey::tapped(&seed(party, session), tap),
                _ => StreamKey::new(&seed(party, session)),
            };
            let Outcome { client, server, .. } = &mut run.outcome;
            broken.break_columns(client, &|| key(Party::Server), session);
            broken.break_columns(server, &|| key(Party::Client), session);
        }
        run.outcome
    }
}

impl Outcome {
    pub(super) fn view(&self, receiver: Party) -> &[Column] {
        match receiver {
            Party::Client => &self.client,
            _ => &self.server,
        }
    }

    /// Masks change no result, but for the low half of R, which chooses how it is rounded.
    pub(super) fn has_the_result_of(&self, other: &Outcome) -> bool {
        self.result == other.result || self.low != other.low
    }
}

struct Run<'a> {
    case: &'a Case,
    session: u32,
    keys: Keys,
    outcome: Outcome,
}

fn each(a: &[u32], b: &[u32], f: impl Fn(u32, u32) -> u32) -> Vec<u32> {
    a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
}

fn scaled(values: &[u32], factor: u32) -> Vec<u32> {
    values.iter().map(|value| value.wrapping_mul(factor)).collect()
}

/// Sums over pairs of neighbours, the patches of the cases with sums of their own.
fn pairs(values: &[u32]) -> Vec<u32> {
    let pairs = values.chunks(2);
    pairs
        .map(|pair| pair.iter().fold(0u32, |sum, value| sum.wrapping_add(*value)))
        .collect()
}

impl Run<'_> {
    fn all(&mut self) {
        let (hat, mask) = self.input(INPUT);
        let halves = match self.case.operand {
            Operand::Activation => Halves::of_activation(hat, mask),
            Operand::Difference => {
                let (other_hat, other_mask) = self.input(OTHER_INPUT);
                let hat = each(&hat, &other_hat, u32::wrapping_sub);
                Halves::of_activation(hat, each(&mask, &other_mask, u32::wrapping_sub))
            }
            Operand::Convolved | Operand::Lifted => self.truncate(&hat, &mask),
            Operand::Summed => {
                let sums = self.truncate_sums(&hat, &mask);
                let halves = self.truncate(&hat, &mask);
                Halves { sums, ..halves }
            }
        };
        if self.case.groups.is_empty() {
            let outputs = halves.zs.iter().zip(&halves.rs);
            let outputs = outputs.map(|(zs, rs)| u32::from(zs.wrapping_add(*rs)));
            self.outcome.result = outputs.collect();
        } else {
            self.gate(&halves);
        }
    }

    fn input(&mut self, step: u32) -> (Vec<u32>, Vec<u32>) {
        let mut state = u64::from(self.session) << 32 | u64::from(step) << 8 | self.case.image;
        let value = |_| ((random(&mut state) % 3000) as u32).wrapping_sub(1500);
        let image: Vec<u32> = (0..self.case.shape.len()).map(value).collect();
        let draws = Draws::of_input(image.len());
        let [mut client, _, mut helper, _] = self.keys.streams(step, &draws);
        let mask = client.u32s(DrawId::only(Purpose::InputMask));
        assert_eq!(mask, helper.u32s(DrawId::only(Purpose::InputMask)));
        let hat = each(&image, &mask, u32::wrapping_sub);
        let input = (Stage::Input, Purpose::InputMask);
        self.server_receives(step, input, hat.clone());
        (hat, mask)
    }

    fn truncate(&mut self, hat: &[u32], mask: &[u32]) -> Halves {
        let helpers = match self.case.operand {
            Operand::Lifted => 0,
            _ => WEIGHT.wrapping_sub(SHARE),
        };
        let shares = Shares {
            s: scaled(hat, WEIGHT).iter().map(|s| s.wrapping_add(BIAS)).collect(),
            c: scaled(mask, WEIGHT.wrapping_sub(helpers)),
            h: scaled(mask, helpers),
        };
        let mut keep = vec![WIDE; self.case.shape.c];
        for group in &self.case.groups {
            group.channels.iter().for_each(|&c| keep[c] = group.ring);
        }
        let narrow = keep.iter().map(|&bits| bits as u8).collect();
        let halves = truncation_of_channels(&self.keys, TRUNCATE, shares, narrow);
        // What the client has of R, and the low half, which it must not come to know.
        let known = halves.rs.iter().zip(&halves.r);
        let known: Vec<u32> = known.map(|(top, r)| u32::from(*top) << 16 | r & 0xffff).collect();
        let plane = self.case.shape.h * self.case.shape.w;
        for (channel, (values, keep)) in known.chunks(plane).zip(keep).enumerate() {
            self.client_misses(TRUNCATE, channel * plane, 16 + keep, values.to_vec());
        }
        self.take_low(&halves.r);
        let share = (Stage::MaskedShare, Purpose::TruncationMask);
        self.server_receives(TRUNCATE, share, halves.sent.clone());
        halves
    }

    fn truncate_sums(&mut self, hat: &[u32], mask: &[u32]) -> Sums {
        let (hat, mask) = (pairs(hat), pairs(mask));
        let shares = Shares {
            s: scaled(&hat, SUM_WEIGHT),
            c: scaled(&mask, SUM_SHARE),
            h: scaled(&mask, SUM_WEIGHT.wrapping_sub(SUM_SHARE)),
        };
        let sums = sums_truncation(&self.keys, SUMS, shares);
        self.client_misses(SUMS, 0, 32, sums.r.clone());
        self.take_low(&sums.r);
        let share = (Stage::MaskedShare, Purpose::TruncationMask);
        self.server_receives(SUMS, share, sums.sent.clone());
        sums
    }

    fn gate(&mut self, halves: &Halves) {
        let Case { groups, shape, .. } = self.case;
        let exchange = run_gate(&self.keys, GATE, groups, halves, &vec![512; shape.c]);
        let views = GateViews::new(GATE, groups, &exchange);
        self.outcome.client.extend(views.client);
        self.outcome.server.extend(views.server);
        self.outcome.result = each(&exchange.hat, &exchange.mask, u32::wrapping_add);
    }

    fn server_receives(&mut self, step: u32, (stage, purpose): (Stage, Purpose), values: Vec<u32>) {
        self.outcome.server.push(Column {
            step,
            stage,
            group: None,
            purpose,
            place: Place::of_words(0),
            bits: 32,
            values,
        });
    }

    /// The low `bits` bits of R, from its value number `first` on, of which p hides each.
    fn client_misses(&mut self, step: u32, first: usize, bits: u32, values: Vec<u32>) {
        self.outcome.client.push(Column {
            step,
            stage: Stage::TruncationMask,
            group: None,
            purpose: Purpose::Rerandomise,
            place: Place::of_words(first),
            bits,
            values,
        });
    }

    fn take_low(&mut self, r: &[u32]) {
        self.outcome.low.extend(r.iter().map(|&r| r as u16));
    }
}
