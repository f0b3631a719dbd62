//! Gates: the non-linear steps, group by group.
//!
//! A gate takes a value z in units as two shares modulo 2^k: zs at the server, rs at client *and*
//! helper. They come from a truncation, or from an activation (x - a, a), or from a difference of
//! activations; the gate does not care. What comes out is an activation: masked anew modulo 2^32.
//!
//! - [`requant`]: the groups that take no sign
//! - [`signed`]: the groups that do

pub mod requant;
pub mod signed;

use std::borrow::Cow;

use trefoil_ir::mpc::gate::{Form, Group};

use super::layout;
use super::section::{Reader, Writer};
use super::streams::StepStreams;
use crate::wire::bits::BitsError;

/// What patch sums are taken of: D at the server, R at the helper; the client has neither, and needs
/// neither. Empty where the gate takes none.
#[derive(Clone, Copy, Default)]
pub struct Exact<'a> {
    /// Of the layer's pixels, in its order.
    pub pixels: &'a [u32],
    /// Of the sums that were computed apart.
    pub sums: &'a [u32],
}

/// The upper limits of a clip, per channel; empty for any other gate.
#[derive(Clone, Copy, Default)]
pub struct Levels<'a> {
    /// In units.
    pub pixels: &'a [i32],
    /// In 2^-16 of the units of the sums that were computed apart.
    pub sums: &'a [i32],
}

/// The helper's and client's half of a gate's operand, in the layer's order.
pub struct MaskSource<'a> {
    /// rs, modulo 2^16.
    pub rs: &'a [u16],
    /// R, at the helper.
    pub exact: Exact<'a>,
    /// The operand's mask, for channels that pass unchanged; empty for a truncated operand.
    pub passed: &'a [u32],
}

/// The helper: the message Deal.
pub fn helper_deal(
    groups: &[Group],
    source: &MaskSource<'_>,
    client: &mut StepStreams<'_>,
    server: &mut StepStreams<'_>,
) -> Vec<u8> {
    let mut message = Writer::new();
    for group in groups {
        let rs = layout::gather(group, source.rs);
        match group.form {
            Form::Pass => {}
            Form::Requant => requant::helper_deal(&rs, server, &mut message),
            Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
                signed::helper_deal(group, &rs, source.exact, client, server, &mut message);
            }
        }
    }
    message.finish()
}

/// Whether every requantised group comes before every group with signs. All groups read one stream
/// of fresh masks: the client in M2 for the former and in M4 for the latter, the helper (and the
/// client, where it replays the stream) in one go, in the groups' order.
fn requants_precede(groups: &[Group]) -> bool {
    groups.is_sorted_by_key(|group| !matches!(group.form, Form::Pass | Form::Requant))
}

/// The client and the helper: the mask of the gate's result.
pub fn result_mask(groups: &[Group], source: &MaskSource<'_>, client: &mut StepStreams<'_>) -> Vec<u32> {
    debug_assert!(requants_precede(groups));
    let mut masks = vec![0; source.rs.len()];
    for group in groups {
        let mask: Cow<'_, [u32]> = match group.form {
            Form::Pass => layout::gather(group, source.passed),
            Form::Requant => requant::result_mask(&layout::gather(group, source.rs), client).into(),
            Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
                signed::result_mask(group, client).into()
            }
        };
        layout::scatter(group, &mask, &mut masks);
    }
    masks
}

enum ServerGroup {
    Pass,
    Requant(requant::Server),
    Signed(Box<signed::Server>),
}

/// The server's side of a gate, from message to message.
pub struct Server<'a> {
    groups: &'a [Group],
    states: Vec<ServerGroup>,
}

