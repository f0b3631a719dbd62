//! Which mask hides each field of each message from its receiver, and where its bits stand.

use std::collections::BTreeMap;

use trefoil_ir::mpc::gate::{
    BLOCK, Form, Group, KEY_PLANES, LEVELS, OPENED_BITS, PRODUCTS, Rounds, garbled_planes, table_planes,
};
use trefoil_ir::mpc::{Party, Stage};

use super::super::parties::{Exchange, read_sections};
use crate::prg::Purpose::{self, *};
use crate::protocol::block::blocks;

/// The masks that a receiver lacks, in the order in which `docs/PROTOCOL.md` takes them: a field may
/// depend on masks of earlier lines and on its own, and on no other of its line or of a later one.
pub(super) fn order(receiver: Party) -> &'static [&'static [Purpose]] {
    match receiver {
        Party::Client => &[
            &[Rerandomise],
            &[PatchMask, OpeningMask, RequantBit],
            &[TableShare, RequantShare],
            &[ComparisonMaskServer],
            &[ProductShare],
            &[SignMaskServer],
            &[GarblePad, GarbleLabel],
            &[BetaShare],
            &[BetaProductShare, BetaTopShare, MaskWrapShare, MaskTopShare],
            &[WrapBitServer],
            &[WrapProductShare],
        ],
        Party::Server => &[
            &[InputMask],
            &[TruncationMask],
            &[ComparisonMaskClient],
            &[SignMaskClient],
            &[WrapBitClient],
            &[FreshMask],
        ],
        Party::Helper => &[],
    }
}

/// The masks of a garbled comparison, which hide rows and keys together: each of them may change what the other
/// one hides. That there is one draw for each view is tested where it is garbled (`garbled/tests.rs`).
pub(super) fn is_of_garbling(purpose: Purpose) -> bool {
    [GarblePad, GarbleLabel].contains(&purpose)
}

/// What there is one field of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Each {
    /// A pixel that is opened.
    OpenedPixel,
    /// A patch sum that is opened.
    OpenedPatch,
    /// An opened value of which signs are taken.
    Compared,
    /// A sign of an opened value.
    Sign,
    /// A product of a pixel with a sign.
    Product,
    /// A pixel.
    Pixel,
}

/// How the mask of a field is drawn.
#[derive(Clone, Copy)]
enum Drawn {
    /// So many single bits.
    Bits(usize),
    /// A bit for each entry of the opening's tables.
    Tables,
    /// A bit for each one of the opening's garbled rows.
    Rows,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
}

/// A message, what it has one field of, the mask of the field, and how that is drawn.
type Row = (Stage, Each, Purpose, Drawn);

/// A gate that takes signs: each message's fields in the message's order.
const SIGNED: [Row; 14] = [
    (Stage::Deal, Each::Compared, TableShare, Drawn::Tables),
    (Stage::Deal, Each::Sign, ProductShare, Drawn::Bits(PRODUCTS)),
    (Stage::Deal, Each::Sign, BetaShare, Drawn::Half),
    (Stage::Deal, Each::Product, BetaProductShare, Drawn::Half),
    (Stage::Deal, Each::Pixel, WrapProductShare, Drawn::Word),
    (Stage::M1, Each::OpenedPixel, OpeningMask, Drawn::Half),
    (Stage::M1, Each::OpenedPatch, PatchMask, Drawn::Half),
    (
        Stage::M1,
        Each::Sign,
        ComparisonMaskServer,
        Drawn::Bits(OPENED_BITS),
    ),
    (
        Stage::M2,
        Each::Sign,
        ComparisonMaskClient,
        Drawn::Bits(OPENED_BITS),
    ),
    (Stage::M2, Each::Sign, SignMaskClient, Drawn::Bits(1)),
    (Stage::M3, Each::Sign, SignMaskServer, Drawn::Bits(1)),
    (Stage::M3, Each::Pixel, WrapBitServer, Drawn::Bits(1)),
    (Stage::M4, Each::Pixel, FreshMask, Drawn::Word),
    (Stage::M4, Each::Pixel, WrapBitClient, Drawn::Bits(1)),
];

/// The same in one round.
const SIGNED_AT_ONCE: [Row; 11] = [
    (Stage::Deal, Each::Sign, GarblePad, Drawn::Rows),
    (Stage::Deal, Each::Sign, BetaShare, Drawn::Word),
    (Stage::Deal, Each::Product, BetaProductShare, Drawn::Word),
    (Stage::Deal, Each::Product, BetaTopShare, Drawn::Word),
    (Stage::Deal, Each::Pixel, MaskWrapShare, Drawn::Word),
    (Stage::Deal, Each::Pixel, MaskTopShare, Drawn::Word),
    (Stage::M1, Each::OpenedPixel, OpeningMask, Drawn::Half),
    (Stage::M1, Each::OpenedPatch, PatchMask, Drawn::Half),
    (Stage::M1, Each::Sign, GarbleLabel, Drawn::Bits(KEY_PLANES)),
    (Stage::M2, Each::Sign, SignMaskClient, Drawn::Bits(1)),
    (Stage::M2, Each::Pixel, FreshMask, Drawn::Word),
];

/// A requantisation.
const REQUANTISED: [Row; 3] = [
    (Stage::Deal, Each::Pixel, RequantShare, Drawn::Half),
    (Stage::M1, Each::Pixel, RequantBit, Drawn::Bits(1)),
    (Stage::M2, Each::Pixel, FreshMask, Drawn::Half),
];

