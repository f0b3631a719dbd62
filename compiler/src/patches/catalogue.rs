//! The patch sizes that channels may get: a catalogue of rectangles by map size, or the user's own.
//!
//! The standard catalogue has rectangles of mixed aspect up to the whole map, about as many as
//! Gorski et al. use: 8 on a 4x4 map, 24 on 7x7, 74 on 14x14, 86 on 28x28, about 100 from 56x56 on.
//! Small sides come one by one, large ones in steps that grow, since patches of 23 and 24 rows are
//! much the same.

use std::collections::BTreeMap;

use serde_json::Value;
use thiserror::Error;
use trefoil_ir::{Patch, Shape};
use trefoil_runtime::amount::counted;

use crate::patches::Entries;

/// The standard catalogue for a map of this size: one pixel first, then by area, the identity last.
pub fn patches(map_h: usize, map_w: usize) -> Vec<Patch> {
    let aspect = aspect_limit(map_h.max(map_w));
    let mut rectangles = Vec::new();
    for h in sides(map_h) {
        for w in sides(map_w) {
            // A patch across the whole of a narrow map is as long as it likes.
            let spans = (h <= w && h == map_h) || (w <= h && w == map_w);
            if spans || h.max(w) <= aspect * h.min(w) {
                rectangles.push([h, w]);
            }
        }
    }
    let list = rectangles
        .into_iter()
        .filter_map(|[h, w]| patch_of([h as u64, w as u64]));
    ordered(list.chain([Patch::Identity]), map_h, map_w)
}

/// The largest ratio of a patch's sides on maps of this size.
fn aspect_limit(size: usize) -> usize {
    match size {
        0..=4 => 2,
        5..=8 => 4,
        9..=20 => 6,
        _ => 4,
    }
}

/// The sides of patches along an axis of this size.
fn sides(size: usize) -> Vec<usize> {
    if size <= 8 {
        // The smallest side for each number of patches that fit: others cut the map no coarser.
        let mut sides: Vec<usize> = (1..=size).map(|n| size.div_ceil(n)).collect();
        sides.sort_unstable();
        sides.dedup();
        return sides;
    }
    let doubling = std::iter::successors(Some(28), |side| Some(side * 2));
    let series = (1..=7).chain([10, 14, 20]).chain(doubling);
    // None that is nearly the whole.
    let mut sides: Vec<usize> = series.take_while(|side| side * 13 <= size * 10).collect();
    sides.push(size);
    sides
}

/// The patches that fit the map and one pixel, each once: by area, the identity last.
fn ordered(patches: impl Iterator<Item = Patch>, map_h: usize, map_w: usize) -> Vec<Patch> {
    let map = Shape::new(1, map_h, map_w);
    let mut patches: Vec<Patch> = patches
        .chain([Patch::PIXEL])
        .filter(|patch| patch.fits(map))
        .collect();
    patches.sort_unstable_by_key(|patch| (area(*patch), *patch));
    patches.dedup();
    patches
}

/// Pixels of a patch; of the identity more than of any other, so that it comes last.
fn area(patch: Patch) -> u32 {
    match patch {
        Patch::Identity => u32::MAX,
        Patch::Block { h, w } => u32::from(h) * u32::from(w),
    }
}

/// Which patches channels may get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Catalogue {
    /// The standard ones, [`patches`].
    #[default]
    Standard,
    /// These, on every map that can hold them.
    All(Vec<Patch>),
    /// These by a map's height and width; the standard ones on other maps.
    ByMap(BTreeMap<[u64; 2], Vec<Patch>>),
}

impl Catalogue {
    /// Reads a catalogue file: a JSON list of patches `[h, w]` for all maps, or an object of such
    /// lists by map, `{"32x32": [[2, 2], [0, 1]]}`. `[0, 1]` is the identity.
    ///
    /// # Errors
    /// If the text is not of this form: all entries at fault are named.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let value: Value = serde_json::from_str(text)?;
        let mut faults = Vec::new();
        let catalogue = if value.is_object() {
            let Entries(entries) = serde_json::from_str(text)?;
            Self::ByMap(by_map(&entries, &mut faults))
        } else {
            Self::All(list(&value, "the list", &mut faults))
        };
        if faults.is_empty() {
            Ok(catalogue)
        } else {
            Err(CatalogueError(faults))
        }
    }

    /// The patches for a map of this size that fit it, one pixel among them.
    pub fn patches(&self, map_h: usize, map_w: usize) -> Vec<Patch> {
        let own = match self {
            Self::Standard => None,
            Self::All(patches) => Some(patches),
            Self::ByMap(maps) => maps.get(&[map_h as u64, map_w as u64]),
        };
        match own {
            Some(own) => ordered(own.iter().copied(), map_h, map_w),
            None => patches(map_h, map_w),
        }
    }
}

fn by_map(entries: &[(String, Value)], faults: &mut Vec<CatalogueFault>) -> BTreeMap<[u64; 2], Vec<Patch>> {
    let mut maps = BTreeMap::new();
    for (name, value) in entries {
        let Some(size) = map_size(name) else {
            faults.push(CatalogueFault::Map { name: name.clone() });
            continue;
        };
        let patches = list(value, &format!("\"{name}\""), faults);
        if maps.insert(size, patches).is_some() {
            faults.push(CatalogueFault::Twice { name: name.clone() });
        }
    }
    maps
}

fn map_size(name: &str) -> Option<[u64; 2]> {
    let (h, w) = name.split_once('x')?;
    let size = [h.parse().ok()?, w.parse().ok()?];
    size.iter().all(|side| *side > 0).then_some(size)
}

