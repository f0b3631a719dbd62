//! One non-linear layer, step by step through all three parties. Every call of the protocol that
//! `gates` measures is here, in the order of `docs/PROTOCOL.md`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::gate::{NARROW, Rounds, WIDE, groups, in_rounds};
use trefoil_ir::mpc::op::Truncate;
use trefoil_ir::mpc::privacy::{Draws, Key};
use trefoil_ir::{Patch, Shape};
use trefoil_runtime::kernel::Isa;
use trefoil_runtime::prg::{Purpose, Seed, StreamKey};
use trefoil_runtime::protocol::gate::{Client, Exact, Levels, MaskSource, Server, helper_deal, result_mask};
use trefoil_runtime::protocol::layout;
use trefoil_runtime::protocol::operand::Half;
use trefoil_runtime::protocol::streams::StepStreams;
use trefoil_runtime::protocol::truncate;

use super::random;

/// A little more than a million values.
pub(crate) const SHAPE: Shape = Shape::new(64, 128, 128);

/// The step's number, which names its streams.
const STEP: u32 = 1;

/// What one party does at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its share of the accumulator, masked for the server.
    ClientShare,
    /// R, and its upper half for the client.
    HelperTruncate,
    /// Correlated randomness.
    HelperDeal,
    /// The mask of the result.
    HelperMask,
    /// The upper half of R, taken in.
    ClientTruncate,
    /// The mask of the result once more.
    ClientMask,
    /// D, and its upper half.
    ServerTruncate,
    /// Openings and comparisons begin.
    ServerM1,
    /// The answer to M1.
    ClientM2,
    /// M2 taken in, and the answer to it.
    ServerM3,
    /// The answer to M3.
    ClientM4,
    /// The result, with M4.
    ServerFinish,
}

impl Step {
    /// All of them, in the order in which they are run.
    pub(crate) const ALL: [Step; 12] = [
        Step::ClientShare,
        Step::HelperTruncate,
        Step::HelperDeal,
        Step::HelperMask,
        Step::ClientTruncate,
        Step::ClientMask,
        Step::ServerTruncate,
        Step::ServerM1,
        Step::ClientM2,
        Step::ServerM3,
        Step::ClientM4,
        Step::ServerFinish,
    ];

    /// Party and step, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::ClientShare => "client share",
            Step::HelperTruncate => "helper truncate",
            Step::HelperDeal => "helper deal",
            Step::HelperMask => "helper mask",
            Step::ClientTruncate => "client truncate",
            Step::ClientMask => "client mask",
            Step::ServerTruncate => "server truncate",
            Step::ServerM1 => "server M1",
            Step::ClientM2 => "client M2",
            Step::ServerM3 => "server M3",
            Step::ClientM4 => "client M4",
            Step::ServerFinish => "server finish",
        }
    }

    /// Whether it takes place before the image is known.
    pub(crate) fn is_offline(self) -> bool {
        matches!(
            self,
            Step::ClientShare
                | Step::HelperTruncate
                | Step::HelperDeal
                | Step::HelperMask
                | Step::ClientTruncate
                | Step::ClientMask
        )
    }
}

/// What each step of one run took; nothing where the layer lacks the step.
#[derive(Clone, Default)]
pub(crate) struct Times([Duration; Step::ALL.len()]);

impl Times {
    /// What one step took.
    pub(crate) fn of(&self, step: Step) -> Duration {
        self.0[step as usize]
    }

    /// What some steps took together.
    pub(crate) fn sum(&self, wanted: impl Fn(Step) -> bool) -> Duration {
        let steps = Step::ALL.into_iter().filter(|&step| wanted(step));
        steps.map(|step| self.of(step)).sum()
    }

    fn measure<T>(&mut self, step: Step, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = black_box(work());
        self.0[step as usize] += start.elapsed();
        result
    }
}

/// A layer, and the shares of a random accumulator that it is run on.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    truncation: Truncate,
    isa: Isa,
    gate: layout::GateLayout,
    levels: Vec<i32>,
    /// Of server, client and helper.
    shares: [Vec<u32>; 3],
    keys: Keys,
    next: u32,
}

/// The keys as each party holds them.
struct Keys {
    client: StreamKey,
    server: StreamKey,
    helper_client: StreamKey,
    helper_server: StreamKey,
}

impl Keys {
    fn new() -> Self {
        let key = |byte| StreamKey::new(&Seed::from_bytes([byte; Seed::LEN]));
        Self {
            client: key(1),
            server: key(2),
            helper_client: key(1),
            helper_server: key(2),
        }
    }
}

impl Layer {
    /// The layers that networks are made of.
    pub(crate) fn all() -> [Layer; 7] {
        let block = Patch::Block { h: 2, w: 2 };
        [
            Layer::new("relu", Patch::PIXEL, None, Rounds::Two),
            Layer::new("relu in one round", Patch::PIXEL, None, Rounds::One),
            Layer::new("block-relu 2x2", block, None, Rounds::Two),
            Layer::new("block-relu 2x2 in one round", block, None, Rounds::One),
            Layer::new("clip", Patch::PIXEL, Some(Patch::PIXEL), Rounds::Two),
            Layer::new("clip in one round", Patch::PIXEL, Some(Patch::PIXEL), Rounds::One),
            Layer::new("requant", Patch::Identity, None, Rounds::Two),
        ]
    }

