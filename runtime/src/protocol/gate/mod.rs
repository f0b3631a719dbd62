//! Gates: the non-linear steps, group by group.
//!
//! A gate takes a value z in units as two shares modulo 2^k: zs at the server, rs at client *and*
//! helper. They come from a truncation, or from an activation (x - a, a), or from a difference of
//! activations; the gate does not care. What comes out is an activation: masked anew modulo 2^32.
//!
//! - [`requant`]: the groups that take no sign
//! - [`two_rounds`], [`one_round`]: the groups that do; `signs`: what these two do alike
//!
//! Each message is one pass over the blocks of all groups, see [`block`](super::block).

pub mod one_round;
pub mod requant;
mod signs;
pub mod two_rounds;

use trefoil_ir::mpc::Stage;
use trefoil_ir::mpc::gate::{Form, Rounds};

pub use super::operand::{Exact, Levels, MaskSource};

use super::block::Places;
use super::layout::GateLayout;
use super::operand::Half;
use super::streams::StepStreams;
use crate::pool;
use crate::wire::bits::BitsError;

/// The helper: the message Deal.
pub fn helper_deal(
    layout: &GateLayout,
    source: &MaskSource<'_>,
    client: &mut StepStreams<'_>,
    server: &mut StepStreams<'_>,
) -> Vec<u8> {
    let mut message = pool::zeroed(layout.bytes(Stage::Deal));
    let parts = layout.parts_mut(Stage::Deal, &mut message);
    for (placed, mut parts) in layout.groups.iter().zip(parts) {
        match placed.group.form {
            Form::Pass => {}
            Form::Requant => requant::helper_deal(layout.isa, placed, source.rs, server, &mut parts),
            Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
                let deal = match placed.group.rounds {
                    Rounds::Two => two_rounds::helper::deal,
                    Rounds::One => one_round::helper::deal,
                };
                deal(layout.isa, placed, source, client, server, &mut parts);
            }
        }
    }
    message
}

/// The client and the helper: the mask of the gate's result.
pub fn result_mask(layout: &GateLayout, source: &MaskSource<'_>, client: &mut StepStreams<'_>) -> Vec<u32> {
    let mut masks = pool::zeroed(source.rs.len());
    for placed in &layout.groups {
        match placed.group.form {
            Form::Pass => pass(&placed.places, source.passed, &mut masks),
            Form::Requant => requant::result_mask(layout.isa, placed, source.rs, client, &mut masks),
            Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
                signs::result_mask(layout.isa, placed, client, &mut masks);
            }
        }
    }
    masks
}

/// Unwraps the result of work that reads no message, and so cannot find one malformed.
pub(in crate::protocol) fn infallible(result: Result<(), BitsError>) {
    result.expect("what a party makes itself is not malformed");
}

/// Copies a group's values from one layer to another.
fn pass(places: &Places, from: &[u32], to: &mut [u32]) {
    for (stretch, _) in places.stretches(0..places.count()) {
        to[stretch.clone()].copy_from_slice(&from[stretch]);
    }
}

/// The server's side of a gate, from message to message.
pub struct Server<'a> {
    layout: &'a GateLayout,
    levels: Levels<'a>,
    /// One for each group.
    states: Vec<ServerGroup>,
    /// Empty until it is taken in.
    m2: Vec<u8>,
}

/// What the server keeps of one group between two messages.
enum ServerGroup {
    Pass,
    Requant(requant::Server),
    TwoRounds(Box<two_rounds::server::Server>),
    OneRound(one_round::server::Server),
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        pool::recycle(std::mem::take(&mut self.m2));
    }
}

