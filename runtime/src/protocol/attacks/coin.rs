//! The rounding coin: a client that asks about one image again and again, and regresses what it
//! learns on what it holds.
//!
//! Every gate rounds up or down by a coin. Were the coin a function of numbers that the client
//! knows, what is revealed would depend on those numbers through each hidden value: by the weight
//! with which that value enters. So it is where each party drops the low bits of its own share, 16
//! bits cheaper than the truncation here: the low bits that the client keeps turn up in the
//! logits, multiplied by the next layer's weights. Message by message nothing is wrong there.

use trefoil_ir::mpc::gate::{self, Group, NARROW, Rounds, WIDE};
use trefoil_ir::mpc::{Party, UNIT};
use trefoil_ir::{Patch, Shape};

use super::parties::{
    Exchange, Halves, Keys, Shares, draw, own_streams, read_sections, run_gate, sums_truncation, truncation,
};
use crate::prg::Purpose;
use crate::protocol::tests::random;

const INPUTS: usize = 16;
const HIDDEN: usize = 64;
const OUTPUTS: usize = 16;
/// One query a pixel: every pixel of the image is the same, and every layer works on pixels.
const MAP: [usize; 2] = [64, 128];
const QUERIES: usize = MAP[0] * MAP[1];

/// With 16 x 64 weights a guess without any hint correlates with them by 0.03 (one standard
/// deviation); some 100 guesses are made, the best of which is expected below 0.1.
const BLIND: f64 = 0.16;

/// A network of two layers, split between client and helper.
struct Net {
    image: Vec<i64>,
    first: Vec<i64>,
    second: Vec<i64>,
    state: u64,
}

impl Net {
    fn new() -> Self {
        let mut state = 20;
        let image = (0..INPUTS)
            .map(|_| (random(&mut state) % 8192) as i64 - 4096)
            .collect();
        let mut weights = |count: usize| {
            // The sum of four uniform numbers: near enough to a normal one.
            let part = |state: &mut u64| (random(state) % (1 << 15)) as i64 - (1 << 14);
            (0..count)
                .map(|_| (0..4).map(|_| part(&mut state)).sum())
                .collect::<Vec<i64>>()
        };
        let (first, second) = (weights(HIDDEN * INPUTS), weights(OUTPUTS * HIDDEN));
        Self {
            image,
            first,
            second,
            state,
        }
    }

    /// Which weights the attacker looks for: those of the second layer, where the hidden value is
    /// not zero.
    fn secret(&self) -> Vec<f64> {
        let dot = |w: &[i64]| w.iter().zip(&self.image).map(|(w, x)| w * x).sum::<i64>();
        let active: Vec<bool> = self.first.chunks(INPUTS).map(|row| dot(row) > 0).collect();
        let pairs = self.second.iter().enumerate();
        pairs
            .map(|(at, &w)| if active[at % HIDDEN] { w as f64 } else { 0.0 })
            .collect()
    }

    /// A layer on what server (x - a) and client and helper (a) hold.
    fn layer(&mut self, weights: &[i64], hat: &[u32], mask: &[u32]) -> Shares {
        let w: Vec<u32> = weights.iter().map(|&w| w as u32).collect();
        let b: Vec<u32> = w.iter().map(|_| random(&mut self.state) as u32).collect();
        let f: Vec<u32> = w.iter().zip(&b).map(|(w, b)| w.wrapping_sub(*b)).collect();
        Shares {
            s: multiply(&w, hat),
            c: multiply(&f, mask),
            h: multiply(&b, mask),
        }
    }

    fn input(&self, keys: &Keys) -> (Vec<u32>, Vec<u32>) {
        let mask = keys.spy(Party::Client, 0, |s| s.u32s(Purpose::InputMask, INPUTS * QUERIES));
        let image = self
            .image
            .iter()
            .flat_map(|&x| std::iter::repeat_n(x as u32, QUERIES));
        (image.zip(&mask).map(|(x, a)| x.wrapping_sub(*a)).collect(), mask)
    }
}

