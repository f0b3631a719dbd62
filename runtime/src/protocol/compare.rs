//! Comparison: client and server get xor shares of the borrow of `public - secret`, where both
//! know `public` and the helper knows `secret`.
//!
//! For each chunk of the bits below the top one the helper deals the thermometer code of its
//! digit, 2^w - 1 bits, bit t being `[t < digit]`: two neighbouring bits, read at the public digit,
//! are shares of "less" and of "equal". The chunks are joined in one exchange of masked bits, with
//! dealt products of the masks.
//!
//! All of it runs on bit planes, 64 elements a word, without branches on any value.

use std::ops::Range;

use trefoil_ir::mpc::gate::{OPENED_BITS, PRODUCTS, borrow_terms, chunks, product_terms};

use super::streams::StepStreams;
use crate::prg::Purpose;
use crate::wire::bits::{BitPlane, slice_planes_u16};

/// The bits of each chunk of a ring of `ring` bits, low chunk first.
fn chunk_ranges(ring: u32) -> [Range<usize>; 4] {
    let mut at = 0;
    chunks(ring).map(|width| {
        let start = at;
        at += width as usize;
        start..at
    })
}

/// The thermometer code of a digit given by its bit planes, low bit first.
fn thermometer(digit: &[BitPlane]) -> Vec<BitPlane> {
    let Some((high, rest)) = digit.split_last() else {
        return Vec::new();
    };
    let below = thermometer(rest);
    let combine = |f: fn(&mut BitPlane, &BitPlane)| {
        below.iter().map(move |plane| {
            let mut plane = plane.clone();
            f(&mut plane, high);
            plane
        })
    };
    let lower = combine(BitPlane::or_assign);
    let upper = combine(BitPlane::and_assign);
    lower.chain(std::iter::once(high.clone())).chain(upper).collect()
}

/// The helper: the client's shares of the tables of `secret`.
pub fn deal_tables(secret: &[u16], ring: u32, server: &mut StepStreams<'_>) -> Vec<BitPlane> {
    let bits = slice_planes_u16(secret, 0..ring - 1);
    let mut tables = Vec::new();
    for chunk in chunk_ranges(ring) {
        for mut entry in thermometer(&bits[chunk]) {
            entry.xor_assign(&server.plane(Purpose::TableShare, secret.len()));
            tables.push(entry);
        }
    }
    tables
}

/// Shares of the bits that are opened (in the order of
/// [`product_terms`]) and of "less" of the highest chunk.
pub struct Looked {
    opened: Vec<BitPlane>,
    highest: BitPlane,
}

/// Reads shares of tables at a public value. `below` is this party's share of the code's entry
/// before the first, which is one: all ones at the server, zeros at the client.
pub fn look(tables: &[BitPlane], public: &[u16], ring: u32, below: bool) -> Looked {
    let digits = slice_planes_u16(public, 0..ring - 1);
    let (mut equal, mut less) = (Vec::new(), Vec::new());
    let mut rest = tables;
    for chunk in chunk_ranges(ring) {
        let (table, tail) = rest.split_at((1 << chunk.len()) - 1);
        rest = tail;
        let (l, e) = match chunk.len() {
            4 => look_chunk::<4, 16>(table, &digits[chunk], below),
            _ => look_chunk::<3, 8>(table, &digits[chunk], below),
        };
        less.push(l);
        equal.push(e);
    }
    let highest = less.pop().expect("there are four chunks");
    equal.remove(0);
    equal.extend(less);
    Looked {
        opened: equal,
        highest,
    }
}

/// Shares of [public digit < secret digit] and of [public digit = secret digit].
fn look_chunk<const W: usize, const N: usize>(
    table: &[BitPlane],
    digit: &[BitPlane],
    below: bool,
) -> (BitPlane, BitPlane) {
    let len = digit[0].len();
    let below = if below { u64::MAX } else { 0 };
    let words = len.div_ceil(64);
    let (mut less, mut equal) = (vec![0; words], vec![0; words]);
    let digit: [&[u64]; W] = std::array::from_fn(|i| digit[i].words());
    let table: Vec<&[u64]> = table.iter().map(BitPlane::words).collect();
    for i in 0..words {
        // entries[t] = code[t - 1], so that entry 0 is `below` and the one past the end is zero.
        let entry = |t: usize| if t == 0 { below } else { table[t - 1][i] };
        let mut before: [u64; N] = std::array::from_fn(entry);
        let mut at: [u64; N] = std::array::from_fn(|t| if t + 1 == N { 0 } else { entry(t + 1) });
        for (level, bit) in digit.iter().enumerate() {
            let half = N >> (level + 1);
            for t in 0..half {
                before[t] = before[2 * t] ^ ((before[2 * t] ^ before[2 * t + 1]) & bit[i]);
                at[t] = at[2 * t] ^ ((at[2 * t] ^ at[2 * t + 1]) & bit[i]);
            }
        }
        less[i] = at[0];
        equal[i] = at[0] ^ before[0];
    }
    (BitPlane::from_words(less, len), BitPlane::from_words(equal, len))
}

