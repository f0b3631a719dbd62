//! The three parties of one step in one place, with everything that they send on the table.

use std::collections::BTreeMap;

use trefoil_ir::mpc::gate::{BLOCK, Field, Group};
use trefoil_ir::mpc::op::Truncate;
use trefoil_ir::mpc::privacy::{Draw, Draws, Key, Unit};
use trefoil_ir::mpc::{Party, Section, Stage};

use crate::kernel::Isa;
use crate::prg::{Purpose, Seed, Stream, StreamKey, Tap};
use crate::protocol::block::{Bits, BlockReader, Masks, blocks, values_in};
use crate::protocol::gate::{Client, Exact, Levels, MaskSource, Server, helper_deal, result_mask};
use crate::protocol::layout::GateLayout;
use crate::protocol::operand::Half;
use crate::protocol::section::to_u32s;
use crate::protocol::streams::StepStreams;
use crate::protocol::truncate;

/// The keys of one session: one object a party, as each keeps its own ledger.
pub(super) struct Keys {
    pub client: StreamKey,
    pub server: StreamKey,
    pub helper_ch: StreamKey,
    pub helper_sh: StreamKey,
    session: u32,
}

impl Keys {
    pub(super) fn new(session: u32) -> Self {
        Self {
            client: key(Party::Client, session),
            server: key(Party::Server, session),
            helper_ch: key(Party::Client, session),
            helper_sh: key(Party::Server, session),
            session,
        }
    }

    /// The same, but that one bit is turned round that `party` and the helper draw.
    pub(super) fn tapped(session: u32, party: Party, tap: Tap) -> Self {
        let mut keys = Self::new(session);
        let tapped = || StreamKey::tapped(&seed(party, session), tap);
        match party {
            Party::Client => (keys.client, keys.helper_ch) = (tapped(), tapped()),
            Party::Server => (keys.server, keys.helper_sh) = (tapped(), tapped()),
            Party::Helper => panic!("the helper shares no key with itself"),
        }
        keys
    }

    /// The streams of a step that a party shares with the helper, as an attacker who is that party
    /// reads them: all of them, and as often as it likes.
    pub(super) fn spy<T>(&self, party: Party, step: u32, read: impl FnOnce(&mut Spy<'_>) -> T) -> T {
        let key = key(party, self.session);
        read(&mut Spy {
            key: &key,
            name: [self.session, step],
            open: BTreeMap::new(),
        })
    }

    pub(super) fn streams(&self, step: u32, draws: &Draws) -> [StepStreams<'_>; 4] {
        let keys = [
            (&self.client, Key::ClientHelper),
            (&self.server, Key::ServerHelper),
            (&self.helper_ch, Key::ClientHelper),
            (&self.helper_sh, Key::ServerHelper),
        ];
        keys.map(|(stream_key, key)| StepStreams::new(stream_key, self.session, step, draws.of_key(key)))
    }
}

/// A party that reads its streams as it likes, of no matter what was declared.
pub(super) struct Spy<'a> {
    key: &'a StreamKey,
    name: [u32; 2],
    open: BTreeMap<Purpose, Stream>,
}

impl Spy<'_> {
    fn stream(&mut self, purpose: Purpose) -> &mut Stream {
        let [session, step] = self.name;
        let open = self.open.entry(purpose);
        open.or_insert_with(|| self.key.stream(session, step, purpose))
    }

    fn masks(&mut self, purpose: Purpose, count: usize, bytes: usize) -> Masks {
        let all = blocks(count) * bytes;
        Masks::new(self.stream(purpose).region(all as u64), bytes)
    }

    pub(super) fn u32s(&mut self, purpose: Purpose, count: usize) -> Vec<u32> {
        let mut values = vec![0; count];
        self.stream(purpose).fill(&mut values);
        values
    }

    pub(super) fn planes(&mut self, purpose: Purpose, planes: usize, count: usize) -> Masks {
        self.masks(purpose, count, Masks::plane_bytes(planes))
    }

    pub(super) fn halves(&mut self, purpose: Purpose, count: usize) -> Masks {
        self.masks(purpose, count, Masks::HALVES)
    }

    pub(super) fn words(&mut self, purpose: Purpose, count: usize) -> Masks {
        self.masks(purpose, count, Masks::WORDS)
    }
}

/// The key that this party shares with the helper.
fn key(party: Party, session: u32) -> StreamKey {
    StreamKey::new(&seed(party, session))
}

/// Its seed.
pub(super) fn seed(party: Party, session: u32) -> Seed {
    let mut seed = [if party == Party::Client { 0xc } else { 0x5 }; Seed::LEN];
    seed[..4].copy_from_slice(&session.to_le_bytes());
    Seed::from_bytes(seed)
}

/// Shares of an accumulator.
pub(super) struct Shares {
    pub s: Vec<u32>,
    pub c: Vec<u32>,
    pub h: Vec<u32>,
}