/// A matrix times one column a query; values are stored channel after channel.
fn multiply(matrix: &[u32], x: &[u32]) -> Vec<u32> {
    let columns = x.len() / QUERIES;
    let mut y = vec![0u32; matrix.len() / columns * QUERIES];
    for (row, y) in matrix.chunks(columns).zip(y.chunks_mut(QUERIES)) {
        for (w, x) in row.iter().zip(x.chunks(QUERIES)) {
            y.iter_mut()
                .zip(x)
                .for_each(|(y, x)| *y = y.wrapping_add(w.wrapping_mul(*x)));
        }
    }
    y
}

/// What a client holds of every query, hidden value by hidden value (or output by output).
#[derive(Default)]
struct Held(Vec<(String, Vec<f32>)>);

impl Held {
    /// A number of `bits` bits, as signed and as the 16 bits at either end.
    fn number(&mut self, name: &str, bits: u32, values: &[u32]) {
        let part = |from: u32, bits: u32| {
            let half = f32::from(1u16 << (bits - 1));
            values
                .iter()
                .map(|v| ((v >> from & ((1 << bits) - 1)) as f32 - half) / half)
                .collect()
        };
        self.0
            .push((format!("low bits of {name}"), part(0, bits.min(16))));
        if bits > 16 {
            self.0.push((format!("high bits of {name}"), part(bits - 16, 16)));
        }
    }

    fn section(&mut self, name: &str, bits: u32, values: &[Vec<u32>]) {
        values
            .iter()
            .enumerate()
            .for_each(|(at, v)| self.number(&format!("{name}, {at}"), bits, v));
    }
}

/// The slope of each output on a number held about each hidden value: the guess of the weight.
fn guess(held: &[f32], outputs: &[Vec<f32>]) -> Vec<f64> {
    let slope = |output: &[f32], held: &[f32]| {
        let mean = held.iter().sum::<f32>() / held.len() as f32;
        held.iter()
            .zip(output)
            .map(|(h, o)| f64::from((h - mean) * o))
            .sum()
    };
    outputs
        .iter()
        .flat_map(|o| held.chunks(QUERIES).map(move |h| slope(o, h)))
        .collect()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - ma, b - mb)).sum::<f64>();
    sum(&|a, b| a * b)
        / (sum(&|a, _| a * a) * sum(&|_, b| b * b))
            .sqrt()
            .max(f64::MIN_POSITIVE)
}

/// The outputs of all queries, each less its mean.
fn centred(outputs: &[f64]) -> Vec<Vec<f32>> {
    let centre = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|v| (v - mean) as f32).collect()
    };
    outputs.chunks(QUERIES).map(centre).collect()
}

/// The guess that comes closest to the secret: its correlation, and what it was made from.
fn best_guess(held: &Held, outputs: &[f64], secret: &[f64]) -> (f64, String) {
    let outputs = centred(outputs);
    let tried = held
        .0
        .iter()
        .map(|(name, values)| (correlation(&guess(values, &outputs), secret).abs(), name.clone()));
    tried
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .expect("the client holds something")
}

/// Everything that the client holds of the hidden layer.
fn held_of(keys: &Keys, groups: &[Group], share: &[u32], halves: &Halves, exchange: &Exchange) -> Held {
    let mut held = Held::default();
    let r1 = keys.spy(Party::Client, 1, |s| s.u32s(Purpose::TruncationMask, share.len()));
    held.number("its share c", 32, share);
    held.number("r1", 32, &r1);
    held.number("what it sent", 32, &halves.sent);
    held.number(
        "the top of R",
        NARROW,
        &halves.rs.iter().map(|&r| u32::from(r)).collect::<Vec<_>>(),
    );
    keys.spy(Party::Client, 2, |s| {
        for (purpose, section) in own_streams(Party::Client, &groups[0]) {
            held.section(&format!("{purpose:?}"), section.bits, &draw(s, purpose, &section));
        }
    });
    for message in gate::messages(groups) {
        let word = message.stage.word();
        let payload = match word {
            "deal" => &exchange.deal,
            "m1" => &exchange.m1,
            "m2" => &exchange.m2,
            "m3" => &exchange.m3,
            _ => &exchange.m4,
        };
        let contents = read_sections(&groups[0], message.stage, payload);
        for (at, content) in contents.iter().enumerate() {
            held.section(&format!("{word} section {at}"), content.bits(), &content.values);
        }
    }
    held
}

