//! Joint views: whatever a party receives, in any number of runs, is uniform and independent of
//! all that it could compute itself, of the image, of the activations and of the rounding coins.
//!
//! Each case runs one gate some 30,000 times under fresh keys, once on one fixed image and once on
//! random ones. Compared are all bits of all messages to a party with a fair coin, with each
//! other, with all of the party's own streams and shares, and with what it must not learn; what it
//! must not learn also with its own streams and shares. With N instances a dependence shows from a
//! correlation of 6.5 / sqrt(N), 3.6%, on; a blind guess reaches 6.5 standard deviations once in
//! 10^10 comparisons, and there are some four million.

use trefoil_ir::mpc::gate::{self, Group, NARROW, Rounds, WIDE};
use trefoil_ir::mpc::{Party, Stage};
use trefoil_ir::{Patch, Shape};

use super::bits::{Class, Cut, Hint, View};
use super::parties::{
    Exchange, Halves, Keys, Shares, Sums, draw, own_streams, read_sections, run_gate, sums_truncation,
    truncation,
};
use crate::prg::Purpose;
use crate::protocol::tests::random;

const INSTANCES: usize = 1 << 15;
const LIMIT: f64 = 6.5;

const P22: Patch = Patch::Block { h: 2, w: 2 };

/// What a gate works on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operand {
    /// A convolution's accumulator: all three parties have a share.
    Convolved,
    /// The same, with patch sums from a second accumulator that has shares of its own.
    Summed,
    /// The same, with patch sums made of activations alone.
    SummedLifts,
    /// An accumulator made of activations alone: the helper's share is zero.
    Lifted,
    /// An activation.
    Activation,
    /// The difference of two activations.
    Difference,
}

/// A rule that is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// The truncation goes without p.
    NoRerandomisation,
    /// The truncation of patch sums goes without p.
    SumsNotRerandomised,
    /// The share of a patch sum goes under the mask of the patch's first pixel.
    SumsUnderPixelMasks,
    /// A result is masked in its low 16 bits only.
    NarrowMask,
    /// The server masks the comparison bits of both signs of a clip alike.
    OneMaskForTwoSigns,
}

struct Case {
    operand: Operand,
    /// None: the truncated value is revealed.
    group: Option<Group>,
    levels: Vec<i32>,
    cut: Cut,
    broken: Option<Broken>,
}

impl Case {
    fn new(operand: Operand, patch: [usize; 2], groups: impl FnOnce(Shape) -> Vec<Group>) -> Self {
        let cut = Cut {
            map: [64, 128],
            patch,
        };
        let mut groups = groups(Shape::new(1, 64, 128));
        assert!(groups.len() <= 1);
        Self {
            operand,
            group: groups.pop(),
            levels: vec![512],
            cut,
            broken: None,
        }
    }

    fn patches(operand: Operand, lower: Patch, upper: Option<Patch>) -> Self {
        let pixel = lower != P22 && upper != Some(P22);
        let upper = upper.map(|u| vec![u]);
        let groups = |shape| gate::groups(&vec![lower], upper.as_ref(), shape, false);
        Self::new(operand, if pixel { [1, 1] } else { [2, 2] }, groups)
    }

    /// The same with patch sums that were computed apart (of patches that are small for it, so that
    /// every bit of an instance can be compared with every other).
    fn apart(operand: Operand, lower: Patch, upper: Option<Patch>) -> Self {
        let mut case = Self::patches(operand, lower, upper);
        let group = case.group.as_mut().expect("a gate has a group");
        let patches = group.openings.iter_mut().skip(1);
        patches.for_each(|opening| opening.sums = vec![Some(0)]);
        case
    }

    /// The same with its signs taken in one round, if it takes any.
    fn in_one_round(&self) -> Option<Self> {
        let group = self.group.clone().filter(|group| group.form.has_signs())?;
        Some(Self {
            operand: self.operand,
            group: gate::in_rounds(Rounds::One, vec![group]).pop(),
            levels: self.levels.clone(),
            cut: self.cut,
            broken: self.broken,
        })
    }

    fn broken(self, broken: Broken) -> Self {
        Self {
            broken: Some(broken),
            ..self
        }
    }
}

/// The client's and the server's view of as many instances as it takes.
fn views(case: &Case, fixed_image: bool) -> [View; 2] {
    let mut views = [View::default(), View::default()];
    for session in 0..(INSTANCES / case.cut.instances()) as u32 {
        let mut run = Run {
            case,
            keys: Keys::new(session),
            image: image(case, fixed_image, session),
            fixed_image,
            client: View::default(),
            server: View::default(),
        };
        run.all();
        views[0].append(run.client);
        views[1].append(run.server);
    }
    views
}

