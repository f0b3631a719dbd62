//! The vector paths against their twins, and these against definitions bit by bit.

use proptest::prelude::*;

use super::*;
use crate::wire::bits::{BitsError, field_bytes};

fn halves() -> impl Strategy<Value = Halves> {
    any::<u64>().prop_map(|seed| std::array::from_fn(|i| noise(seed, i) as u16))
}

fn words() -> impl Strategy<Value = Words> {
    any::<u64>().prop_map(|seed| std::array::from_fn(|i| noise(seed, i) as u32))
}

fn noise(seed: u64, at: usize) -> u64 {
    let mut state = seed ^ (at as u64) << 40;
    crate::protocol::tests::random(&mut state)
}

proptest! {
    #[test]
    fn slices_are_the_bits_of_the_values(values in halves(), count in 0..=16usize) {
        for isa in Isa::available() {
            let mut planes = [ZEROS; 16];
            slice(isa, &values, &mut planes[..count]);
            for (j, plane) in planes.iter().enumerate() {
                for (i, value) in values.iter().enumerate() {
                    let want = u64::from(j < count && value >> j & 1 == 1);
                    prop_assert_eq!(plane[i / 64] >> (i % 64) & 1, want, "{:?} {} {}", isa, i, j);
                }
                if j < count {
                    prop_assert_eq!(&bit(isa, &values, j as u32), plane);
                }
            }
            let mut spread = [7; BLOCK];
            expand(isa, &planes[0], &mut spread);
            for (i, value) in spread.iter().enumerate() {
                let set = planes[0][i / 64] >> (i % 64) & 1 == 1;
                prop_assert_eq!(*value, if set { u16::MAX } else { 0 });
            }
        }
    }

    #[test]
    fn numbers_are_written_and_read_alike(halves in halves(), words in words(), count in 1..=BLOCK) {
        for count in [count, BLOCK] {
            for bits in 1..=32 {
                let mut sections = Vec::new();
                for isa in Isa::available() {
                    let mut bytes = vec![0xaa; field_bytes(count, bits)];
                    let mut writer = BlockWriter::new(isa, &mut bytes, count);
                    let (mut half, mut word) = ([0; BLOCK], [0; BLOCK]);
                    let mut read = 0;
                    if bits <= 16 {
                        writer.halves(&halves, bits);
                        BlockReader::new(isa, &bytes, count).halves(bits, &mut half).unwrap();
                        for i in 0..count {
                            prop_assert_eq!(half[i], halves[i] & (u16::MAX >> (16 - bits)));
                            read += 1;
                        }
                    } else {
                        writer.words(&words, bits);
                        BlockReader::new(isa, &bytes, count).words(bits, &mut word).unwrap();
                        for i in 0..count {
                            prop_assert_eq!(word[i], words[i] & (u32::MAX >> (32 - bits)));
                            read += 1;
                        }
                    }
                    prop_assert_eq!(read, count);
                    sections.push(bytes);
                }
                prop_assert!(sections.windows(2).all(|pair| pair[0] == pair[1]), "{} bits", bits);
            }
        }
    }

    #[test]
    fn planes_are_written_and_read_and_padding_is_refused(values in halves(), count in 1..=BLOCK) {
        let isa = Isa::detect();
        let plane = bit(isa, &values, 3);
        let mut bytes = vec![0xaa; field_bytes(count, 1)];
        BlockWriter::new(isa, &mut bytes, count).planes(&[plane]);
        let back = BlockReader::new(isa, &bytes, count).plane().unwrap();
        for i in 0..BLOCK {
            let want = if i < count { plane[i / 64] >> (i % 64) & 1 } else { 0 };
            prop_assert_eq!(back[i / 64] >> (i % 64) & 1, want);
        }
        if count % 8 != 0 {
            *bytes.last_mut().unwrap() |= 0x80;
            prop_assert_eq!(BlockReader::new(isa, &bytes, count).plane(), Err(BitsError::Padding));
        }
        let short = BlockReader::new(isa, &bytes[1..], count).plane();
        let refused = matches!(short, Err(BitsError::Length { .. }));
        prop_assert!(refused);
    }
}

#[test]
fn every_block_is_worked_on_once() {
    struct Count;
    impl BlockWork for Count {
        type Own<'a> = &'a mut [u32];

        fn block(&self, block: usize, values: &mut [u32]) -> Result<(), BitsError> {
            values
                .iter_mut()
                .enumerate()
                .for_each(|(i, v)| *v += (block * BLOCK + i) as u32 + 1);
            Ok(())
        }
    }
    for count in [
        0,
        1,
        511,
        512,
        513,
        JOB_VALUES,
        JOB_VALUES + 1,
        5 * JOB_VALUES - 7,
    ] {
        let mut values = vec![0; count];
        update(Isa::detect(), &Count, &mut values).unwrap();
        assert!(
            values.iter().enumerate().all(|(i, &v)| v == i as u32 + 1),
            "{count}"
        );
    }
}