/// What the parties hold before a gate, and what the truncation told them.
pub(super) struct Halves {
    pub zs: Vec<u16>,
    pub d: Vec<u32>,
    pub rs: Vec<u16>,
    pub r: Vec<u32>,
    /// The message MaskedShare, if there was one.
    pub sent: Vec<u32>,
    /// Patch sums that were computed apart.
    pub sums: Sums,
}

/// What the parties hold of truncated patch sums, and the message MaskedShare.
#[derive(Default)]
pub(super) struct Sums {
    pub d: Vec<u32>,
    pub r: Vec<u32>,
    pub sent: Vec<u32>,
}

impl Halves {
    /// Of an activation, or of a difference of two.
    pub(super) fn of_activation(hat: Vec<u32>, mask: Vec<u32>) -> Self {
        let low = |values: &[u32]| values.iter().map(|&v| v as u16).collect();
        Self {
            zs: low(&hat),
            rs: low(&mask),
            d: hat,
            r: mask,
            sent: Vec::new(),
            sums: Sums::default(),
        }
    }
}

/// Truncates an accumulator of one step; every channel keeps `keep` bits.
pub(super) fn truncation(keys: &Keys, step: u32, shares: Shares, channels: usize, keep: u8) -> Halves {
    truncation_of_channels(keys, step, shares, vec![keep; channels])
}

/// The same, where each channel keeps so many bits.
pub(super) fn truncation_of_channels(keys: &Keys, step: u32, shares: Shares, keep: Vec<u8>) -> Halves {
    let op = Truncate { keep };
    let (isa, count) = (Isa::detect(), shares.s.len());
    let [mut client, mut server, mut ch, mut sh] = keys.streams(step, &Draws::of_truncation(count));
    let (r, mask) = truncate::helper(isa, &op, shares.h, &mut ch, &mut sh);
    let sent = truncate::client_send(isa, &shares.c, &mut client);
    let rs = truncate::client_receive(isa, &op, &mask, count).unwrap();
    let d = truncate::server(isa, shares.s, &sent, &mut server).unwrap();
    let sent = to_u32s(&sent, count).unwrap();
    Halves {
        zs: Half::D(&d).to_vec(),
        d,
        rs,
        r,
        sent,
        sums: Sums::default(),
    }
}

/// Truncates patch sums that were computed apart.
pub(super) fn sums_truncation(keys: &Keys, step: u32, shares: Shares) -> Sums {
    let (isa, count) = (Isa::detect(), shares.s.len());
    let [mut client, mut server, mut ch, mut sh] = keys.streams(step, &Draws::of_truncation(count));
    let r = truncate::helper_sums(isa, shares.h, &mut ch, &mut sh);
    let sent = truncate::client_send(isa, &shares.c, &mut client);
    let d = truncate::server(isa, shares.s, &sent, &mut server).unwrap();
    let sent = to_u32s(&sent, count).unwrap();
    Sums { d, r, sent }
}

/// What passed in one gate, and what came of it.
pub(super) struct Exchange {
    pub deal: Vec<u8>,
    pub m1: Vec<u8>,
    pub m2: Vec<u8>,
    pub m3: Vec<u8>,
    pub m4: Vec<u8>,
    /// At the server.
    pub hat: Vec<u32>,
    /// At client and helper.
    pub mask: Vec<u32>,
}

/// Runs one gate.
pub(super) fn run_gate(
    keys: &Keys,
    step: u32,
    groups: &[Group],
    halves: &Halves,
    levels: &[i32],
) -> Exchange {
    // The level of a sum over four pixels is that of a pixel, four times.
    let of_sums: Vec<i32> = levels.iter().map(|level| level << 16).collect();
    let levels = Levels {
        pixels: levels,
        sums: &of_sums,
    };
    let layer = &GateLayout::new(Isa::detect(), groups.to_vec());
    let [mut client, mut server, mut ch, mut sh] = keys.streams(step, &layer.draws);
    let source = MaskSource {
        rs: Half::Top(&halves.rs),
        exact: Exact {
            pixels: &halves.r,
            sums: &halves.sums.r,
        },
        passed: &halves.r,
    };
    let deal = helper_deal(layer, &source, &mut ch, &mut sh);
    let mask = result_mask(layer, &source, &mut client);
    client.replay(Purpose::FreshMask);
    let exact = Exact {
        pixels: &halves.d,
        sums: &halves.sums.d,
    };
    let (zs, rs) = (Half::Top(&halves.zs), Half::Top(&halves.rs));
    let (mut at_server, m1) = Server::m1(layer, zs, exact, levels, &mut server);
    let (at_client, m2) = Client::m2(layer, rs, &deal, m1.clone(), levels, &mut client).unwrap();
    at_server.take_m2(m2.clone());
    let m3 = at_server.m3(zs, &mut server).unwrap();
    let m4 = at_client.m4(rs, &deal, &m3, &mut client).unwrap();
    let count = halves.zs.len();
    let hat = at_server.finish(&m4, &halves.d, count, &mut server).unwrap();
    Exchange {
        deal,
        m1,
        m2,
        m3,
        m4,
        hat,
        mask,
    }
}

