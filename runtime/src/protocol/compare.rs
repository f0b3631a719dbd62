//! Comparison: client and server get xor shares of the borrow of `public - secret`, where both
//! know `public` and the helper knows `secret`.
//!
//! For each chunk of the bits below the top one the helper deals the thermometer code of its
//! digit, 2^w - 1 bits, bit t being `[t < digit]`: two neighbouring bits, read at the public digit,
//! are shares of "less" and of "equal". The chunks are joined in one exchange of masked bits, with
//! dealt products of the masks.
//!
//! All of it runs on the bits of one block, without branches on any value.

use std::ops::Range;

use trefoil_ir::mpc::gate::{OPENED_BITS, PRODUCTS, WIDE, borrow_terms, chunks, product_terms, table_planes};

use super::block::{Bits, ZEROS, and, or, select, xor, xor_and};

/// Planes of the tables of the widest ring.
pub const MOST_PLANES: usize = table_planes(WIDE);

/// The sets of masks whose products are dealt.
const TERMS: [u8; PRODUCTS] = product_terms();

/// Where a set stands among [`TERMS`], by its bits.
const TERM_AT: [u8; 64] = {
    let mut places = [u8::MAX; 64];
    let mut at = 0;
    while at < PRODUCTS {
        places[TERMS[at] as usize] = at as u8;
        at += 1;
    }
    places
};

/// The bits of a comparison that are opened: "equal" of each chunk but the lowest, then "less" of each
/// chunk but the highest.
pub type Opened = [Bits; OPENED_BITS];

/// The bits of each chunk of a ring of `ring` bits, low chunk first.
fn chunk_ranges(ring: u32) -> [Range<usize>; 4] {
    let mut at = 0;
    chunks(ring).map(|width| {
        let start = at;
        at += width as usize;
        start..at
    })
}

/// The helper: adds the tables of the secret, given by its bits, to the server's share of them,
/// which makes them the client's.
#[inline(always)]
pub fn deal_tables(secret: &[Bits], ring: u32, tables: &mut [Bits]) {
    let mut rest = tables;
    for chunk in chunk_ranges(ring) {
        let (table, behind) = rest.split_at_mut((1 << chunk.len()) - 1);
        rest = behind;
        match chunk.len() {
            4 => add_code::<4, 15>(&secret[chunk], table),
            _ => add_code::<3, 7>(&secret[chunk], table),
        }
    }
}

/// Adds the thermometer code of a digit given by its bits, low bit first.
#[inline(always)]
fn add_code<const W: usize, const N: usize>(digit: &[Bits], table: &mut [Bits]) {
    let code: [Bits; N] = thermometer(&digit[..W]);
    for (entry, code) in table.iter_mut().zip(&code) {
        xor(entry, code);
    }
}

/// `[t < digit]` for the first `N` numbers t, the digit being given by its bits, low bit first: zero from
/// the digit's largest value on.
#[inline(always)]
pub fn thermometer<const N: usize>(digit: &[Bits]) -> [Bits; N] {
    // With one more bit on top the code is: the old one or the bit, the bit, the old one and the bit.
    let mut code = [ZEROS; N];
    for (level, bit) in digit.iter().enumerate() {
        let below = (1 << level) - 1;
        for t in 0..below {
            code[below + 1 + t] = and(&code[t], bit);
            code[t] = or(&code[t], bit);
        }
        code[below] = *bit;
    }
    code
}

/// What a party reads in its share of the tables.
#[derive(Clone, Copy)]
pub struct Looked {
    /// Shares of the bits that are opened.
    pub opened: Opened,
    /// A share of "less" of the highest chunk, which is not opened.
    pub highest: Bits,
}

/// Reads shares of tables at a public value, given by its bits. `below` is this party's share of the
/// code's entry before the first, which is one: all ones at the server, zeros at the client.
#[inline(always)]
pub fn look(tables: &[Bits], public: &[Bits], ring: u32, below: bool) -> Looked {
    let mut less = [ZEROS; 4];
    let mut equal = [ZEROS; 4];
    let mut rest = tables;
    for (at, chunk) in chunk_ranges(ring).into_iter().enumerate() {
        let (table, behind) = rest.split_at((1 << chunk.len()) - 1);
        rest = behind;
        (less[at], equal[at]) = match chunk.len() {
            4 => look_up::<4, 8>(table, &public[chunk], below),
            _ => look_up::<3, 4>(table, &public[chunk], below),
        };
    }
    Looked {
        opened: [equal[1], equal[2], equal[3], less[0], less[1], less[2]],
        highest: less[3],
    }
}

