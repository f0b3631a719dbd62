//! The streams of one step: each stretch of them is drawn by the name under which the step declares it.

use std::collections::BTreeMap;

use trefoil_ir::mpc::privacy::{Draw, DrawId, Unit};

use crate::pool;
use crate::prg::{Purpose, Stream, StreamKey};
use crate::protocol::block::Masks;

/// The streams of one step of one inference under one key.
///
/// What can be drawn is what the step declares of this key, and from there come place, length and width:
/// it is of these stretches that the program was proved private. A draw that is not among them, that
/// comes twice or out of order, or is read as of another width, is an error of this program that would
/// give something away. It stops the party, in release builds too, before anything is masked by it.
pub struct StepStreams<'a> {
    key: &'a StreamKey,
    inference: u32,
    step: u32,
    declared: Vec<Declared>,
    open: BTreeMap<Purpose, Stream>,
}

struct Declared {
    draw: Draw,
    drawn: bool,
}

impl<'a> StepStreams<'a> {
    /// The streams of this step, of which `draws` are declared.
    pub fn new<'d>(
        key: &'a StreamKey,
        inference: u32,
        step: u32,
        draws: impl IntoIterator<Item = &'d Draw>,
    ) -> Self {
        let draws = draws.into_iter().copied();
        let declared = draws.map(|draw| Declared { draw, drawn: false });
        Self {
            key,
            inference,
            step,
            declared: declared.collect(),
            open: BTreeMap::new(),
        }
    }

    /// Opens a stream again from its beginning, whose output was used before: the client draws the
    /// mask of a gate's result when it prepares the next layer and once more when it applies it.
    ///
    /// # Panics
    /// If it is another stream: no other mask is drawn twice, not even for the same field.
    pub fn replay(&mut self, purpose: Purpose) {
        let step = self.step;
        assert!(
            purpose == Purpose::FreshMask,
            "step {step} would draw {purpose} once more: only the mask of a result is drawn again"
        );
        let again = self.key.replay(self.inference, step, purpose);
        self.open.insert(purpose, again);
        let same = |declared: &&mut Declared| declared.draw.id.purpose == purpose;
        self.declared
            .iter_mut()
            .filter(same)
            .for_each(|d| d.drawn = false);
    }

    /// Ring elements of 32 bits.
    ///
    /// # Panics
    /// As [`words`](Self::words).
    pub fn u32s(&mut self, id: DrawId) -> Vec<u32> {
        let draw = self.take(id, Unit::Word);
        let mut values = pool::zeroed(draw.count);
        self.stream(&draw).fill(&mut values);
        values
    }

    /// Single bits, so many for each value.
    ///
    /// # Panics
    /// As [`words`](Self::words).
    pub fn planes(&mut self, id: DrawId, planes: usize) -> Masks {
        self.masks(id, Unit::Planes(planes))
    }

    /// 16 bits for each value.
    ///
    /// # Panics
    /// As [`words`](Self::words).
    pub fn halves(&mut self, id: DrawId) -> Masks {
        self.masks(id, Unit::Half)
    }

    /// 32 bits for each value.
    ///
    /// # Panics
    /// If the step declares no such draw under this key, or it is of another width, was made already,
    /// or does not follow upon the last one of its stream.
    pub fn words(&mut self, id: DrawId) -> Masks {
        self.masks(id, Unit::Word)
    }

    fn masks(&mut self, id: DrawId, unit: Unit) -> Masks {
        let draw = self.take(id, unit);
        Masks::new(self.stream(&draw).region(draw.bytes()), unit.block_bytes())
    }

    /// The declared draw of this name, which from now on is made.
    fn take(&mut self, id: DrawId, unit: Unit) -> Draw {
        let step = self.step;
        let declared = self.declared.iter_mut().find(|declared| declared.draw.id == id);
        let Some(Declared { draw, drawn }) = declared else {
            panic!("step {step} would draw {id}, which it does not declare of this key");
        };
        assert!(
            !*drawn,
            "step {step} would draw {id} twice: it would mask two fields"
        );
        assert!(
            draw.unit == unit,
            "step {step} would draw {unit} of {id}, and declares {}",
            draw.unit
        );
        *drawn = true;
        *draw
    }

    /// The stream of a draw, at its beginning.
    fn stream(&mut self, draw: &Draw) -> &mut Stream {
        let (purpose, step) = (draw.id.purpose, self.step);
        let stream = self
            .open
            .entry(purpose)
            .or_insert_with(|| self.key.stream(self.inference, step, purpose));
        let at = stream.position();
        assert!(
            at == draw.start,
            "step {step} would draw {} at byte {at} of its stream, and declares byte {}",
            draw.id,
            draw.start
        );
        stream
    }
}

