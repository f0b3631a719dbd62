//! A profile's vectors as joint assignment takes them: one per pick of every slot.

use std::ops::Range;

use super::joint::Vectors;
use super::menu::Menu;
use crate::profile;

/// The vectors of a menu's picks on some of a profile's images.
pub struct SlotVectors<'a> {
    menu: &'a Menu,
    measured: &'a profile::Vectors,
    images: Range<usize>,
    /// By group, one after another, the picks of both signs of a clip: what the two do together.
    sums: Vec<Vec<f32>>,
}

impl<'a> SlotVectors<'a> {
    /// The vectors on these images, counted as they come in the profile.
    pub fn new(menu: &'a Menu, measured: &'a profile::Vectors, images: Range<usize>) -> Self {
        let mut vectors = Self {
            menu,
            measured,
            images,
            sums: Vec::new(),
        };
        for (group, slot) in menu.slots.iter().enumerate() {
            let has_pairs = slot.picks.iter().any(|pick| pick.halves().count() > 1);
            let sums = if has_pairs {
                vectors.sums_of(group)
            } else {
                Vec::new()
            };
            vectors.sums.push(sums);
        }
        vectors
    }

    /// For every pick of a slot the sum of its halves' vectors.
    fn sums_of(&self, group: usize) -> Vec<f32> {
        let slot = &self.menu.slots[group];
        let mut sums = vec![0.0; slot.picks.len() * self.dims()];
        for (pick, sum) in slot.picks.iter().zip(sums.chunks_exact_mut(self.dims().max(1))) {
            for (layer, patch) in pick.halves() {
                let vector = self.measured.of(layer, slot.channel, patch, &self.images);
                sum.iter_mut().zip(vector).for_each(|(sum, v)| *sum += v);
            }
        }
        sums
    }
}

impl Vectors for SlotVectors<'_> {
    fn dims(&self) -> usize {
        self.measured.dims(&self.images)
    }

    fn of(&self, group: usize, item: usize) -> &[f32] {
        let slot = &self.menu.slots[group];
        let mut halves = slot.picks[item].halves();
        match (halves.next(), halves.next()) {
            (Some((layer, patch)), None) => self.measured.of(layer, slot.channel, patch, &self.images),
            _ => &self.sums[group][item * self.dims()..][..self.dims()],
        }
    }
}
