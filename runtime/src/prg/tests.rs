//! Published vectors, the layout of the counter block, and what may not depend on how a stream is
//! read.

use ctr::cipher::{KeyIvInit, StreamCipher};
use proptest::prelude::*;

use super::cipher::{Cipher, KEY};
use super::{MAX_STEP, Purpose, Seed, Stream, StreamKey};

fn key(byte: u8) -> StreamKey {
    StreamKey::new(&Seed::from_bytes([byte; 32]))
}

fn bytes(mut stream: Stream, count: usize) -> Vec<u8> {
    let mut out = vec![0; count];
    stream.fill(&mut out);
    out
}

/// FIPS 197, appendix C.1.
#[test]
fn fips_197_example() {
    let key: [u8; KEY] = std::array::from_fn(|i| i as u8);
    for cipher in Cipher::every(&key) {
        let mut block = [0u8; 16];
        cipher.generate(0x0011_2233_4455_6677, 0x8899_aabb_ccdd_eeff, &mut block);
        assert_eq!(u128::from_be_bytes(block), 0x69c4e0d86a7b0430d8cdb78070b4c55a);
    }
}

/// NIST SP 800-38A, F.5.1 (CTR-AES128.Encrypt): the output blocks of four counters.
#[test]
fn sp_800_38a_counter_mode() {
    let key = 0x2b7e151628aed2a6abf7158809cf4f3c_u128.to_be_bytes();
    for cipher in Cipher::every(&key) {
        let mut blocks = [0u8; 64];
        cipher.generate(0xf0f1_f2f3_f4f5_f6f7, 0xf8f9_fafb_fcfd_feff, &mut blocks);
        let want: [u128; 4] = [
            0xec8cdf7398607cb0f2d21675ea9ea1e4,
            0x362b7c3c6773516318a077d7fc5073ae,
            0x6a2cc3787889374fbeb4c81b17ba6c44,
            0xe89c399ff0f198c6d40a31db156cabfe,
        ];
        assert_eq!(blocks.as_slice(), want.map(u128::to_be_bytes).as_flattened());
    }
}