#[cfg(test)]
mod tests {
    use trefoil_ir::mpc::gate::{self, Group};
    use trefoil_ir::mpc::privacy::{Draws, Key};
    use trefoil_ir::{Patch, Shape};

    use super::*;
    use crate::prg::Seed;

    fn key() -> StreamKey {
        StreamKey::new(&Seed::from_bytes([3; 32]))
    }

    const P: DrawId = DrawId::only(Purpose::Rerandomise);

    /// Draws from the streams that a truncation of 600 values declares of k_sh.
    fn truncation(draw: impl FnOnce(&mut StepStreams<'_>)) {
        let (key, draws) = (key(), Draws::of_truncation(600));
        draw(&mut StepStreams::new(&key, 0, 1, draws.of_key(Key::ServerHelper)));
    }

    #[test]
    fn what_is_declared_can_be_drawn() {
        truncation(|streams| drop(streams.words(P)));
    }

    #[test]
    #[should_panic(expected = "does not declare of this key")]
    fn a_mask_of_another_purpose_is_refused() {
        truncation(|streams| drop(streams.words(DrawId::only(Purpose::OpeningMask))));
    }

    #[test]
    #[should_panic(expected = "does not declare of this key")]
    fn a_mask_from_the_other_key_is_refused() {
        truncation(|streams| drop(streams.words(DrawId::only(Purpose::TruncationMask))));
    }

    #[test]
    #[should_panic(expected = "would mask two fields")]
    fn a_mask_is_drawn_once() {
        truncation(|streams| {
            streams.words(P);
            streams.words(P);
        });
    }

    #[test]
    #[should_panic(expected = "would draw 16 bits of Rerandomise")]
    fn a_mask_is_as_wide_as_declared() {
        truncation(|streams| drop(streams.halves(P)));
    }

    #[test]
    #[should_panic(expected = "a region ends earlier")]
    fn a_mask_is_as_long_as_declared() {
        truncation(|streams| {
            let masks = streams.words(P);
            masks.words(0);
            masks.words(1);
            masks.words(2);
        });
    }

    #[test]
    #[should_panic(expected = "only the mask of a result is drawn again")]
    fn another_mask_is_not_drawn_again() {
        truncation(|streams| {
            streams.words(P);
            streams.replay(Purpose::Rerandomise);
        });
    }

    /// A requantised channel and one with a ReLU.
    fn groups() -> Vec<Group> {
        let patches = vec![Patch::Identity, Patch::PIXEL];
        gate::groups(&patches, None, Shape::new(2, 4, 4), false)
    }

    #[test]
    fn a_result_is_masked_twice_alike() {
        let (key, groups) = (key(), groups());
        let draws = Draws::of_gate(&groups);
        let mut streams = StepStreams::new(&key, 0, 1, draws.of_key(Key::ClientHelper));
        let mut draw = || {
            let requantised = streams.halves(groups[0].draw(Purpose::FreshMask, 0)).halves(0);
            let signed = streams.words(groups[1].draw(Purpose::FreshMask, 0)).words(0);
            streams.replay(Purpose::FreshMask);
            (requantised, signed)
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    #[should_panic(expected = "and declares byte 1024")]
    fn stretches_of_a_stream_are_drawn_in_order() {
        let (key, groups) = (key(), groups());
        let draws = Draws::of_gate(&groups);
        let mut streams = StepStreams::new(&key, 0, 1, draws.of_key(Key::ClientHelper));
        streams.words(groups[1].draw(Purpose::FreshMask, 0));
    }
}