    fn new(name: &'static str, lower: Patch, upper: Option<Patch>, rounds: Rounds) -> Self {
        let of_all = |patch: Patch| vec![patch; SHAPE.c];
        let upper = upper.map(of_all);
        let groups = in_rounds(rounds, groups(&of_all(lower), upper.as_ref(), SHAPE, false));
        let keep = if groups[0].ring == NARROW { NARROW } else { WIDE };
        let isa = Isa::detect();
        let [client, helper] = [1, 2].map(|seed| random::vector(SHAPE.len(), seed));
        // Values of at most 2^26, such that sums over patches stay in range, too.
        let values = random::words(3).map(|word| (word as i32 >> 5) as u32);
        let others = client.iter().zip(&helper);
        let server = values
            .zip(others)
            .map(|(z, (c, h))| z.wrapping_sub(*c).wrapping_sub(*h));
        let server = server.collect();
        Self {
            name,
            truncation: Truncate {
                keep: vec![keep as u8; SHAPE.c],
            },
            levels: vec![600; if upper.is_some() { SHAPE.c } else { 0 }],
            isa,
            gate: layout::GateLayout::new(isa, groups),
            shares: [server, client, helper],
            keys: Keys::new(),
            next: 0,
        }
    }

    /// Runs the layer once, for the next inference.
    pub(crate) fn run(&mut self) -> Times {
        let (inference, len) = (self.next, SHAPE.len());
        self.next += 1;
        // Truncation and gate as one step.
        let truncated = Draws::of_truncation(len);
        let streams = |stream_key, key| {
            let draws = truncated.of_key(key).chain(self.gate.draws.of_key(key));
            StepStreams::new(stream_key, inference, STEP, draws)
        };
        let mut c = streams(&self.keys.client, Key::ClientHelper);
        let mut s = streams(&self.keys.server, Key::ServerHelper);
        let mut hc = streams(&self.keys.helper_client, Key::ClientHelper);
        let mut hs = streams(&self.keys.helper_server, Key::ServerHelper);
        let (truncation, gate, isa) = (&self.truncation, &self.gate, self.isa);
        let levels = Levels {
            pixels: &self.levels,
            sums: &[],
        };
        let [server_share, client_share, helper_share] = self.shares.clone();
        let mut times = Times::default();

        // Offline.
        let masked = times.measure(Step::ClientShare, || {
            truncate::client_send(isa, &client_share, &mut c)
        });
        let (r, upper) = times.measure(Step::HelperTruncate, || {
            truncate::helper(isa, truncation, helper_share, &mut hc, &mut hs)
        });
        let source = |rs| MaskSource {
            rs,
            exact: Exact {
                pixels: &r,
                sums: &[],
            },
            passed: &[],
        };
        let deal = times.measure(Step::HelperDeal, || {
            helper_deal(gate, &source(Half::R(&r)), &mut hc, &mut hs)
        });
        let mask = times.measure(Step::HelperMask, || {
            result_mask(gate, &source(Half::R(&r)), &mut hc)
        });
        let rs = times.measure(Step::ClientTruncate, || {
            truncate::client_receive(isa, truncation, &upper, len)
        });
        let rs = rs.expect("the helper's message is sound");
        let same = times.measure(Step::ClientMask, || {
            result_mask(gate, &source(Half::Top(&rs)), &mut c)
        });
        assert!(mask == same, "client and helper draw the same mask");
        c.replay(Purpose::FreshMask);

        // Online.
        let d = times.measure(Step::ServerTruncate, || {
            truncate::server(isa, server_share, &masked, &mut s).expect("the client's message is sound")
        });
        let (zs, rs) = (Half::D(&d), Half::Top(&rs));
        let exact = Exact {
            pixels: &d,
            sums: &[],
        };
        let (mut server, m1) = times.measure(Step::ServerM1, || Server::m1(gate, zs, exact, levels, &mut s));
        let (client, m2) = times.measure(Step::ClientM2, || {
            Client::m2(gate, rs, &deal, m1, levels, &mut c).expect("M1 is sound")
        });
        let m3 = times.measure(Step::ServerM3, || {
            server.take_m2(m2);
            server.m3(zs, &mut s).expect("M2 is sound")
        });
        let m4 = times.measure(Step::ClientM4, || {
            client.m4(rs, &deal, &m3, &mut c).expect("M3 is sound")
        });
        times.measure(Step::ServerFinish, || {
            server.finish(&m4, &d, len, &mut s).expect("M4 is sound")
        });
        times
    }

    /// Whether the layer has this step at all: without signs nobody answers M2.
    pub(crate) fn has(&self, step: Step) -> bool {
        step != Step::ClientM4
            || self
                .gate
                .groups
                .iter()
                .any(|placed| placed.group.form.has_signs())
    }
}