impl<'a> Server<'a> {
    /// M1. `zs` is the server's half of the operand modulo 2^16.
    pub fn m1(
        groups: &'a [Group],
        zs: &[u16],
        exact: Exact<'_>,
        levels: Levels<'_>,
        streams: &mut StepStreams<'_>,
    ) -> (Self, Vec<u8>) {
        let mut message = Writer::new();
        let state = |group: &Group| {
            let part = layout::gather(group, zs);
            match group.form {
                Form::Pass => ServerGroup::Pass,
                Form::Requant => ServerGroup::Requant(requant::Server::m1(&part, streams, &mut message)),
                Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
                    ServerGroup::Signed(Box::new(signed::Server::m1(
                        group,
                        &part,
                        exact,
                        levels,
                        streams,
                        &mut message,
                    )))
                }
            }
        };
        let states = groups.iter().map(state).collect();
        (Self { groups, states }, message.finish())
    }

    /// Takes M2 in.
    ///
    /// # Errors
    /// If the message is malformed.
    pub fn take_m2(&mut self, m2: &[u8]) -> Result<(), BitsError> {
        let mut reader = Reader::new(m2);
        for (group, state) in self.groups.iter().zip(&mut self.states) {
            match state {
                ServerGroup::Pass => {}
                ServerGroup::Requant(requant) => requant.take_m2(&mut reader)?,
                ServerGroup::Signed(signed) => signed.take_m2(group, &mut reader)?,
            }
        }
        reader.finish()
    }

    /// M3.
    pub fn m3(&mut self, streams: &mut StepStreams<'_>) -> Vec<u8> {
        let mut message = Writer::new();
        for (group, state) in self.groups.iter().zip(&mut self.states) {
            if let ServerGroup::Signed(signed) = state {
                signed.m3(group, streams, &mut message);
            }
        }
        message.finish()
    }

    /// With M4 (empty if no group takes a sign): the result minus its mask. `passed` is the operand
    /// minus its mask, for channels that pass unchanged.
    ///
    /// # Errors
    /// If the message is malformed.
    pub fn finish(self, m4: &[u8], passed: &[u32], len: usize) -> Result<Vec<u32>, BitsError> {
        let mut reader = Reader::new(m4);
        let mut hat = vec![0; len];
        for (group, state) in self.groups.iter().zip(self.states) {
            let part: Cow<'_, [u32]> = match state {
                ServerGroup::Pass => layout::gather(group, passed),
                ServerGroup::Requant(requant) => requant.finish().into(),
                ServerGroup::Signed(signed) => signed.finish(group, &mut reader)?.into(),
            };
            layout::scatter(group, &part, &mut hat);
        }
        reader.finish()?;
        Ok(hat)
    }
}

enum ClientGroup {
    Pass,
    Requant,
    Signed(Box<signed::Client>),
}

/// The client's side of a gate, from message to message.
pub struct Client<'a> {
    groups: &'a [Group],
    states: Vec<ClientGroup>,
}

impl<'a> Client<'a> {
    /// M2, the answer to M1. `rs` is the client's half of the operand, `deal` the helper's message.
    ///
    /// # Errors
    /// If a message is malformed.
    pub fn m2(
        groups: &'a [Group],
        rs: &[u16],
        deal: &[u8],
        m1: &[u8],
        levels: Levels<'_>,
        streams: &mut StepStreams<'_>,
    ) -> Result<(Self, Vec<u8>), BitsError> {
        debug_assert!(requants_precede(groups));
        let (mut deal, mut m1, mut message) = (Reader::new(deal), Reader::new(m1), Writer::new());
        let mut states = Vec::with_capacity(groups.len());
        for group in groups {
            let part = layout::gather(group, rs);
            states.push(match group.form {
                Form::Pass => ClientGroup::Pass,
                Form::Requant => {
                    requant::client_m2(&part, &mut deal, &mut m1, streams, &mut message)?;
                    ClientGroup::Requant
                }
                Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
                    let mut client = signed::Client::new(group, &part, &mut deal)?;
                    client.m2(group, levels, &mut m1, streams, &mut message)?;
                    ClientGroup::Signed(Box::new(client))
                }
            });
        }
        deal.finish()?;
        m1.finish()?;
        Ok((Self { groups, states }, message.finish()))
    }

    /// M4, the answer to M3.
    ///
    /// # Errors
    /// If the message is malformed.
    pub fn m4(self, m3: &[u8], streams: &mut StepStreams<'_>) -> Result<Vec<u8>, BitsError> {
        let (mut reader, mut message) = (Reader::new(m3), Writer::new());
        for (group, state) in self.groups.iter().zip(self.states) {
            match state {
                ClientGroup::Pass => {}
                // Its fresh mask was drawn for M2; the groups share one stream, read in order.
                ClientGroup::Requant => {}
                ClientGroup::Signed(signed) => signed.m4(group, &mut reader, streams, &mut message)?,
            }
        }
        reader.finish()?;
        Ok(message.finish())
    }
}

#[cfg(test)]
mod tests {
    use trefoil_ir::mpc::gate::groups;
    use trefoil_ir::patch::Patch;
    use trefoil_ir::shape::Shape;

    use super::*;

    #[test]
    fn groups_come_in_the_order_in_which_fresh_masks_are_drawn() {
        let patches = [Patch::Block { h: 2, w: 2 }, Patch::PIXEL, Patch::Identity];
        let lower: Vec<Patch> = (0..9).map(|c| patches[c % 3]).collect();
        let upper: Vec<Patch> = (0..9).map(|c| patches[c / 3]).collect();
        for upper in [None, Some(&upper)] {
            let mut groups = groups(&lower, upper, Shape::new(9, 4, 4), false);
            assert!(groups.len() > 2 && groups.iter().any(|group| group.form == Form::Requant));
            assert!(requants_precede(&groups));
            groups.reverse();
            assert!(!requants_precede(&groups));
        }
    }
}