#[test]
fn what_the_client_learns_does_not_depend_on_what_it_holds() {
    for rounds in [Rounds::Two, Rounds::One] {
        guess_from_what_is_held(rounds);
    }
}

fn guess_from_what_is_held(rounds: Rounds) {
    let (mut net, keys) = (Net::new(), Keys::new(77));
    let (hat, mask) = net.input(&keys);
    let shares = net.layer(&net.first.clone(), &hat, &mask);
    let share = shares.c.clone();
    let halves = truncation(&keys, 1, shares, HIDDEN, NARROW as u8);
    let shape = Shape::new(HIDDEN, MAP[0], MAP[1]);
    let groups = gate::groups(&vec![Patch::PIXEL; HIDDEN], None, shape, false);
    let groups = gate::in_rounds(rounds, groups);
    let exchange = run_gate(&keys, 2, &groups, &halves, &[]);
    let shares = net.layer(&net.second.clone(), &exchange.hat, &exchange.mask);
    let (own_share, exact) = (shares.c.clone(), plain(&shares));
    let revealed = truncation(&keys, 3, shares, OUTPUTS, WIDE as u8);
    let output = |(zs, rs): (&u16, &u16)| f64::from(zs.wrapping_add(*rs) as i16);
    let outputs: Vec<f64> = revealed.zs.iter().zip(&revealed.rs).map(output).collect();

    // The outputs are right, and rounded.
    assert!(
        outputs
            .iter()
            .zip(&exact)
            .all(|(y, z)| (y - z / UNIT as f64).abs() < 1.0)
    );
    let held = held_of(&keys, &groups, &share, &halves, &exchange);
    assert!(held.0.len() > 90);
    let (hint, what) = best_guess(&held, &outputs, &net.secret());
    println!("best of {} guesses: {hint:.3}, from {what}", held.0.len());
    assert!(
        hint < BLIND,
        "the client's guess from {what} correlates with the weights by {hint:.3}"
    );

    // Nor does the last coin depend on the client's share of the output.
    let mut held = Held::default();
    held.number("its share of the output", 32, &own_share);
    held.number(
        "the top of R",
        16,
        &revealed.rs.iter().map(|&r| u32::from(r)).collect::<Vec<_>>(),
    );
    for (name, values) in &held.0 {
        for (values, output) in values.chunks(QUERIES).zip(centred(&outputs)) {
            let values: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
            let output: Vec<f64> = output.iter().map(|&v| f64::from(v)).collect();
            let hint = correlation(&values, &output).abs();
            assert!(hint < 6.0 / (QUERIES as f64).sqrt(), "{name}: {hint:.3}");
        }
    }
}

fn plain(shares: &Shares) -> Vec<f64> {
    let sum = |i: usize| shares.s[i].wrapping_add(shares.c[i]).wrapping_add(shares.h[i]);
    (0..shares.s.len()).map(|i| f64::from(sum(i) as i32)).collect()
}