/// The values of each section of a group's message: of numbers one vector, of bits one each plane.
/// They stand in blocks, opening after opening.
pub(super) fn read_sections(group: &Group, stage: Stage, payload: &[u8]) -> Vec<Content> {
    let mut all = Vec::new();
    let mut rest = payload;
    for opening in group.order() {
        let segment = group.segment(stage, opening);
        let mut sections: Vec<Content> = segment.fields.iter().map(|&field| Content::of(field)).collect();
        for block in 0..blocks(segment.count) {
            let count = values_in(block, segment.count);
            let (bytes, behind) = rest.split_at(segment.bytes(count));
            rest = behind;
            let mut reader = BlockReader::new(Isa::detect(), bytes, count);
            sections
                .iter_mut()
                .for_each(|section| section.read(&mut reader, count));
        }
        all.extend(sections);
    }
    assert!(rest.is_empty());
    all
}

/// What a message has in one field of all values.
pub(super) struct Content {
    field: Field,
    pub values: Vec<Vec<u32>>,
}

impl Content {
    fn of(field: Field) -> Self {
        let vectors = match field {
            Field::Number(_) => 1,
            Field::Planes(planes) => planes,
        };
        Self {
            field,
            values: vec![Vec::new(); vectors],
        }
    }

    pub(super) fn bits(&self) -> u32 {
        match self.field {
            Field::Number(bits) => bits,
            Field::Planes(_) => 1,
        }
    }

    fn read(&mut self, reader: &mut BlockReader<'_>, count: usize) {
        match self.field {
            Field::Number(bits @ ..=16) => {
                let mut values = [0; BLOCK];
                reader.halves(bits, &mut values).unwrap();
                self.values[0].extend(values[..count].iter().map(|&v| u32::from(v)));
            }
            Field::Number(bits) => {
                let mut values = [0; BLOCK];
                reader.words(bits, &mut values).unwrap();
                self.values[0].extend_from_slice(&values[..count]);
            }
            Field::Planes(_) => {
                for values in &mut self.values {
                    values.extend(bits_of(&reader.plane().unwrap(), count));
                }
            }
        }
    }
}

fn bits_of(plane: &Bits, count: usize) -> impl Iterator<Item = u32> + '_ {
    (0..count).map(|i| (plane[i / 64] >> (i % 64) & 1) as u32)
}

/// What a party draws from the streams that it shares with the helper in a gate of one group, in
/// the order in which it does.
pub(super) fn own_streams(party: Party, group: &Group) -> Vec<(Purpose, Section)> {
    let key = match party {
        Party::Client => Key::ClientHelper,
        Party::Server | Party::Helper => Key::ServerHelper,
    };
    let draws = Draws::of_gate(std::slice::from_ref(group));
    let section = |draw: &Draw| match draw.unit {
        Unit::Planes(planes) => Section::planes(planes, draw.count),
        Unit::Half => Section::fields(draw.count, 16),
        Unit::Word => Section::fields(draw.count, 32),
    };
    let own = draws.of_key(key);
    own.map(|draw| (draw.id.purpose, section(draw))).collect()
}

/// Draws a section of a stream as the protocol does.
pub(super) fn draw(streams: &mut Spy<'_>, purpose: Purpose, section: &Section) -> Vec<Vec<u32>> {
    let Section { planes, count, bits } = *section;
    let each_block = |read: &mut dyn FnMut(usize, usize)| {
        (0..blocks(count)).for_each(|block| read(block, values_in(block, count)));
    };
    let mut drawn = vec![Vec::new(); planes];
    match bits {
        1 => {
            let masks = streams.planes(purpose, planes, count);
            each_block(&mut |block, len| {
                let mut of_block = vec![Bits::default(); planes];
                masks.planes(block, &mut of_block);
                for (drawn, plane) in drawn.iter_mut().zip(&of_block) {
                    drawn.extend(bits_of(plane, len));
                }
            });
        }
        2..=16 => {
            let (masks, low) = (streams.halves(purpose, count), u32::from(u16::MAX >> (16 - bits)));
            each_block(&mut |block, len| {
                let values = masks.halves(block);
                drawn[0].extend(values[..len].iter().map(|&v| u32::from(v) & low));
            });
        }
        _ => {
            let masks: Masks = streams.words(purpose, count);
            each_block(&mut |block, len| drawn[0].extend_from_slice(&masks.words(block)[..len]));
        }
    }
    drawn
}