impl<'a> Server<'a> {
    /// M1. `zs` is the server's half of the operand.
    pub fn m1(
        layout: &'a GateLayout,
        zs: Half<'_>,
        exact: Exact<'_>,
        levels: Levels<'a>,
        streams: &mut StepStreams<'_>,
    ) -> (Self, Vec<u8>) {
        let isa = layout.isa;
        let mut message = pool::zeroed(layout.bytes(Stage::M1));
        let parts = layout.parts_mut(Stage::M1, &mut message);
        let mut states = Vec::with_capacity(layout.groups.len());
        for (placed, mut parts) in layout.groups.iter().zip(parts) {
            let parts = &mut parts[..];
            states.push(match placed.group.form {
                Form::Pass => ServerGroup::Pass,
                Form::Requant => ServerGroup::Requant(requant::Server::m1(isa, placed, zs, streams, parts)),
                Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
                    match placed.group.rounds {
                        Rounds::Two => ServerGroup::TwoRounds(Box::new(two_rounds::server::Server::m1(
                            isa, placed, zs, exact, levels, streams, parts,
                        ))),
                        Rounds::One => ServerGroup::OneRound(one_round::server::Server::m1(
                            isa, placed, zs, exact, levels, streams, parts,
                        )),
                    }
                }
            });
        }
        let server = Self {
            layout,
            levels,
            states,
            m2: Vec::new(),
        };
        (server, message)
    }

    /// Takes M2 in, which is read when M3 is made of it, or the result.
    pub fn take_m2(&mut self, m2: Vec<u8>) {
        self.m2 = m2;
    }

    /// M3. `zs` as in M1.
    ///
    /// # Errors
    /// If M2 is malformed.
    pub fn m3(&mut self, zs: Half<'_>, streams: &mut StepStreams<'_>) -> Result<Vec<u8>, BitsError> {
        let layout = self.layout;
        let m2 = layout.parts(Stage::M2, &self.m2)?;
        let mut message = pool::zeroed(layout.bytes(Stage::M3));
        let mut parts = layout.parts_mut(Stage::M3, &mut message);
        for (group, placed) in layout.groups.iter().enumerate() {
            if let ServerGroup::TwoRounds(state) = &mut self.states[group] {
                let given = two_rounds::server::Given {
                    zs,
                    m2: &m2[group],
                    levels: self.levels,
                };
                state.m3(layout.isa, placed, &given, streams, &mut parts[group])?;
            }
        }
        Ok(message)
    }

    /// With M4 (empty if no group takes signs in two rounds): the result minus its mask. `passed` is the operand
    /// minus its mask, for channels that pass unchanged.
    ///
    /// # Errors
    /// If M4 is malformed, or M2 is.
    pub fn finish(
        mut self,
        m4: &[u8],
        passed: &[u32],
        len: usize,
        streams: &mut StepStreams<'_>,
    ) -> Result<Vec<u32>, BitsError> {
        let layout = self.layout;
        let states = std::mem::take(&mut self.states);
        let m2 = layout.parts(Stage::M2, &self.m2)?;
        let m4 = layout.parts(Stage::M4, m4)?;
        let isa = layout.isa;
        let mut hat = pool::zeroed(len);
        for (group, state) in states.into_iter().enumerate() {
            let placed = &layout.groups[group];
            match state {
                ServerGroup::Pass => pass(&placed.places, passed, &mut hat),
                ServerGroup::Requant(state) => state.finish(isa, placed, &m2[group], streams, &mut hat)?,
                ServerGroup::TwoRounds(state) => state.finish(isa, placed, &m4[group], streams, &mut hat)?,
                ServerGroup::OneRound(state) => {
                    state.finish(isa, placed, &m2[group], self.levels, streams, &mut hat)?;
                }
            }
        }
        Ok(hat)
    }
}

/// The client's side of a gate, from message to message.
pub struct Client<'a> {
    layout: &'a GateLayout,
    levels: Levels<'a>,
    /// One for each group, if it takes signs in two rounds.
    states: Vec<Option<two_rounds::client::Client>>,
    m1: Vec<u8>,
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        pool::recycle(std::mem::take(&mut self.m1));
    }
}

impl<'a> Client<'a> {
    /// M2, the answer to M1. `rs` is the client's half of the operand, `deal` the helper's message.
    ///
    /// # Errors
    /// If a message is malformed.
    pub fn m2(
        layout: &'a GateLayout,
        rs: Half<'_>,
        deal: &[u8],
        m1: Vec<u8>,
        levels: Levels<'a>,
        streams: &mut StepStreams<'_>,
    ) -> Result<(Self, Vec<u8>), BitsError> {
        let isa = layout.isa;
        let deal = layout.parts(Stage::Deal, deal)?;
        let m1_parts = layout.parts(Stage::M1, &m1)?;
        let mut message = pool::zeroed(layout.bytes(Stage::M2));
        let mut parts = layout.parts_mut(Stage::M2, &mut message);
        let mut states = Vec::with_capacity(layout.groups.len());
        for (group, placed) in layout.groups.iter().enumerate() {
            let deal = &deal[group];
            let m1 = &m1_parts[group];
            let parts = &mut parts[group];
            states.push(match placed.group.form {
                Form::Pass => None,
                Form::Requant => {
                    requant::client_m2(isa, placed, rs, [&deal[0], &m1[0]], streams, parts)?;
                    None
                }
                Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
                    match placed.group.rounds {
                        Rounds::Two => Some(two_rounds::client::Client::m2(
                            isa,
                            placed,
                            [deal, m1],
                            levels,
                            streams,
                            parts,
                        )?),
                        Rounds::One => {
                            one_round::client::m2(isa, placed, (rs, [deal, m1]), levels, streams, parts)?;
                            None
                        }
                    }
                }
            });
        }
        let client = Self {
            layout,
            levels,
            states,
            m1,
        };
        Ok((client, message))
    }

    /// M4, the answer to M3. `rs` and `deal` as in M2.
    ///
    /// # Errors
    /// If a message is malformed.
    pub fn m4(
        mut self,
        rs: Half<'_>,
        deal: &[u8],
        m3: &[u8],
        streams: &mut StepStreams<'_>,
    ) -> Result<Vec<u8>, BitsError> {
        let layout = self.layout;
        let states = std::mem::take(&mut self.states);
        let deal = layout.parts(Stage::Deal, deal)?;
        let m1 = layout.parts(Stage::M1, &self.m1)?;
        let m3 = layout.parts(Stage::M3, m3)?;
        let mut message = pool::zeroed(layout.bytes(Stage::M4));
        let mut parts = layout.parts_mut(Stage::M4, &mut message);
        for (group, state) in states.into_iter().enumerate() {
            // The fresh masks of other groups were drawn for M2; all groups share one stream.
            if let Some(state) = state {
                let placed = &layout.groups[group];
                let received = two_rounds::client::Received {
                    rs,
                    deal: &deal[group],
                    m1: &m1[group],
                    m3: &m3[group],
                };
                state.m4(
                    layout.isa,
                    placed,
                    &received,
                    self.levels,
                    streams,
                    &mut parts[group],
                )?;
            }
        }
        Ok(message)
    }
}