/// An image in units: one value for each place of a patch, or all at random.
fn image(case: &Case, fixed: bool, session: u32) -> Vec<i64> {
    let mut state = u64::from(session) << 32 | 5;
    let width = case.cut.map[1];
    let value = |at: usize| {
        if fixed {
            [700, -900, 311, -50][at / width % 2 * 2 + at % 2]
        } else {
            (random(&mut state) % 8192) as i64 - 4096
        }
    };
    (0..case.cut.pixels()).map(value).collect()
}

struct Run<'a> {
    case: &'a Case,
    keys: Keys,
    image: Vec<i64>,
    fixed_image: bool,
    client: View,
    server: View,
}

const INPUT: u32 = 0;
const OTHER_INPUT: u32 = 1;
const TRUNCATE: u32 = 2;
const GATE: u32 = 3;
const SUMS: u32 = 4;

/// The layer's weight, its share F at the client (odd, so that all bits of the client's share of
/// the accumulator are uniform), and its bias.
const WEIGHT: u32 = 91_003;
const SHARE: u32 = 0x9c3a_5e7f;
const BIAS: u32 = 1_234_567;

/// The same of the patch sums: a quarter of the weight, and another share of it.
const SUM_WEIGHT: u32 = 22_751;
const SUM_SHARE: u32 = 0x51f7_a46d;

