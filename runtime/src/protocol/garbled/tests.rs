//! That a garbled comparison compares, and that rows and keys are uniform together: from what the client
//! sees, the secret and the public value, all pads, masks and labels follow, and there are as many bits of
//! the one as of the others. So for each secret and each public value there is one draw for each view.

use trefoil_ir::mpc::gate::{BLOCK, NARROW};

use super::*;
use crate::protocol::tests::random;

fn planes<const N: usize>(state: &mut u64) -> [Bits; N] {
    std::array::from_fn(|_| std::array::from_fn(|_| random(state)))
}

/// The bits of numbers, in planes.
fn bits_of(values: &[u16; BLOCK]) -> [Bits; 16] {
    std::array::from_fn(|bit| {
        std::array::from_fn(|word| {
            let values = &values[64 * word..][..64];
            let bits = values.iter().rev();
            bits.fold(0, |bits, value| bits << 1 | u64::from(value >> bit & 1))
        })
    })
}

fn is_set(plane: &Bits, at: usize) -> bool {
    plane[at / 64] >> (at % 64) & 1 == 1
}

/// Values of so many bits, every 16th of which is `like` the other's at the same place, or next to it.
fn values(state: &mut u64, bits: u32, like: Option<&[u16; BLOCK]>) -> [u16; BLOCK] {
    let limit = (1 << bits) - 1;
    std::array::from_fn(|at| {
        let drawn = random(state) as u16 & limit;
        match like {
            Some(like) if at % 4 == 0 => like[at].wrapping_add((at / 4 % 3) as u16).wrapping_sub(1) & limit,
            Some(_) | None => drawn,
        }
    })
}

/// A comparison of 512 values, with all that is drawn for it.
struct Compared {
    ring: u32,
    secret: [Bits; 16],
    public: [Bits; 16],
    pads: Vec<Bits>,
    labels: Keys,
    rows: Vec<Bits>,
    keys: Keys,
    less: Vec<bool>,
}

impl Compared {
    fn new(ring: u32, seed: u64) -> Self {
        let state = &mut { seed };
        let secret = values(state, ring - 1, None);
        let public = values(state, ring - 1, Some(&secret));
        let less = public.iter().zip(&secret).map(|(p, s)| p < s).collect();
        let (secret, public) = (bits_of(&secret), bits_of(&public));
        let pads = planes::<MOST_ROWS>(state)[..garbled_planes(ring)].to_vec();
        let labels = planes(state);
        let mut rows = pads.clone();
        garble(&secret, ring, &labels, &mut rows);
        let keys = keys(&public, ring, &pads, &labels);
        Self {
            ring,
            secret,
            public,
            pads,
            labels,
            rows,
            keys,
            less,
        }
    }
}

#[test]
fn the_client_gets_the_borrow_under_the_last_mask() {
    for ring in [NARROW, WIDE] {
        for seed in 0..20 {
            let case = Compared::new(ring, seed);
            let mut borrow = evaluate(&case.public, ring, &case.rows, &case.keys);
            xor(&mut borrow, last_mask(&case.labels));
            for (at, less) in case.less.iter().enumerate() {
                assert_eq!(is_set(&borrow, at), *less, "ring {ring}, seed {seed}, value {at}");
            }
        }
    }
}

/// Undoes a comparison of one value: pads, and masks with labels, from rows, keys, secret and public value.
fn undone(case: &Compared, at: usize) -> (Vec<bool>, Vec<bool>) {
    let number = |planes: &[Bits]| {
        let bits = planes.iter().enumerate();
        bits.fold(0, |number, (bit, plane)| {
            number | usize::from(is_set(plane, at)) << bit
        })
    };
    let rows: Vec<bool> = case.rows.iter().map(|plane| is_set(plane, at)).collect();
    let keys: Vec<bool> = case.keys.iter().map(|plane| is_set(plane, at)).collect();
    let levels = Level::all(case.ring);
    let digits = levels.map(|level| [&case.public, &case.secret].map(|value| number(&value[level.bits()])));
    // Down the one path that the client goes: the masks of states, and the labels that it has.
    let mut labels = vec![false; KEY_PLANES];
    let mut seen: Vec<bool> = Vec::new();
    let mut borrow = false;
    for (level, [public, secret]) in levels.into_iter().zip(digits) {
        let state = usize::from(level.number > 0 && seen[0]);
        let own = level.row(public, state)..level.row(public, state) + row_bits(level.number);
        let mut row: Vec<bool> = own.map(|row| rows[row]).collect();
        for (offset, bit) in row.iter_mut().enumerate() {
            *bit ^= keys[level.key(state) + offset];
            *bit ^= level.number > 0 && seen[1 + offset];
        }
        borrow = public < secret || public == secret && borrow;
        labels[level.number] = row[0] ^ borrow;
        seen = row;
    }
    // Back from the last level: its rows are known, as all masks of states are; so are its pads, and with
    // its keys its labels, and so the rows of the level before.
    let mut pads = vec![false; rows.len()];
    for (level, [public, secret]) in levels.into_iter().zip(digits).rev() {
        for value in 0..1 << level.digit {
            for state in 0..states(level.number) {
                let came_in = level.number > 0 && (state == 1) ^ labels[level.number - 1];
                let borrow = value < secret || value == secret && came_in;
                let next = borrow ^ labels[level.number];
                let at = level.row(value, state);
                pads[at] = rows[at] ^ next;
                for offset in 1..row_bits(level.number) {
                    let label = levels[level.number + 1].key(usize::from(next)) + offset - 1;
                    pads[at + offset] = rows[at + offset] ^ labels[label];
                }
            }
        }
        for state in (0..states(level.number)).filter(|_| level.number > 0) {
            for offset in 0..row_bits(level.number) {
                let pad = pads[level.row(public, state) + offset];
                labels[level.key(state) + offset] = keys[level.key(state) + offset] ^ pad;
            }
        }
    }
    (pads, labels)
}

#[test]
fn rows_and_keys_are_one_to_one_with_what_is_drawn() {
    for ring in [NARROW, WIDE] {
        let case = Compared::new(ring, 7);
        assert_eq!(
            case.rows.len() + case.keys.len(),
            case.pads.len() + case.labels.len()
        );
        for at in 0..BLOCK {
            let (pads, labels) = undone(&case, at);
            let drawn = |planes: &[Bits]| planes.iter().map(|plane| is_set(plane, at)).collect::<Vec<_>>();
            assert_eq!(pads, drawn(&case.pads), "value {at}");
            assert_eq!(labels, drawn(&case.labels), "value {at}");
        }
    }
}

/// What the client cannot open: keys of another digit than the public one open nothing that fits.
#[test]
fn rows_of_other_digits_and_states_stay_closed() {
    let case = Compared::new(NARROW, 11);
    let mut other = case.public;
    not(&mut other[0]);
    let mut opened = evaluate(&other, case.ring, &case.rows, &case.keys);
    xor(&mut opened, last_mask(&case.labels));
    let wrong = (0..BLOCK)
        .filter(|&at| is_set(&opened, at) != case.less[at])
        .count();
    // Uniform bits agree with anything in half of the cases; five standard deviations are 57.
    assert!(
        (BLOCK / 2 - 57..BLOCK / 2 + 57).contains(&wrong),
        "{wrong} of {BLOCK}"
    );
}