/// The helper: the client's shares of the products of the masks of one sign.
pub fn deal_products(
    count: usize,
    client: &mut StepStreams<'_>,
    server: &mut StepStreams<'_>,
) -> Vec<BitPlane> {
    let mut masks = client.planes(Purpose::ComparisonMaskClient, OPENED_BITS, count);
    for mask in &mut masks {
        mask.xor_assign(&server.plane(Purpose::ComparisonMaskServer, count));
    }
    product_terms()
        .into_iter()
        .map(|term| {
            let mut members = masks
                .iter()
                .enumerate()
                .filter(|(n, _)| term >> n & 1 == 1)
                .map(|(_, m)| m);
            let mut product = members.next().expect("a term has members").clone();
            members.for_each(|m| product.and_assign(m));
            product.xor_assign(&server.plane(Purpose::ProductShare, count));
            product
        })
        .collect()
}

/// One party's comparison of one sign, between its two halves.
pub struct Comparison {
    looked: Looked,
    masks: Vec<BitPlane>,
    products: Vec<BitPlane>,
    is_server: bool,
}

impl Comparison {
    /// The client's, with its dealt shares of the products.
    pub fn client(looked: Looked, products: Vec<BitPlane>, client: &mut StepStreams<'_>) -> Self {
        let masks = client.planes(Purpose::ComparisonMaskClient, OPENED_BITS, looked.highest.len());
        Self {
            looked,
            masks,
            products,
            is_server: false,
        }
    }

    /// The server's.
    pub fn server(looked: Looked, server: &mut StepStreams<'_>) -> Self {
        let count = looked.highest.len();
        let masks = server.planes(Purpose::ComparisonMaskServer, OPENED_BITS, count);
        let products = server.planes(Purpose::ProductShare, PRODUCTS, count);
        Self {
            looked,
            masks,
            products,
            is_server: true,
        }
    }

    /// This party's masked bits, to be sent (M1 at the server, M2 at the client).
    pub fn masked(&self) -> Vec<BitPlane> {
        let mut masked = self.looked.opened.clone();
        masked
            .iter_mut()
            .zip(&self.masks)
            .for_each(|(bits, mask)| bits.xor_assign(mask));
        masked
    }

    /// With the other party's masked bits: this party's share of the borrow.
    pub fn join(self, others: &[BitPlane]) -> BitPlane {
        let mut opened = self.masked();
        opened
            .iter_mut()
            .zip(others)
            .for_each(|(own, other)| own.xor_assign(other));
        let terms = product_terms();
        let mut borrow = self.looked.highest;
        for term in borrow_terms() {
            // prod over the term of (opened ^ mask), multiplied out into public and masked parts
            for subset in (0..=term).filter(|s| s & !term == 0) {
                let secret = match subset.count_ones() {
                    0 if self.is_server => None,
                    0 => continue,
                    1 => Some(&self.masks[subset.trailing_zeros() as usize]),
                    _ => {
                        let at = terms
                            .iter()
                            .position(|&t| t == subset)
                            .expect("every subset is dealt");
                        Some(&self.products[at])
                    }
                };
                let public = (0..OPENED_BITS)
                    .filter(|n| (term & !subset) >> n & 1 == 1)
                    .map(|n| &opened[n]);
                add_product(&mut borrow, secret.into_iter().chain(public));
            }
        }
        borrow
    }
}

/// Adds the product of planes (at least one) modulo 2.
fn add_product<'a>(sum: &mut BitPlane, mut factors: impl Iterator<Item = &'a BitPlane>) {
    let Some(first) = factors.next() else { return };
    let Some(second) = factors.next() else {
        sum.xor_assign(first);
        return;
    };
    let mut product = first.clone();
    let mut last = second;
    for factor in factors {
        product.and_assign(last);
        last = factor;
    }
    sum.xor_and_assign(&product, last);
}