fn each(a: &[u32], b: &[u32], f: impl Fn(u32, u32) -> u32) -> Vec<u32> {
    a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
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
            Operand::Summed | Operand::SummedLifts => {
                let sums = self.truncate_sums(&hat, &mask);
                let halves = Halves {
                    sums,
                    ..self.truncate(&hat, &mask)
                };
                self.subtract_pixels(&hat, &halves);
                halves
            }
        };
        match &self.case.group {
            Some(group) => {
                let exchange = run_gate(
                    &self.keys,
                    GATE,
                    std::slice::from_ref(group),
                    &halves,
                    &self.case.levels,
                );
                self.record(group, &exchange);
            }
            None => self.reveal(&halves),
        }
    }

    fn add(&mut self, party: Party, class: Class, name: &str, bits: u32, values: &[u32]) {
        let view = if party == Party::Client {
            &mut self.client
        } else {
            &mut self.server
        };
        view.add(class, name, bits, values, &self.case.cut);
    }

    /// The image, masked; the server must not learn it. (What the client must not learn are the
    /// activations of inner layers: for it this image stands for one of those.)
    fn input(&mut self, step: u32) -> (Vec<u32>, Vec<u32>) {
        let count = self.image.len();
        let mask = self
            .keys
            .spy(Party::Client, step, |s| s.u32s(Purpose::InputMask, count));
        let image = self.image.iter().map(|&x| if step == INPUT { x } else { -x / 3 });
        let image: Vec<u32> = image.map(|x| x as u32).collect();
        let hat = each(&image, &mask, u32::wrapping_sub);
        self.add(Party::Client, Class::Own, "a", 32, &mask);
        self.add(Party::Server, Class::Message, "input", 32, &hat);
        if step == INPUT && !self.fixed_image {
            for party in [Party::Client, Party::Server] {
                self.add(party, Class::Hidden, "x", 14, &image);
            }
        }
        (hat, mask)
    }

    fn truncate(&mut self, hat: &[u32], mask: &[u32]) -> Halves {
        let scaled = |values: &[u32], factor: u32| {
            values
                .iter()
                .map(|v| v.wrapping_mul(factor))
                .collect::<Vec<u32>>()
        };
        let shares = match self.case.operand {
            Operand::Convolved | Operand::Summed => Shares {
                s: scaled(hat, WEIGHT).iter().map(|s| s.wrapping_add(BIAS)).collect(),
                c: scaled(mask, SHARE),
                h: scaled(mask, WEIGHT.wrapping_sub(SHARE)),
            },
            _ => Shares {
                s: scaled(hat, WEIGHT),
                c: scaled(mask, WEIGHT),
                h: vec![0; mask.len()],
            },
        };
        let keep = self.case.group.as_ref().map_or(WIDE, |g| g.ring);
        let (c, count) = (shares.c.clone(), hat.len());
        let mut halves = truncation(&self.keys, TRUNCATE, shares, 1, keep as u8);
        let p = self
            .keys
            .spy(Party::Server, TRUNCATE, |s| s.u32s(Purpose::Rerandomise, count));
        let r1 = self.keys.spy(Party::Client, TRUNCATE, |s| {
            s.u32s(Purpose::TruncationMask, count)
        });
        if self.case.broken == Some(Broken::NoRerandomisation) {
            halves.r = each(&halves.r, &p, u32::wrapping_add);
            halves.rs = halves
                .r
                .iter()
                .map(|r| (r >> 16) as u16 & (u16::MAX >> (16 - keep)))
                .collect();
        }
        self.add(Party::Client, Class::Own, "c", 32, &c);
        self.add(Party::Client, Class::Own, "r1", 32, &r1);
        let top: Vec<u32> = halves.rs.iter().map(|&r| u32::from(r)).collect();
        self.add(Party::Client, Class::Message, "truncation_mask", keep, &top);
        let z = each(&halves.d, &halves.r, u32::wrapping_add);
        let coin = each(&z, &halves.r, |z, r| u32::from(r & 0xffff <= z & 0xffff));
        self.add(Party::Client, Class::Hidden, "low bits of R", 16, &halves.r);
        self.add(Party::Client, Class::Hidden, "rounding coin", 1, &coin);
        self.add(Party::Server, Class::Own, "p", 32, &p);
        self.add(Party::Server, Class::Own, "D", 32, &halves.d);
        self.add(Party::Server, Class::Message, "masked_share", 32, &halves.sent);
        halves
    }

    /// Patch sums computed apart: of box sums of x - a and of a, with coarser weights and a share of
    /// them of its own.
    fn truncate_sums(&mut self, hat: &[u32], mask: &[u32]) -> Sums {
        let apart = self.case.operand == Operand::Summed;
        let client_weight = if apart { SUM_SHARE } else { SUM_WEIGHT };
        let boxes = |values: &[u32], factor: u32| -> Vec<u32> {
            let sums = self.boxes(values).into_iter();
            sums.map(|sum| sum.wrapping_mul(factor)).collect()
        };
        let shares = Shares {
            s: boxes(hat, SUM_WEIGHT),
            c: boxes(mask, client_weight),
            h: boxes(mask, SUM_WEIGHT.wrapping_sub(client_weight)),
        };
        let (c, count) = (shares.c.clone(), shares.c.len());
        let mut sums = sums_truncation(&self.keys, SUMS, shares);
        let spy = |party, purpose| self.keys.spy(party, SUMS, |s| s.u32s(purpose, count));
        let p = spy(Party::Server, Purpose::Rerandomise);
        let r1 = spy(Party::Client, Purpose::TruncationMask);
        if self.case.broken == Some(Broken::SumsNotRerandomised) {
            sums.r = each(&sums.r, &p, u32::wrapping_add);
        }
        if self.case.broken == Some(Broken::SumsUnderPixelMasks) {
            let of_pixels = self.keys.spy(Party::Client, TRUNCATE, |s| {
                s.u32s(Purpose::TruncationMask, mask.len())
            });
            sums.sent = each(&c, &self.first_pixels(&of_pixels), u32::wrapping_sub);
        }
        let z = each(&sums.d, &sums.r, u32::wrapping_add);
        let coin = each(&z, &sums.r, |z, r| u32::from(r & 0xffff <= z & 0xffff));
        self.add(Party::Client, Class::Own, "c of sums", 32, &c);
        self.add(Party::Client, Class::Own, "r1 of sums", 32, &r1);
        self.add(Party::Client, Class::Hidden, "R of sums", 32, &sums.r);
        self.add(Party::Client, Class::Hidden, "coin of sums", 1, &coin);
        self.add(Party::Server, Class::Own, "p of sums", 32, &p);
        self.add(Party::Server, Class::Own, "D of sums", 32, &sums.d);
        self.add(
            Party::Server,
            Class::Message,
            "masked_share of sums",
            32,
            &sums.sent,
        );
        sums
    }

    /// What the server gets if it subtracts the shares of pixels from those of sums: a function of
    /// the input if their masks cancel. As F is odd, the lowest bit is that of the other pixels' a.
    fn subtract_pixels(&mut self, hat: &[u32], halves: &Halves) {
        let shares = each(
            &halves.sums.sent,
            &self.first_pixels(&halves.sent),
            u32::wrapping_sub,
        );
        let others = each(&self.boxes(hat), &self.first_pixels(hat), u32::wrapping_sub);
        self.add(Party::Server, Class::Message, "sums less pixels", 1, &shares);
        self.add(Party::Server, Class::Own, "input of other pixels", 1, &others);
    }

    /// The values of the instances' first pixels.
    fn first_pixels(&self, values: &[u32]) -> Vec<u32> {
        let Cut {
            map: [_, width],
            patch: [h, w],
        } = self.case.cut;
        let rows = values.chunks(width).step_by(h);
        rows.flat_map(|row| row.iter().copied().step_by(w)).collect()
    }

    /// Sums over the instances' patches.
    fn boxes(&self, values: &[u32]) -> Vec<u32> {
        let Cut {
            map: [_, width],
            patch: [h, w],
        } = self.case.cut;
        let mut sums = vec![0u32; self.case.cut.instances()];
        for (at, value) in values.iter().enumerate() {
            let sum = &mut sums[at / width / h * (width / w) + at % width / w];
            *sum = sum.wrapping_add(*value);
        }
        sums
    }

    /// The server's half of what is revealed follows from the output and the client's own half:
    /// the client has learned the output, and its coin is one that it could not foresee.
    fn reveal(&self, halves: &Halves) {
        if self.case.broken.is_some() {
            return; // what is left is out of range
        }
        for i in 0..halves.d.len() {
            let z = halves.d[i].wrapping_add(halves.r[i]) as i32;
            let coin = halves.r[i] & 0xffff <= z as u32 & 0xffff;
            let output = halves.zs[i].wrapping_add(halves.rs[i]) as i16;
            assert_eq!(i32::from(output), (z >> 16) + i32::from(coin));
        }
    }

    fn record(&mut self, group: &Group, exchange: &Exchange) {
        for party in [Party::Client, Party::Server] {
            let own = own_streams(party, group);
            let drawn: Vec<_> = self.keys.spy(party, GATE, |s| {
                own.iter()
                    .map(|(purpose, section)| (*purpose, section.bits, draw(s, *purpose, section)))
                    .collect()
            });
            for (at, (purpose, bits, values)) in drawn.iter().enumerate() {
                values
                    .iter()
                    .for_each(|v| self.add(party, Class::Own, &format!("{purpose:?} {at}"), *bits, v));
            }
        }
        for message in gate::messages(std::slice::from_ref(group)) {
            let payload = match message.stage {
                Stage::Deal => &exchange.deal,
                Stage::M1 => &exchange.m1,
                Stage::M2 => &exchange.m2,
                Stage::M3 => &exchange.m3,
                Stage::M4 => &exchange.m4,
                _ => unreachable!("a gate has no other messages"),
            };
            let contents = read_sections(group, message.stage, payload);
            for (at, mut content) in contents.into_iter().enumerate() {
                self.break_rule(message.stage, at, &mut content.values);
                let name = format!("{} section {at}", message.stage.word());
                let to = message.stage.link().to();
                let values = content.values.iter();
                values.for_each(|v| self.add(to, Class::Message, &name, content.bits(), v));
            }
        }
    }

    /// Turns a message into what it would be if the case's rule were broken.
    fn break_rule(&self, stage: Stage, section: usize, values: &mut [Vec<u32>]) {
        let count = values[0].len();
        match (self.case.broken, stage, section) {
            (Some(Broken::NarrowMask), Stage::M4, 0) => {
                let mask = self
                    .keys
                    .spy(Party::Client, GATE, |s| s.u32s(Purpose::FreshMask, count));
                values[0] = each(&values[0], &mask, |v, m| v.wrapping_add(m & 0xffff_0000));
            }
            (Some(Broken::OneMaskForTwoSigns), Stage::M1, 2) => {
                let of_sign = trefoil_ir::mpc::Section::planes(values.len(), count);
                let masks = self.keys.spy(Party::Server, GATE, |s| {
                    [0, 1].map(|_| draw(s, Purpose::ComparisonMaskServer, &of_sign))
                });
                for (at, bits) in values.iter_mut().enumerate() {
                    let change = each(&masks[0][at], &masks[1][at], |a, b| a ^ b);
                    *bits = each(bits, &change, |bit, change| bit ^ change);
                }
            }
            _ => {}
        }
    }
}

