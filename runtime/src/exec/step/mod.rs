//! The kinds of steps: one file each, in which the client's, the server's and the helper's side stand
//! together, offline and online.
//!
//! What kind an op is, [`Class`] says; here it is given its sides, and nowhere else does a party ask
//! what a step is. A kind that lacks a side does not compile.
//!
//! | kind | offline | online |
//! | --- | --- | --- |
//! | [`input`] | client and helper draw the mask | the client sends the masked image |
//! | [`local`] | client and helper compute on masks and shares | the server computes |
//! | [`truncate`] | MaskedShare, TruncationMask | the server joins the masked share |
//! | [`gate`] | Deal; client and helper draw the result's mask | M1 to M4 |
//! | [`reveal`] | the client keeps its half | the server sends its own |

pub(super) mod gate;
pub(super) mod input;
pub(super) mod local;
pub(super) mod operand;
pub(super) mod reveal;
pub(super) mod truncate;

use trefoil_ir::mpc::op::Class;
use trefoil_ir::mpc::{Party, Stage};

use self::gate::Gate;
use self::input::Input;
use self::local::Local;
use self::reveal::Reveal;
use self::truncate::Truncate;
use super::ExecError;
use super::at::At;
use super::prepared::Site;
use super::{client, helper, server};
use crate::wire::Link;

/// What is done at a step, with all that it takes.
pub(super) enum Kind {
    Input(Input),
    Local(Local),
    Truncate(Truncate),
    Gate(Box<Gate>),
    Reveal(Reveal),
}

impl Kind {
    pub(super) fn new(class: Class<'_>, site: &Site<'_>) -> Self {
        match class {
            Class::Input => Kind::Input(Input),
            Class::Local(local) => Kind::Local(Local::new(local, site)),
            Class::Truncate(truncation) => Kind::Truncate(Truncate::new(truncation)),
            Class::Gate(gate) => Kind::Gate(Box::new(Gate::new(gate, site))),
            Class::Reveal => Kind::Reveal(Reveal::new(site)),
        }
    }

    /// Bytes of packed weights.
    pub(super) fn packed_bytes(&self) -> usize {
        match self {
            Kind::Local(local) => local.packed_bytes(),
            Kind::Input(_) | Kind::Truncate(_) | Kind::Gate(_) | Kind::Reveal(_) => 0,
        }
    }

    /// The client prepares it.
    pub(super) fn client_offline(
        &self,
        at: &At<'_>,
        client: &mut client::Offline<'_>,
    ) -> Result<(), ExecError> {
        match self {
            Kind::Input(input) => input.client_offline(at, client),
            Kind::Local(local) => local.run(at.step, Party::Client, client.isa, &mut client.store),
            Kind::Truncate(truncate) => return truncate.client_offline(at, client),
            Kind::Gate(gate) => return gate.client_offline(at, client),
            Kind::Reveal(reveal) => reveal.client_offline(client),
        }
        Ok(())
    }

    /// The helper prepares it.
    pub(super) fn helper_offline(
        &self,
        at: &At<'_>,
        helper: &mut helper::Offline<'_>,
    ) -> Result<(), ExecError> {
        match self {
            Kind::Input(input) => input.helper_offline(at, helper),
            Kind::Local(local) => local.run(at.step, Party::Helper, helper.isa, &mut helper.store),
            Kind::Truncate(truncate) => return truncate.helper_offline(at, helper),
            Kind::Gate(gate) => return gate.helper_offline(at, helper),
            Kind::Reveal(_) => {}
        }
        Ok(())
    }

    /// The server prepares it.
    pub(super) fn server_offline(
        &self,
        at: &At<'_>,
        server: &mut server::Offline<'_>,
    ) -> Result<(), ExecError> {
        match self {
            Kind::Truncate(truncate) => truncate.server_offline(at, server),
            Kind::Input(_) | Kind::Local(_) | Kind::Gate(_) | Kind::Reveal(_) => Ok(()),
        }
    }

    /// What the client sends ahead of the rounds.
    pub(super) fn client_begin(
        &self,
        at: &At<'_>,
        image: &[i32],
        client: &client::Online<'_>,
        server: &mut dyn Link,
    ) -> Result<(), ExecError> {
        match self {
            Kind::Input(input) => input.client_begin(at, image, client, server),
            Kind::Local(_) | Kind::Truncate(_) | Kind::Gate(_) | Kind::Reveal(_) => Ok(()),
        }
    }

    /// What the server does once the operands are complete, before it sends anything.
    pub(super) fn server_begin(
        &self,
        at: &At<'_>,
        server: &mut server::Online<'_>,
        client: &mut dyn Link,
    ) -> Result<(), ExecError> {
        match self {
            Kind::Input(input) => input.server_begin(at, server, client),
            Kind::Local(local) => {
                local.run(at.step, Party::Server, server.isa(), &mut server.store);
                server.store.used(at.step);
                Ok(())
            }
            Kind::Truncate(truncate) => truncate.server_begin(at, server, client),
            Kind::Gate(gate) => {
                gate.server_begin(at, server);
                Ok(())
            }
            Kind::Reveal(_) => Ok(()),
        }
    }

    /// The server sends a message of a round.
    pub(super) fn server_send<'a>(
        &'a self,
        at: &At<'_>,
        stage: Stage,
        server: &mut server::Online<'a>,
        client: &mut dyn Link,
    ) -> Result<(), ExecError> {
        match self {
            Kind::Gate(gate) => gate.server_send(at, stage, server, client),
            Kind::Reveal(reveal) => reveal.server_send(at, server, client),
            Kind::Input(_) | Kind::Local(_) | Kind::Truncate(_) => at.unscheduled(stage),
        }
    }

    /// The client takes a message of a round in, and answers it if it has an answer.
    pub(super) fn client_answer<'a>(
        &'a self,
        at: &At<'_>,
        (stage, payload): (Stage, Vec<u8>),
        client: &mut client::Online<'a>,
        server: &mut dyn Link,
    ) -> Result<(), ExecError> {
        match self {
            Kind::Gate(gate) => gate.client_answer(at, (stage, payload), client, server),
            Kind::Reveal(reveal) => reveal.client_answer(at, payload, client, server),
            Kind::Input(_) | Kind::Local(_) | Kind::Truncate(_) => at.unscheduled(stage),
        }
    }

    /// The server takes an answer in.
    pub(super) fn server_receive(
        &self,
        at: &At<'_>,
        (stage, payload): (Stage, Vec<u8>),
        server: &mut server::Online<'_>,
        client: &dyn Link,
    ) -> Result<(), ExecError> {
        match self {
            Kind::Gate(gate) => gate.server_receive(at, (stage, payload), server, client),
            Kind::Input(_) | Kind::Local(_) | Kind::Truncate(_) | Kind::Reveal(_) => at.unscheduled(stage),
        }
    }
}