fn list(value: &Value, place: &str, faults: &mut Vec<CatalogueFault>) -> Vec<Patch> {
    let Some(items) = value.as_array() else {
        faults.push(CatalogueFault::NoList {
            place: place.to_owned(),
        });
        return Vec::new();
    };
    let mut patches = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let pair = item
            .as_array()
            .map(|pair| pair.iter().map(Value::as_u64).collect::<Vec<_>>());
        let patch = match pair.as_deref() {
            Some(&[Some(h), Some(w)]) => patch_of([h, w]),
            _ => None,
        };
        match patch {
            Some(patch) => patches.push(patch),
            None => faults.push(CatalogueFault::Patch {
                place: place.to_owned(),
                at,
                found: item.to_string().chars().take(40).collect(),
            }),
        }
    }
    patches
}

/// The patch of a pair; sides beyond all maps become the largest that can be written, which fits
/// none either.
fn patch_of(pair: [u64; 2]) -> Option<Patch> {
    Patch::from_pair(pair.map(|side| u16::try_from(side).unwrap_or(u16::MAX)))
}

/// A catalogue file is malformed.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the patch catalogue has {}:\n{}", counted(.0.len(), "fault"), lines(.0))]
pub struct CatalogueError(
    /// Every fault that was found.
    pub Vec<CatalogueFault>,
);

impl From<serde_json::Error> for CatalogueError {
    fn from(error: serde_json::Error) -> Self {
        Self(vec![CatalogueFault::Json(error.to_string())])
    }
}

fn lines(faults: &[CatalogueFault]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
    lines.join("\n")
}

/// One fault of a catalogue file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CatalogueFault {
    /// Not JSON.
    #[error("the file is not JSON: {0}")]
    Json(String),
    /// A key that is no map size.
    #[error("\"{name}\" is no map size; write height and width as in \"32x32\"")]
    Map {
        /// The key as it stands in the file.
        name: String,
    },
    /// A map that comes twice.
    #[error("\"{name}\": the map comes twice; keep one of the entries")]
    Twice {
        /// The key as it stands in the file.
        name: String,
    },
    /// Something else than a list.
    #[error("{place}: this is not a list of patches [h, w]")]
    NoList {
        /// Where.
        place: String,
    },
    /// An entry that is no patch.
    #[error(
        "{place}, entry {at}: `{found}` is no patch; write [h, w] with sides from 1 on, or [0, 1] for the \
         identity"
    )]
    Patch {
        /// Where.
        place: String,
        /// Its number, from 0.
        at: usize,
        /// The beginning of the entry, as JSON.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_about_as_many_as_published() {
        for (size, published) in [
            (4, 8),
            (7, 24),
            (14, 74),
            (28, 79),
            (32, 79),
            (56, 100),
            (112, 100),
        ] {
            let count = patches(size, size).len();
            let close = published * 9 / 10..=published * 11 / 10;
            assert!(close.contains(&count), "{size}: {count}, {published} published");
        }
    }

    #[test]
    fn every_catalogue_fits_its_map_and_has_pixel_whole_and_identity() {
        for h in 1..40 {
            for w in [1, 2, 3, 7, 8, 9, 15, 32, 33, 129, 512] {
                let list = patches(h, w);
                let whole = Patch::Block {
                    h: h as u16,
                    w: w as u16,
                };
                assert_eq!((list[0], list.last()), (Patch::PIXEL, Some(&Patch::Identity)));
                assert!(list.contains(&whole), "{h}x{w}");
                assert!(list.iter().all(|p| p.fits(Shape::new(1, h, w))));
                let mut distinct = list.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), list.len());
                assert!(list.len() < 150);
            }
        }
    }

    #[test]
    fn a_file_names_patches_for_all_maps_or_by_map() {
        let block = |h, w| Patch::Block { h, w };
        let all = Catalogue::parse("[[2,2],[0,1],[9,1],[2,2],[100000,1]]").unwrap();
        assert_eq!(all.patches(4, 4), [Patch::PIXEL, block(2, 2), Patch::Identity]);
        let by_map = Catalogue::parse(r#"{"4x6": [[4,6],[6,4]], "2x2": []}"#).unwrap();
        assert_eq!(by_map.patches(4, 6), [Patch::PIXEL, block(4, 6)]);
        assert_eq!(by_map.patches(2, 2), [Patch::PIXEL]);
        assert_eq!(by_map.patches(7, 7), patches(7, 7));
        assert_eq!(Catalogue::default().patches(7, 7), patches(7, 7));
    }

    #[test]
    fn all_entries_at_fault_are_named() {
        let text =
            r#"{"4x4": [[0,0],[1,1],[0,2],[2]], "x": [], "5x5": 1, "6x6": [], "6x6": [[1,-1]], "0x1": []}"#;
        let message = Catalogue::parse(text).unwrap_err().to_string();
        for expected in [
            "8 faults",
            "\"4x4\", entry 0: `[0,0]` is no patch",
            "entry 2: `[0,2]`",
            "entry 3: `[2]`",
            "\"x\" is no map size",
            "\"5x5\": this is not a list",
            "\"6x6\": the map comes twice",
            "`[1,-1]`",
            "\"0x1\" is no map size",
        ] {
            assert!(message.contains(expected), "{expected}:\n{message}");
        }
        for text in ["", "7", "[[1,1]] x", "[7]"] {
            assert!(Catalogue::parse(text).is_err(), "{text}");
        }
    }
}