fn hints(case: &Case, fixed_image: bool) -> [Hint; 2] {
    // What messages have to do with each other has been seen when the image was fixed.
    views(case, fixed_image).map(|view| view.strongest(!fixed_image))
}

/// Of a gate with signs both in two rounds and in one.
fn assert_blind(case: &Case) {
    assert_blind_as_it_is(case);
    if let Some(at_once) = case.in_one_round() {
        assert_blind_as_it_is(&at_once);
    }
}

fn assert_blind_as_it_is(case: &Case) {
    for fixed_image in [true, false] {
        for (hint, party) in hints(case, fixed_image)
            .iter()
            .zip([Party::Client, Party::Server])
        {
            println!("{party}: {hint:?}");
            assert!(
                hint.comparisons > 500,
                "the {party}'s view was compared: {hint:?}"
            );
            assert!(
                hint.deviations < LIMIT,
                "the {party} learns something of {hint:?}"
            );
        }
    }
}

#[test]
fn requantise() {
    assert_blind(&Case::patches(Operand::Convolved, Patch::Identity, None));
    assert_blind(&Case::patches(Operand::Lifted, Patch::Identity, None));
}

#[test]
fn relu() {
    assert_blind(&Case::patches(Operand::Convolved, Patch::PIXEL, None));
    assert_blind(&Case::patches(Operand::Lifted, Patch::PIXEL, None));
}

