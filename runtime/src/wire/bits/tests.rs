//! Packing and slicing against references that go bit by bit.

use proptest::prelude::*;

use super::slice::{bit_plane_scalar, expand_scalar, merge_scalar, slice_scalar};
use super::*;

/// The definition of a section: bit `i · bits + j` of the stream is bit `j` of value `i`.
fn naive_pack(values: &[u32], bits: u32) -> Vec<u8> {
    let stream: Vec<bool> = values
        .iter()
        .flat_map(|value| (0..bits).map(move |bit| value >> bit & 1 == 1))
        .collect();
    stream
        .chunks(8)
        .map(|byte| byte.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit)))
        .collect()
}

fn low(bits: u32) -> u32 {
    u32::MAX >> (32 - bits)
}

fn narrow(values: &[u32]) -> Vec<u16> {
    values.iter().map(|&value| value as u16).collect()
}

fn values() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(any::<u32>(), 0..300)
}

fn plane() -> impl Strategy<Value = BitPlane> {
    prop::collection::vec(any::<bool>(), 0..300)
        .prop_map(|bits| BitPlane::from_fn(bits.len(), |index| bits[index]))
}

proptest! {
    #[test]
    fn fields_of_u32_are_the_bit_stream(values in values(), before in 0..9usize) {
        for bits in 1..=32 {
            let want = naive_pack(&values, bits);
            prop_assert_eq!(field_bytes(values.len(), bits), want.len());
            let mut out = vec![0xaa; before];
            pack_fields_u32(&values, bits, &mut out);
            prop_assert_eq!(&out[..before], &vec![0xaa; before]);
            prop_assert_eq!(&out[before..], &want, "{} bits", bits);

            let mut back = vec![u32::MAX; values.len()];
            unpack_fields_u32(&want, bits, &mut back).unwrap();
            let kept: Vec<u32> = values.iter().map(|value| value & low(bits)).collect();
            prop_assert_eq!(back, kept, "{} bits", bits);
        }
    }

    #[test]
    fn fields_of_u16_are_the_bit_stream(values in values(), before in 0..9usize) {
        let values = narrow(&values);
        let wide: Vec<u32> = values.iter().map(|&value| value.into()).collect();
        for bits in 1..=16 {
            let want = naive_pack(&wide, bits);
            let mut out = vec![0xaa; before];
            pack_fields_u16(&values, bits, &mut out);
            prop_assert_eq!(&out[..before], &vec![0xaa; before]);
            prop_assert_eq!(&out[before..], &want, "{} bits", bits);

            let mut back = vec![u16::MAX; values.len()];
            unpack_fields_u16(&want, bits, &mut back).unwrap();
            let kept: Vec<u16> = values.iter().map(|value| value & low(bits) as u16).collect();
            prop_assert_eq!(back, kept, "{} bits", bits);
        }
    }

    #[test]
    fn another_length_is_refused(bits in 1..=32u32, count in 0..300usize, got in 0..1300usize) {
        let expected = field_bytes(count, bits);
        prop_assume!(got != expected);
        let error = Err(BitsError::Length { expected, got });
        let mut out = vec![7; count];
        prop_assert_eq!(unpack_fields_u32(&vec![0; got], bits, &mut out), error);
        prop_assert_eq!(out, vec![7; count]);
        if bits <= 16 {
            prop_assert_eq!(unpack_fields_u16(&vec![0; got], bits, &mut vec![0; count]), error);
        }
        if bits == 1 {
            prop_assert_eq!(unpack_plane(&vec![0; got], count).map(drop), error);
        }
    }

    #[test]
    fn a_set_padding_bit_is_refused(bits in 1..=32u32, values in values(), pick in 0..8usize) {
        let used = values.len() * bits as usize % 8;
        prop_assume!(used != 0);
        let mut bytes = naive_pack(&values, bits);
        let padding = 1u8 << (used + pick % (8 - used));
        *bytes.last_mut().unwrap() |= padding;
        let error = Err(BitsError::Padding);
        prop_assert_eq!(unpack_fields_u32(&bytes, bits, &mut vec![0; values.len()]), error);
        if bits <= 16 {
            prop_assert_eq!(unpack_fields_u16(&bytes, bits, &mut vec![0; values.len()]), error);
        }
        if bits == 1 {
            prop_assert_eq!(unpack_plane(&bytes, values.len()).map(drop), error);
        }
    }

    #[test]
    fn any_bytes_unpack_or_are_refused_and_pack_back(
        bytes in prop::collection::vec(any::<u8>(), 0..100), bits in 0..40u32, count in 0..100usize,
    ) {
        let mut out = vec![0; count];
        if unpack_fields_u32(&bytes, bits, &mut out).is_ok() {
            let mut again = Vec::new();
            pack_fields_u32(&out, bits, &mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn a_plane_is_packed_as_fields_of_one_bit(plane in plane()) {
        let bits: Vec<u32> = (0..plane.len()).map(|index| plane.get(index).into()).collect();
        let mut packed = vec![0xaa];
        pack_plane(&plane, &mut packed);
        prop_assert_eq!(&packed[1..], &naive_pack(&bits, 1));
        prop_assert_eq!(unpack_plane(&packed[1..], plane.len()).unwrap(), plane);
    }

    #[test]
    fn slices_are_the_bits_of_the_values(
        values in values(), start in 0..=16u32, count in 0..=16u32,
    ) {
        let values = narrow(&values);
        let bits = start..(start + count).min(16);
        let want: Vec<BitPlane> = bits
            .clone()
            .map(|bit| BitPlane::from_fn(values.len(), |index| values[index] >> bit & 1 == 1))
            .collect();
        prop_assert_eq!(&slice_planes_u16(&values, bits.clone()), &want);
        let mut twin = vec![BitPlane::zeros(values.len()); bits.len()];
        slice_scalar(&values, bits.start, &mut twin);
        prop_assert_eq!(&twin, &want);
        for (bit, want) in bits.clone().zip(&want) {
            prop_assert_eq!(&bit_plane_u16(&values, bit), want);
            let mut twin = BitPlane::zeros(values.len());
            bit_plane_scalar(&values, bit, &mut twin);
            prop_assert_eq!(&twin, want);
        }

        let mask = bits.clone().fold(0, |mask, bit| mask | 1 << bit);
        let kept: Vec<u16> = values.iter().map(|value| value & mask).collect();
        let mut merged = vec![0xffff; values.len()];
        merge_planes_u16(&want, bits.start, &mut merged);
        prop_assert_eq!(&merged, &kept);
        let mut twin = vec![0xffff; values.len()];
        merge_scalar(&want, bits.start, &mut twin);
        prop_assert_eq!(&twin, &kept);
    }

    #[test]
    fn expansions_are_the_bits(plane in plane()) {
        let naive = |one: u16| -> Vec<u16> {
            (0..plane.len()).map(|index| if plane.get(index) { one } else { 0 }).collect()
        };
        let mut out = vec![7; plane.len()];
        expand_u16(&plane, &mut out);
        prop_assert_eq!(&out, &naive(1));
        expand_mask_u16(&plane, &mut out);
        prop_assert_eq!(&out, &naive(0xffff));
        for one in [1, 0xffff] {
            expand_scalar(&plane, one, &mut out);
            prop_assert_eq!(&out, &naive(one));
        }
    }

    #[test]
    fn operations_are_those_on_bits(a in plane(), b in plane(), c in plane()) {
        let len = a.len().min(b.len()).min(c.len());
        let (a, b, c) = (a.slice(0..len), b.slice(0..len), c.slice(0..len));
        let naive = |f: &dyn Fn(bool, bool, bool) -> bool| {
            BitPlane::from_fn(len, |index| f(a.get(index), b.get(index), c.get(index)))
        };
        let done = |f: &dyn Fn(&mut BitPlane)| {
            let mut plane = a.clone();
            f(&mut plane);
            plane
        };
        prop_assert_eq!(done(&|x| x.xor_assign(&b)), naive(&|a, b, _| a ^ b));
        prop_assert_eq!(done(&|x| x.and_assign(&b)), naive(&|a, b, _| a & b));
        prop_assert_eq!(done(&|x| x.or_assign(&b)), naive(&|a, b, _| a | b));
        prop_assert_eq!(done(&|x| x.xor_and_assign(&b, &c)), naive(&|a, b, c| a ^ (b & c)));
        prop_assert_eq!(done(&|x| x.not_assign()), naive(&|a, _, _| !a));
        prop_assert_eq!(a.count_ones(), (0..len).filter(|&index| a.get(index)).count());
    }

    #[test]
    fn a_slice_is_the_bits_of_its_range(plane in plane(), one: usize, two: usize) {
        let (one, two) = (one % (plane.len() + 1), two % (plane.len() + 1));
        let (start, end) = (one.min(two), one.max(two));
        let want = BitPlane::from_fn(end - start, |index| plane.get(start + index));
        prop_assert_eq!(plane.slice(start..end), want);
    }

    #[test]
    fn the_tail_is_always_zero(len in 0..300usize, words in prop::collection::vec(any::<u64>(), 5)) {
        let words = words[..len.div_ceil(64)].to_vec();
        let mut plane = BitPlane::from_words(words, len);
        let clean = |plane: &BitPlane| {
            BitPlane::from_fn(len, |index| plane.get(index)).words() == plane.words()
        };
        prop_assert!(clean(&plane));
        plane.words_mut().fill(u64::MAX);
        prop_assert!(clean(&plane));
        prop_assert_eq!(plane.count_ones(), len);
    }
}

/// More values than one tile of the vector path holds.
#[test]
fn long_slices_cross_tiles() {
    let values: Vec<u16> = (0..10_001u32)
        .map(|i| (i.wrapping_mul(0x9e37_79b9) >> 7) as u16)
        .collect();
    let planes = slice_planes_u16(&values, 0..16);
    let mut twin = vec![BitPlane::zeros(values.len()); 16];
    slice_scalar(&values, 0, &mut twin);
    assert_eq!(planes, twin);
    let mut merged = vec![0; values.len()];
    merge_planes_u16(&planes, 0, &mut merged);
    assert_eq!(merged, values);
}

#[test]
fn set_and_get() {
    let mut plane = BitPlane::zeros(70);
    plane.set(69, true);
    plane.set(3, true);
    plane.set(3, false);
    assert_eq!(
        (plane.get(69), plane.get(3), plane.count_ones()),
        (true, false, 1)
    );
}

#[test]
fn widths_out_of_range_are_errors() {
    for bits in [0, 17, u32::MAX] {
        let error = unpack_fields_u16(&[], bits, &mut []);
        assert_eq!(error, Err(BitsError::Width { bits, most: 16 }));
    }
    for bits in [0, 33, u32::MAX] {
        let error = unpack_fields_u32(&[], bits, &mut []);
        assert_eq!(error, Err(BitsError::Width { bits, most: 32 }));
    }
}

#[test]
fn debug_shows_no_bits() {
    let plane = BitPlane::from_words(vec![0x1234_5678], 64);
    assert_eq!(format!("{plane:?}"), "BitPlane { len: 64, .. }");
}
