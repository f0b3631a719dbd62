//! Packing and slicing against references that go bit by bit.

use proptest::prelude::*;

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