/// Patch sums of half a unit below zero: their sign is their coin and nothing else. What the client
/// holds of a sum, and the coin; with `kept` the low bits of its share stay with the client.
fn coins_of_sums(kept: bool) -> (Held, Vec<f64>) {
    let (keys, mut state) = (Keys::new(79), 41);
    let mut draw = |_| random(&mut state) as u32;
    // Box sums of the mask a, which the client knows, and the shares F and B of one weight.
    let boxes: Vec<u32> = (0..QUERIES).map(&mut draw).collect();
    let (f, b) = (draw(0), draw(0));
    let times = |factor: u32| boxes.iter().map(|x| x.wrapping_mul(factor)).collect::<Vec<u32>>();
    let (c, h) = (times(f), times(b));
    let z = 0u32.wrapping_sub(UNIT as u32 / 2);
    let s = (0..QUERIES)
        .map(|i| z.wrapping_sub(c[i]).wrapping_sub(h[i]))
        .collect();
    let mut held = Held::default();
    held.number("box sums", 32, &boxes);
    held.number("its share c", 32, &c);
    let spy = |party, purpose| keys.spy(party, 1, |s| s.u32s(purpose, QUERIES));
    held.number("r1", 32, &spy(Party::Client, Purpose::TruncationMask));
    let coins = if kept {
        let p = spy(Party::Server, Purpose::Rerandomise);
        let s: Vec<u32> = s;
        let coin = |i: usize| {
            let server = s[i].wrapping_add(p[i]).wrapping_add(UNIT as u32) >> 16;
            let others = (c[i] >> 16).wrapping_add(h[i].wrapping_sub(p[i]) >> 16);
            f64::from(server.wrapping_add(others) as i16)
        };
        (0..QUERIES).map(coin).collect()
    } else {
        let sums = sums_truncation(&keys, 1, Shares { s, c, h });
        held.number("what it sent", 32, &sums.sent);
        let top = |i: usize| (sums.d[i].wrapping_add(UNIT as u32) >> 16).wrapping_add(sums.r[i] >> 16);
        (0..QUERIES).map(|i| f64::from(top(i) as i16)).collect()
    };
    (held, coins)
}

#[test]
fn the_coin_of_a_sum_does_not_depend_on_what_the_client_holds() {
    let hints = |kept: bool| -> Vec<(f64, String)> {
        let (held, coins) = coins_of_sums(kept);
        let share = coins.iter().sum::<f64>() / QUERIES as f64;
        if !kept {
            assert!(coins.iter().all(|c| [0.0, -1.0].contains(c)));
            assert!((share + 0.5).abs() < 0.03, "{share}");
        }
        let hint = |(name, values): &(String, Vec<f32>)| {
            let values: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
            (correlation(&values, &coins).abs(), name.clone())
        };
        held.0.iter().map(hint).collect()
    };
    let blind = 6.0 / (QUERIES as f64).sqrt();
    for (hint, name) in hints(false) {
        assert!(hint < blind, "{name}: {hint:.3}");
    }
    let kept = hints(true);
    let (hint, name) = kept.iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert!(*hint > 0.2 && name == "low bits of its share c", "{kept:?}");
}

/// The same attack on the cheaper truncation, which sends the top 16 bits of the client's share
/// and keeps the rest: within these queries it reads off the second layer.
#[test]
fn a_share_whose_low_bits_the_client_keeps_gives_the_weights_away() {
    let (mut net, keys) = (Net::new(), Keys::new(78));
    let (hat, mask) = net.input(&keys);
    let shares = net.layer(&net.first.clone(), &hat, &mask);
    let p = keys.spy(Party::Server, 1, |s| s.u32s(Purpose::Rerandomise, shares.s.len()));
    let rounded = |i: usize| {
        let server = shares.s[i].wrapping_add(p[i]).wrapping_add(UNIT as u32) >> 16;
        let others = (shares.c[i] >> 16).wrapping_add(shares.h[i].wrapping_sub(p[i]) >> 16);
        u32::from((server.wrapping_add(others) as i16).max(0) as u16)
    };
    let hidden: Vec<u32> = (0..p.len()).map(rounded).collect();
    let weights: Vec<u32> = net.second.iter().map(|&w| w as u32).collect();
    // The outputs as they are revealed: in whole units, the last rounding being an honest one.
    let mut state = 3;
    let coin = |state: &mut u64| (random(state) % UNIT as u64) as f64;
    let outputs: Vec<f64> = multiply(&weights, &hidden)
        .iter()
        .map(|&z| ((f64::from(z as i32) + coin(&mut state)) / UNIT as f64).floor())
        .collect();

    let mut held = Held::default();
    held.number("its share c", 32, &shares.c);
    let (hint, what) = best_guess(&held, &outputs, &net.secret());
    println!("guess from {what}: {hint:.3}");
    assert_eq!(what, "low bits of its share c");
    assert!(hint > 0.95, "the attack finds the weights: {hint:.3}");
}