#[test]
fn block_relu() {
    assert_blind(&Case::patches(Operand::Convolved, P22, None));
}

#[test]
fn block_relu_with_sums_from_apart() {
    assert_blind(&Case::apart(Operand::Summed, P22, None));
    assert_blind(&Case::apart(Operand::SummedLifts, P22, None));
}

#[test]
fn clip_with_sums_from_apart() {
    assert_blind(&Case::apart(Operand::Summed, P22, Some(P22)));
    assert_blind(&Case::apart(Operand::Summed, Patch::PIXEL, Some(P22)));
}

#[test]
fn sums_truncated_without_p_are_noticed() {
    let case = Case::apart(Operand::SummedLifts, P22, None).broken(Broken::SumsNotRerandomised);
    let [client, server] = hints(&case, true);
    assert!(client.deviations > 100.0, "{client:?}");
    assert!(client.of.contains("of sums"), "{client:?}");
    assert!(server.deviations < LIMIT, "{server:?}");
}

#[test]
fn sums_under_masks_of_pixels_are_noticed() {
    let case = Case::apart(Operand::Summed, P22, None).broken(Broken::SumsUnderPixelMasks);
    let [client, server] = hints(&case, true);
    assert!(server.deviations > 100.0, "{server:?}");
    assert!(server.of.contains("sums less pixels"), "{server:?}");
    assert!(client.deviations < LIMIT, "{client:?}");
}

#[test]
fn clip_with_equal_patches() {
    assert_blind(&Case::patches(
        Operand::Convolved,
        Patch::PIXEL,
        Some(Patch::PIXEL),
    ));
    assert_blind(&Case::patches(Operand::Convolved, P22, Some(P22)));
}

#[test]
fn clip_with_different_patches() {
    assert_blind(&Case::patches(Operand::Convolved, Patch::PIXEL, Some(P22)));
}

#[test]
fn clip_with_an_identity_below() {
    assert_blind(&Case::patches(Operand::Convolved, Patch::Identity, Some(P22)));
}

#[test]
fn maximum() {
    for ring in [NARROW, WIDE] {
        assert_blind(&Case::new(Operand::Difference, [1, 1], |shape| {
            gate::difference_groups(ring, shape)
        }));
    }
}

#[test]
fn relu_on_activations() {
    let groups = |shape| gate::activation_groups(&vec![Patch::PIXEL], shape);
    assert_blind(&Case::new(Operand::Activation, [1, 1], groups));
}

#[test]
fn reveal() {
    for operand in [Operand::Convolved, Operand::Lifted] {
        assert_blind(&Case::new(operand, [1, 1], |_| Vec::new()));
    }
}

#[test]
fn a_truncation_without_p_is_noticed() {
    let case = Case::new(Operand::Lifted, [1, 1], |_| Vec::new()).broken(Broken::NoRerandomisation);
    let [client, server] = hints(&case, true);
    assert!(client.deviations > 100.0, "{client:?}");
    assert!(client.of.contains("r1"), "{client:?}");
    assert!(server.deviations < LIMIT, "{server:?}");
}

#[test]
fn a_narrow_mask_is_noticed() {
    let case = Case::patches(Operand::Convolved, Patch::PIXEL, None).broken(Broken::NarrowMask);
    let [client, server] = hints(&case, true);
    assert!(server.deviations > 20.0 && server.of.contains("m4"), "{server:?}");
    assert!(client.deviations < LIMIT, "{client:?}");
}

#[test]
fn a_mask_used_for_two_comparisons_is_noticed() {
    let case = Case::patches(Operand::Convolved, Patch::PIXEL, Some(Patch::PIXEL));
    let [client, server] = hints(&case.broken(Broken::OneMaskForTwoSigns), true);
    assert!(
        client.deviations > 100.0 && client.of.contains("m1"),
        "{client:?}"
    );
    assert!(server.deviations < LIMIT, "{server:?}");
}
