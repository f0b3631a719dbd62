//! Sizes and counts as people write them, in every flag of both commands: `500MB`, `3GiB`, `1.5 TB`
//! for bytes, `500k` or `2M` for anything else.
//!
//! The grammar is that of the crate bytesize: a number, then k, M, G, T, P (powers of 1000) or Ki,
//! Mi, Gi, Ti, Pi (powers of 1024) in either case, then B, which may be left out. A fraction needs
//! a unit.

use bytesize::ByteSize;

/// A text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// No number of bytes.
    #[error("\"{0}\" is no number of bytes: give one such as 20kB, 500MB, 1.5GB or 3GiB")]
    Bytes(String),
    /// No count.
    #[error("\"{0}\" is no count: give one such as 7, 500k or 1.5M")]
    Count(String),
    /// Above 2^53, where floats no longer count singly, and far above what any machine has.
    #[error("\"{0}\" is more than there is of anything: give at most 9P")]
    TooMuch(String),
}

/// The largest amount: floats count singly up to here.
const MOST: u64 = 9_000_000_000_000_000;

/// A number of bytes.
///
/// # Errors
/// If the text is none.
pub fn bytes(text: &str) -> Result<u64, AmountError> {
    read(text, AmountError::Bytes)
}

/// A number of things that are no bytes.
///
/// # Errors
/// If the text is none.
pub fn count(text: &str) -> Result<u64, AmountError> {
    match text.trim_end().ends_with(['b', 'B']) {
        true => Err(AmountError::Count(text.to_owned())),
        false => read(text, AmountError::Count),
    }
}

fn read(text: &str, refused: fn(String) -> AmountError) -> Result<u64, AmountError> {
    let size: ByteSize = text.trim().parse().map_err(|_| refused(text.to_owned()))?;
    match size.as_u64() {
        amount @ ..=MOST => Ok(amount),
        _ => Err(AmountError::TooMuch(text.to_owned())),
    }
}

/// Bytes for people, with a digit behind the point: `512 B`, `310.0 KiB`, `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// A count and its noun: `1 image`, `2 images`.
pub fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read() {
        for (text, wanted) in [
            ("0", 0),
            ("7", 7),
            ("1500B", 1500),
            ("20kB", 20_000),
            ("20KB", 20_000),
            ("7mb", 7_000_000),
            ("3 MB", 3_000_000),
            ("1.5MiB", 1_572_864),
            ("3GiB", 3_221_225_472),
            ("1.5GB", 1_500_000_000),
            ("1TB", 1_000_000_000_000),
            ("2TiB", 2_199_023_255_552),
            ("1G", 1_000_000_000),
            (" 512Ki ", 524_288),
            ("9P", MOST),
        ] {
            assert_eq!(bytes(text), Ok(wanted), "{text}");
        }
        for (text, wanted) in [("7", 7), ("500k", 500_000), ("1.5M", 1_500_000), ("2Ki", 2048)] {
            assert_eq!(count(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "", "MB", "-1GB", "nan", "inf", "1e30", "3µB", "3 M B", "1,5GB", "0.5", "1.2.3k", "0x10",
        ] {
            assert!(matches!(bytes(text), Err(AmountError::Bytes(_))), "{text}");
            assert!(count(text).is_err(), "{text}");
        }
        for text in ["5B", "5kB", "5MiB"] {
            assert!(matches!(count(text), Err(AmountError::Count(_))), "{text}");
        }
        for text in ["10P", "99999999999999999999999B", "18446744073709551615", "9.1PB"] {
            assert!(matches!(bytes(text), Err(AmountError::TooMuch(_))), "{text}");
        }
    }

    #[test]
    fn amounts_are_written() {
        let texts = [0, 512, 317_440, 1 << 20, 3 << 29].map(size);
        assert_eq!(texts, ["0 B", "512 B", "310.0 KiB", "1.0 MiB", "1.5 GiB"]);
        assert_eq!(
            [1, 0, 2].map(|n| counted(n, "image")),
            ["1 image", "0 images", "2 images"]
        );
    }

    proptest! {
        #[test]
        fn whole_numbers_are_exact(number in 0..=MOST, text in ".{0,12}") {
            prop_assert_eq!(bytes(&number.to_string()), Ok(number));
            prop_assert_eq!(bytes(&format!("{number}B")), Ok(number));
            // Whatever is written, the answer is an answer.
            let _ = (bytes(&text), count(&text));
        }
    }
}