/// The stream is what any AES-CTR gives for the documented key and counter block.
#[test]
fn streams_are_counter_mode_over_the_documented_block() {
    let seed = Seed::from_bytes([9; 32]);
    let derived = seed.derive("trefoil stream key, AES-128-CTR", &[]);
    let aes_key: [u8; KEY] = derived.expose("a test compares it")[..KEY].try_into().unwrap();
    let stream = StreamKey::new(&seed).stream(0x01020304, 0x0a0b0c, Purpose::OpeningMask);

    let block = [1, 2, 3, 4, 0x0a, 0x0b, 0x0c, 3, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut want = vec![0; 5000];
    ctr::Ctr64BE::<aes::Aes128>::new(&aes_key.into(), &block.into()).apply_keystream(&mut want);
    assert_eq!(bytes(stream, 5000), want);
}

/// Computed apart, with OpenSSL and a BLAKE3 written from its paper: parties of different builds have
/// to draw the same masks, so this never changes.
#[test]
fn streams_stay_what_they_are() {
    let stream = key(1).stream(5, 6, Purpose::FreshMask);
    let want: [u128; 2] = [
        0x93f7a9d177b51a5ac58137b449acbee4,
        0x75a3ef97b70d636c6fef1163cef4ece2,
    ];
    assert_eq!(bytes(stream, 32), want.map(u128::to_be_bytes).as_flattened());
}

#[test]
fn every_part_of_the_name_matters() {
    let one = key(1);
    let mut seen = vec![
        bytes(key(2).stream(0, 0, Purpose::InputMask), 16),
        bytes(one.stream(1, 0, Purpose::InputMask), 16),
        bytes(one.stream(0, 1, Purpose::InputMask), 16),
        bytes(one.stream(0, MAX_STEP, Purpose::InputMask), 16),
        bytes(one.stream(u32::MAX, 0, Purpose::InputMask), 16),
    ];
    seen.extend(Purpose::ALL.map(|purpose| bytes(one.stream(0, 0, purpose), 16)));
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

proptest! {
    #[test]
    fn every_path_writes_the_same_blocks(
        key: [u8; 16], nonce: u64, counter in 0..u64::MAX - 1000, blocks in 0..200usize,
    ) {
        let mut want = vec![0u8; blocks * 16];
        let every = Cipher::every(&key);
        every[0].generate(nonce, counter, &mut want);
        for cipher in &every[1..] {
            let mut bytes = vec![0u8; blocks * 16];
            cipher.generate(nonce, counter, &mut bytes);
            prop_assert_eq!(&bytes, &want);
            // Integers lie on other alignments than bytes.
            let mut lanes = vec![0u16; blocks * 8 + 1];
            cipher.generate(nonce, counter, &mut lanes[1..]);
            let bytes: Vec<u8> = lanes[1..].iter().flat_map(|lane| lane.to_le_bytes()).collect();
            prop_assert_eq!(&bytes, &want);
        }
    }
}

/// One read from a stream, in units of its type.
#[derive(Clone, Debug)]
enum Read {
    Bytes(usize),
    U16(usize),
    U32(usize),
    Words(usize),
    Region(usize),
}

fn read() -> impl Strategy<Value = Read> {
    let count = || prop_oneof![4 => 0..40usize, 1 => 0..1500usize];
    prop_oneof![
        count().prop_map(Read::Bytes),
        count().prop_map(Read::U16),
        count().prop_map(Read::U32),
        count().prop_map(Read::Words),
        (0..9usize).prop_map(Read::Region),
    ]
}

macro_rules! filled {
    ($stream:expr, $count:expr, $zero:expr) => {{
        let mut out = vec![$zero; $count];
        $stream.fill(&mut out);
        out.iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<u8>>()
    }};
}

proptest! {
    #[test]
    fn how_a_stream_is_cut_does_not_matter(reads in prop::collection::vec(read(), 0..12)) {
        let key = key(3);
        let mut stream = key.stream(7, 8, Purpose::TableShare);
        let mut got = Vec::new();
        for read in reads {
            got.extend(match read {
                Read::Bytes(count) => filled!(stream, count, 0u8),
                Read::U16(count) => filled!(stream, count, 0u16),
                Read::U32(count) => filled!(stream, count, 0u32),
                Read::Words(count) => filled!(stream, count, 0u64),
                Read::Region(blocks) => region(&mut stream, blocks),
            });
        }
        prop_assert_eq!(&got, &bytes(key.replay(7, 8, Purpose::TableShare), got.len()));
    }
}

/// A gross fault of the generator (a stuck lane, a repeated block) shows in counts.
#[test]
fn bits_are_balanced_and_blocks_distinct() {
    let mut words = vec![0u64; 1 << 16];
    key(4).stream(0, 0, Purpose::InputMask).fill(&mut words);
    for bit in 0..64 {
        let ones = words.iter().filter(|&&word| word >> bit & 1 == 1).count() as i64;
        assert!(
            (ones - (1 << 15)).abs() < 6 * 128,
            "bit {bit}: {ones} ones of {}",
            words.len()
        );
    }
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 1 << 16);
}

/// The bytes of a region, read from the back to the front; in front of it as many as bring the stream
/// to the beginning of a block.
fn region(stream: &mut Stream, blocks: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while !stream.is_between_blocks() {
        all.extend(filled!(stream, 1, 0u8));
    }
    let region = stream.region(16 * blocks as u64);
    let mut bytes = vec![0u8; 16 * blocks];
    for (at, bytes) in bytes
        .chunks_mut(48)
        .enumerate()
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        region.fill(48 * at, bytes);
    }
    all.extend(bytes);
    all
}

#[test]
#[should_panic(expected = "a region ends earlier")]
fn a_region_does_not_run_into_the_rest() {
    let region = key(5).stream(0, 0, Purpose::InputMask).region(32);
    region.fill(16, &mut [0u8; 16]);
    region.fill(16, &mut [0u64; 4]);
}

#[test]
#[should_panic(expected = "does not fit a stream's name")]
fn a_step_beyond_24_bits_is_refused() {
    key(5).stream(0, MAX_STEP + 1, Purpose::InputMask);
}

#[test]
fn the_same_name_is_fine_with_another_key_or_at_another_party() {
    let (client, helper, server) = (key(6), key(6), key(7));
    let [c, h, s] = [client, helper, server].map(|key| bytes(key.stream(1, 2, Purpose::FreshMask), 16));
    assert_eq!(c, h);
    assert_ne!(c, s);
}

#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "was already handed out")]
fn a_stream_is_handed_out_once() {
    let key = key(8);
    key.stream(1, 2, Purpose::FreshMask);
    key.stream(1, 3, Purpose::FreshMask);
    key.stream(1, 2, Purpose::FreshMask);
}

#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "was never handed out")]
fn a_stream_is_not_replayed_before_it_is_handed_out() {
    key(8).replay(1, 2, Purpose::FreshMask);
}

/// Whether a type implements a trait, decided at compile time: the call is ambiguous if it does.
macro_rules! lacks {
    ($type:ty: $bound:path) => {{
        trait Probe<A> {
            fn probe() {}
        }
        impl<T: ?Sized> Probe<()> for T {}
        impl<T: ?Sized + $bound> Probe<u8> for T {}
        <$type as Probe<_>>::probe();
    }};
}

#[test]
fn secrets_are_neither_printed_nor_copied() {
    lacks!(Seed: std::fmt::Debug);
    lacks!(Seed: Clone);
    lacks!(StreamKey: std::fmt::Debug);
    lacks!(StreamKey: Clone);
    lacks!(Stream: std::fmt::Debug);
    lacks!(Stream: Clone);
}