/// The fields of an opening's values in one message, in its order.
fn fields(group: &Group, stage: Stage, at: usize) -> Vec<(Purpose, Drawn)> {
    let table = match group.form {
        Form::Pass => &[],
        Form::Requant => &REQUANTISED[..],
        Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => match group.rounds {
            Rounds::Two => &SIGNED[..],
            Rounds::One => &SIGNED_AT_ONCE[..],
        },
    };
    let of = |each| {
        let rows = table.iter().filter(move |row| (row.0, row.1) == (stage, each));
        rows.map(|&(_, _, purpose, drawn)| (purpose, drawn))
    };
    let (pixels, signs) = (at == 0, group.signs_of(at).count());
    let mut fields: Vec<_> = of(if pixels {
        Each::OpenedPixel
    } else {
        Each::OpenedPatch
    })
    .collect();
    fields.extend(of(Each::Compared).filter(|_| signs > 0));
    (0..signs).for_each(|_| fields.extend(of(Each::Sign)));
    if pixels {
        (0..group.pixel_products()).for_each(|_| fields.extend(of(Each::Product)));
        fields.extend(of(Each::Pixel));
    }
    fields
}

/// One field of many values as it was received, and the place of its masks.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) step: u32,
    pub(super) stage: Stage,
    /// Of a gate, which of its groups.
    pub(super) group: Option<usize>,
    pub(super) purpose: Purpose,
    pub(super) place: Place,
    /// Bits of a value.
    pub(super) bits: u32,
    pub(super) values: Vec<u32>,
}

/// Where the masks of a column stand in their stream, in bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    start: u64,
    /// Of one value.
    pub(super) width: u32,
    /// How many columns are drawn together, block by block, and which of them this is.
    planes: usize,
    plane: usize,
}

impl Column {
    /// Whether its masks are those of states, which hide no field by themselves.
    pub(super) fn is_of_states(&self) -> bool {
        self.purpose == GarbleLabel && self.place.plane < LEVELS
    }
}

impl Place {
    /// Of words that are drawn from the beginning of the stream on, those from number `first` on.
    pub(super) fn of_words(first: usize) -> Self {
        Self {
            start: 32 * first as u64,
            width: 32,
            planes: 1,
            plane: 0,
        }
    }

    /// Where a bit of the mask of a value stands.
    pub(super) fn bit(&self, value: usize, bit: u32) -> u64 {
        let (block, within) = (value / BLOCK, value % BLOCK);
        let values = (block * self.planes + self.plane) * BLOCK + within;
        self.start + values as u64 * u64::from(self.width) + u64::from(bit)
    }
}

/// What a gate's messages show to their receivers.
pub(super) struct GateViews {
    step: u32,
    /// Of each stream, what has been drawn.
    drawn: BTreeMap<Purpose, u64>,
    pub(super) client: Vec<Column>,
    pub(super) server: Vec<Column>,
}

impl GateViews {
    pub(super) fn new(step: u32, groups: &[Group], exchange: &Exchange) -> Self {
        let mut views = Self {
            step,
            drawn: BTreeMap::new(),
            client: Vec::new(),
            server: Vec::new(),
        };
        let messages = [
            (Stage::Deal, &exchange.deal),
            (Stage::M1, &exchange.m1),
            (Stage::M2, &exchange.m2),
            (Stage::M3, &exchange.m3),
            (Stage::M4, &exchange.m4),
        ];
        let mut parts = messages.map(|(stage, payload)| (stage, &payload[..]));
        for (number, group) in groups.iter().enumerate() {
            for (stage, rest) in &mut parts {
                let segments = group.order().map(|at| group.segment(*stage, at));
                let (part, behind) = rest.split_at(segments.map(|s| s.bytes(s.count)).sum());
                *rest = behind;
                views.read(number, group, *stage, part);
            }
        }
        assert!(parts.iter().all(|(_, rest)| rest.is_empty()));
        views
    }

    /// Reads a group's part of a message; there must be nothing in it that the table does not have.
    fn read(&mut self, number: usize, group: &Group, stage: Stage, part: &[u8]) {
        let contents = read_sections(group, stage, part).into_iter();
        let mut received = contents.flat_map(|content| {
            let bits = content.bits();
            content.values.into_iter().map(move |values| (bits, values))
        });
        for at in group.order() {
            let opening = &group.openings[at];
            for (purpose, drawn) in fields(group, stage, at) {
                let (planes, width) = match drawn {
                    Drawn::Bits(planes) => (planes, 1),
                    Drawn::Tables => (table_planes(opening.ring), 1),
                    Drawn::Rows => (garbled_planes(opening.ring), 1),
                    Drawn::Half => (1, 16),
                    Drawn::Word => (1, 32),
                };
                let start = self.draw(purpose, blocks(opening.count()) * BLOCK * planes * width);
                for plane in 0..planes {
                    let (bits, values) = received.next().expect("the message has this field");
                    assert_eq!(values.len(), opening.count());
                    let width = width as u32;
                    let column = Column {
                        step: self.step,
                        stage,
                        group: Some(number),
                        purpose,
                        place: Place {
                            start,
                            width,
                            planes,
                            plane,
                        },
                        bits,
                        values,
                    };
                    match stage.link().to() {
                        Party::Client => self.client.push(column),
                        _ => self.server.push(column),
                    }
                }
            }
        }
        assert!(
            received.next().is_none(),
            "{stage:?} has more fields than the table"
        );
    }

    /// Where the next draw of so many bits begins.
    fn draw(&mut self, purpose: Purpose, bits: usize) -> u64 {
        let drawn = self.drawn.entry(purpose).or_default();
        let start = *drawn;
        *drawn += bits as u64;
        start
    }
}
