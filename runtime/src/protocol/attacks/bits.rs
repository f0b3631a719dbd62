//! A party's view as bits over many instances, and how strongly they hang together.

/// What a bit is to the party whose view it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It received the bit.
    Message,
    /// It could always compute the bit: streams that it shares, and what follows from them.
    Own,
    /// It must not learn the bit.
    Hidden,
}

/// How a map is cut into instances: patch by patch, so that what a patch shares is one bit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Height and width of the map.
    pub map: [usize; 2],
    /// Height and width of an instance.
    pub patch: [usize; 2],
}

impl Cut {
    pub(super) fn pixels(&self) -> usize {
        self.map[0] * self.map[1]
    }

    pub(super) fn instances(&self) -> usize {
        self.pixels() / (self.patch[0] * self.patch[1])
    }

    /// The pixels of the map that take each place of a patch, in the order of the patches.
    fn places(&self) -> Vec<Vec<usize>> {
        let ([h, w], [ph, pw]) = (self.map, self.patch);
        let pixels = |dy: usize, dx: usize| {
            let rows = (dy..h).step_by(ph);
            rows.flat_map(|y| (dx..w).step_by(pw).map(move |x| y * w + x))
                .collect()
        };
        (0..ph * pw).map(|place| pixels(place / pw, place % pw)).collect()
    }
}

struct Column {
    class: Class,
    name: String,
    words: Vec<u64>,
}

/// A party's view: one column a bit, one row an instance.
#[derive(Default)]
pub(super) struct View(Vec<Column>);

impl View {
    /// Adds the `bits` low bits of values that are one per pixel or one per patch.
    pub(super) fn add(&mut self, class: Class, name: &str, bits: u32, values: &[u32], cut: &Cut) {
        let places = if values.len() == cut.pixels() {
            cut.places()
        } else {
            assert_eq!(
                values.len(),
                cut.instances(),
                "{name}: one value per pixel or per patch"
            );
            vec![(0..values.len()).collect()]
        };
        for (place, indices) in places.iter().enumerate() {
            for bit in 0..bits {
                let word = |chunk: &[usize]| {
                    let bits = chunk.iter().enumerate();
                    bits.fold(0, |word, (n, &i)| word | u64::from(values[i] >> bit & 1) << n)
                };
                let words = indices.chunks_exact(64).map(word).collect();
                let name = format!("{name}[{place}] bit {bit}");
                self.0.push(Column { class, name, words });
            }
        }
    }

    /// Appends the instances of another run of the same case.
    pub(super) fn append(&mut self, other: View) {
        if self.0.is_empty() {
            *self = other;
            return;
        }
        assert_eq!(self.0.len(), other.0.len());
        for (column, more) in self.0.iter_mut().zip(other.0) {
            assert_eq!(column.name, more.name);
            column.words.extend(more.words);
        }
    }

    /// The strongest hint among all that must not give any: a bit of a message that prefers a
    /// value, two bits of messages that hang together, or a bit that the party knows and one that
    /// it must not know or that hides a message. With `secrets_only`, only what involves a bit that
    /// it must not know.
    pub(super) fn strongest(&self, secrets_only: bool) -> Hint {
        let mut strongest = Hint::default();
        for (at, one) in self.0.iter().enumerate() {
            if one.class == Class::Message && !secrets_only {
                strongest.take(deviation(one.words.iter().copied()), || one.name.clone());
            }
            for other in &self.0[at + 1..] {
                let secret = one.class == Class::Hidden || other.class == Class::Hidden;
                if matters(one.class, other.class) && (secret || !secrets_only) {
                    let differ = one.words.iter().zip(&other.words).map(|(a, b)| a ^ b);
                    strongest.take(deviation(differ), || format!("{} and {}", one.name, other.name));
                }
            }
        }
        strongest
    }
}

/// What a party holds may hang together as it likes, and so may what it does not learn.
fn matters(one: Class, other: Class) -> bool {
    one == Class::Message || other == Class::Message || one != other
}

/// By how many standard deviations the number of ones is off a half.
fn deviation(words: impl ExactSizeIterator<Item = u64>) -> f64 {
    let instances = 64.0 * words.len() as f64;
    let ones: u64 = words.map(|word| u64::from(word.count_ones())).sum();
    (2.0 * ones as f64 - instances).abs() / instances.sqrt()
}

/// The strongest of many comparisons.
#[derive(Debug, Default)]
pub(super) struct Hint {
    /// Standard deviations off what a blind guess would give.
    pub deviations: f64,
    /// Of which bits.
    pub of: String,
    /// Comparisons made.
    pub comparisons: usize,
}

impl Hint {
    fn take(&mut self, deviations: f64, of: impl FnOnce() -> String) {
        self.comparisons += 1;
        if deviations > self.deviations {
            self.deviations = deviations;
            self.of = of();
        }
    }
}