/// Shares of `[public digit < secret digit]` and of `[public digit = secret digit]`, for a digit of `W`
/// bits; `HALF` is half the number of its values.
#[inline(always)]
fn look_up<const W: usize, const HALF: usize>(table: &[Bits], digit: &[Bits], below: bool) -> (Bits, Bits) {
    // Wanted are the entries at the digit and before it: code[t], zero past the end, and code[t - 1],
    // in front of which stands `below`. The lowest bit chooses while the table is read.
    let front = if below { [u64::MAX; ZEROS.len()] } else { ZEROS };
    let table = &table[..2 * HALF - 1];
    let lowest = &digit[0];
    let mut before = [front; HALF];
    let mut at = [ZEROS; HALF];
    for t in 0..HALF {
        let next = if t + 1 == HALF { &ZEROS } else { &table[2 * t + 1] };
        at[t] = select(&table[2 * t], next, lowest);
        let last = if t == 0 { &front } else { &table[2 * t - 1] };
        before[t] = select(last, &table[2 * t], lowest);
    }
    for (level, bit) in digit[1..W].iter().enumerate() {
        for t in 0..HALF >> (level + 1) {
            before[t] = select(&before[2 * t], &before[2 * t + 1], bit);
            at[t] = select(&at[2 * t], &at[2 * t + 1], bit);
        }
    }
    let mut equal = at[0];
    xor(&mut equal, &before[0]);
    (at[0], equal)
}

/// The helper: adds the products of the masks of one sign to the server's share of them, which makes
/// them the client's. `masks` are those of both parties, added up.
#[inline(always)]
pub fn deal_products(masks: &Opened, products: &mut [Bits; PRODUCTS]) {
    for (product, term) in products.iter_mut().zip(TERMS) {
        xor(product, &product_of(masks, term));
    }
}

/// The product of the members of a set (at least one).
#[inline(always)]
fn product_of(bits: &Opened, set: u8) -> Bits {
    let first = set.trailing_zeros() as usize;
    let mut product = bits[first];
    for (member, bits) in bits.iter().enumerate().skip(first + 1) {
        if set >> member & 1 == 1 {
            product = and(&product, bits);
        }
    }
    product
}

/// One party's comparison of one sign, between its two halves.
#[derive(Clone, Copy, Default)]
pub struct Comparison {
    /// The bits to be opened, masked: what this party sends.
    pub masked: Opened,
    masks: Opened,
    highest: Bits,
}

impl Comparison {
    /// Masks what was looked up; `draw` gives the masks.
    #[inline(always)]
    pub fn mask(&mut self, looked: &Looked, draw: impl FnOnce(&mut Opened)) {
        draw(&mut self.masks);
        for i in 0..OPENED_BITS {
            self.masked[i] = looked.opened[i];
            xor(&mut self.masked[i], &self.masks[i]);
        }
        self.highest = looked.highest;
    }

    /// With the other party's masked bits and this party's shares of the products: its share of the
    /// borrow.
    #[inline(always)]
    pub fn join(&self, others: &Opened, products: &[Bits; PRODUCTS], is_server: bool) -> Bits {
        let mut opened = self.masked;
        for (own, other) in opened.iter_mut().zip(others) {
            xor(own, other);
        }
        let mut borrow = self.highest;
        for term in borrow_terms() {
            // prod over the term of (opened ^ mask), multiplied out into public and masked parts
            for subset in (0..=term).filter(|s| s & !term == 0) {
                let secret = match subset.count_ones() {
                    0 if is_server => {
                        xor(&mut borrow, &product_of(&opened, term));
                        continue;
                    }
                    0 => continue,
                    1 => &self.masks[subset.trailing_zeros() as usize],
                    _ => &products[usize::from(TERM_AT[usize::from(subset)])],
                };
                match term & !subset {
                    0 => xor(&mut borrow, secret),
                    public => xor_and(&mut borrow, &product_of(&opened, public), secret),
                }
            }
        }
        borrow
    }
}
