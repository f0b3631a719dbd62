//! The three parties of one step in one place, with everything that they send on the table.

use trefoil_ir::mpc::gate::{Form, Group, OPENED_BITS, PRODUCTS, table_planes};
use trefoil_ir::mpc::op::Truncate;
use trefoil_ir::mpc::{Party, Section};

use crate::prg::{Purpose, Seed, StreamKey};
use crate::protocol::gate::{Client, Exact, Levels, MaskSource, Server, helper_deal, result_mask};
use crate::protocol::section::Reader;
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

    /// The streams of a step that a party shares with the helper, as an attacker who is that party
    /// reads them: all of them, and as often as it likes.
    pub(super) fn spy<T>(&self, party: Party, step: u32, read: impl FnOnce(&mut StepStreams<'_>) -> T) -> T {
        let key = key(party, self.session);
        read(&mut StepStreams::new(&key, self.session, step))
    }

    fn streams(&self, step: u32) -> [StepStreams<'_>; 4] {
        [&self.client, &self.server, &self.helper_ch, &self.helper_sh]
            .map(|key| StepStreams::new(key, self.session, step))
    }
}

/// The key that this party shares with the helper.
fn key(party: Party, session: u32) -> StreamKey {
    let mut seed = [if party == Party::Client { 0xc } else { 0x5 }; Seed::LEN];
    seed[..4].copy_from_slice(&session.to_le_bytes());
    StreamKey::new(&Seed::from_bytes(seed))
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
    let op = Truncate {
        keep: vec![keep; channels],
    };
    let count = shares.s.len();
    let [mut client, mut server, mut ch, mut sh] = keys.streams(step);
    let (r, mask) = truncate::helper(&op, shares.h, &mut ch, &mut sh);
    let sent = truncate::client_send(shares.c, &mut client);
    let rs = truncate::client_receive(&op, &mask, count).unwrap();
    let d = truncate::server(shares.s, &sent, &mut server).unwrap();
    let sent = Reader::new(&sent).u32s(count, 32).unwrap();
    Halves {
        zs: truncate::server_top(&d),
        d,
        rs,
        r,
        sent,
        sums: Sums::default(),
    }
}

/// Truncates patch sums that were computed apart.
pub(super) fn sums_truncation(keys: &Keys, step: u32, shares: Shares) -> Sums {
    let count = shares.s.len();
    let [mut client, mut server, mut ch, mut sh] = keys.streams(step);
    let r = truncate::helper_sums(shares.h, &mut ch, &mut sh);
    let sent = truncate::client_send(shares.c, &mut client);
    let d = truncate::server(shares.s, &sent, &mut server).unwrap();
    let sent = Reader::new(&sent).u32s(count, 32).unwrap();
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
    let [mut client, mut server, mut ch, mut sh] = keys.streams(step);
    let source = MaskSource {
        rs: &halves.rs,
        exact: Exact {
            pixels: &halves.r,
            sums: &halves.sums.r,
        },
        passed: &halves.r,
    };
    let deal = helper_deal(groups, &source, &mut ch, &mut sh);
    let mask = result_mask(groups, &source, &mut client);
    client.replay(Purpose::FreshMask);
    let exact = Exact {
        pixels: &halves.d,
        sums: &halves.sums.d,
    };
    let (mut at_server, m1) = Server::m1(groups, &halves.zs, exact, levels, &mut server);
    let (at_client, m2) = Client::m2(groups, &halves.rs, &deal, &m1, levels, &mut client).unwrap();
    at_server.take_m2(&m2).unwrap();
    let m3 = at_server.m3(&mut server);
    let m4 = at_client.m4(&m3, &mut client).unwrap();
    let hat = at_server.finish(&m4, &halves.d, halves.zs.len()).unwrap();
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

/// The values of one section; of several planes, plane by plane.
pub(super) fn read_section(reader: &mut Reader<'_>, section: &Section) -> Vec<Vec<u32>> {
    if section.bits > 1 {
        return vec![reader.u32s(section.count, section.bits).unwrap()];
    }
    let planes = reader.planes(section.planes, section.count).unwrap();
    planes
        .iter()
        .map(|p| (0..p.len()).map(|i| u32::from(p.get(i))).collect())
        .collect()
}

/// What a party draws from the streams that it shares with the helper in a gate of one group, in
/// the order in which it does.
pub(super) fn own_streams(party: Party, group: &Group) -> Vec<(Purpose, Section)> {
    use Purpose as P;
    let pixels = group.pixels();
    let plane = |purpose, count| (purpose, Section::planes(1, count));
    let fields = |purpose, count, bits| (purpose, Section::fields(count, bits));
    match (group.form, party) {
        (Form::Pass, _) => return Vec::new(),
        (Form::Requant, Party::Client) => return vec![fields(P::FreshMask, pixels, 16)],
        (Form::Requant, _) => return vec![plane(P::RequantBit, pixels), fields(P::RequantShare, pixels, 16)],
        (Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..), _) => {}
    }
    let mut own = Vec::new();
    if party == Party::Server {
        for (at, opening) in group.openings.iter().enumerate() {
            own.push(fields(
                if at == 0 { P::OpeningMask } else { P::PatchMask },
                opening.count,
                opening.ring,
            ));
            if group.signs.iter().any(|sign| sign.opening == at) {
                own.push((
                    P::TableShare,
                    Section::planes(table_planes(opening.ring), opening.count),
                ));
            }
        }
    }
    for (at, sign) in group.signs.iter().enumerate() {
        let count = group.openings[sign.opening].count;
        if party == Party::Client {
            own.push((P::ComparisonMaskClient, Section::planes(OPENED_BITS, count)));
            own.push(plane(P::SignMaskClient, count));
            continue;
        }
        own.push((P::ComparisonMaskServer, Section::planes(OPENED_BITS, count)));
        own.push((P::ProductShare, Section::planes(PRODUCTS, count)));
        own.push(plane(P::SignMaskServer, count));
        own.push(fields(P::BetaShare, count, group.ring));
        if at < group.pixel_products() {
            own.push(fields(P::BetaProductShare, pixels, group.ring));
        }
    }
    if party == Party::Client {
        own.extend([plane(P::WrapBitClient, pixels), fields(P::FreshMask, pixels, 32)]);
    } else {
        own.extend([
            plane(P::WrapBitServer, pixels),
            fields(P::WrapProductShare, pixels, 32),
        ]);
    }
    own
}

/// Draws a section of a stream as the protocol does.
pub(super) fn draw(streams: &mut StepStreams<'_>, purpose: Purpose, section: &Section) -> Vec<Vec<u32>> {
    let Section { planes, count, bits } = *section;
    match bits {
        1 => {
            let planes = streams.planes(purpose, planes, count);
            planes
                .iter()
                .map(|p| (0..count).map(|i| u32::from(p.get(i))).collect())
                .collect()
        }
        2..=16 => vec![
            streams
                .u16s(purpose, count, bits)
                .into_iter()
                .map(u32::from)
                .collect(),
        ],
        _ => vec![streams.u32s(purpose, count)],
    }
}
