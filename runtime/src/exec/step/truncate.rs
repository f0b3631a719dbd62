//! Truncation of pixels or of patch sums: the client's masked share to the server, and of pixels the
//! top bits of R from the helper to the client.

use trefoil_ir::mpc::{Stage, op};

use crate::exec::at::At;
use crate::exec::store::Value;
use crate::exec::{ExecError, client, helper, server};
use crate::pool;
use crate::protocol::truncate;
use crate::wire::Link;

/// What is truncated.
pub(in crate::exec) enum Truncate {
    /// Pixels, with the bits that are kept of each channel.
    Pixels(op::Truncate),
    /// Patch sums, of which the client learns nothing.
    Sums,
}

impl Truncate {
    pub(super) fn new(truncation: op::Truncation<'_>) -> Self {
        match truncation {
            op::Truncation::Pixels(op) => Truncate::Pixels(op.clone()),
            op::Truncation::Sums => Truncate::Sums,
        }
    }

    /// Sends MaskedShare, and takes TruncationMask in.
    pub(super) fn client_offline(
        &self,
        at: &At<'_>,
        client: &mut client::Offline<'_>,
    ) -> Result<(), ExecError> {
        let share = client.store.take_ring(at.operand(0));
        let sent = truncate::client_send(client.isa, &share, &mut at.client_streams(client.key));
        pool::recycle(share);
        at.send(client.server, Stage::MaskedShare, sent)?;
        let Truncate::Pixels(op) = self else {
            return Ok(());
        };
        let message = at.receive(client.helper, Stage::TruncationMask)?;
        let rs = truncate::client_receive(client.isa, op, &message, at.step.shape.len())
            .map_err(|error| at.malformed(client.helper, error))?;
        pool::recycle(message);
        client.store.put(at.step.id, Value::Top(rs));
        Ok(())
    }

    /// Makes R, and sends TruncationMask.
    pub(super) fn helper_offline(
        &self,
        at: &At<'_>,
        helper: &mut helper::Offline<'_>,
    ) -> Result<(), ExecError> {
        let h = helper.store.take_ring(at.operand(0));
        let mut client = at.client_streams(helper.client_key);
        let mut server = at.server_streams(helper.server_key);
        let r = match self {
            Truncate::Pixels(op) => {
                let (r, message) = truncate::helper(helper.isa, op, h, &mut client, &mut server);
                at.send(helper.client, Stage::TruncationMask, message)?;
                r
            }
            Truncate::Sums => truncate::helper_sums(helper.isa, h, &mut client, &mut server),
        };
        helper.store.put(at.step.id, Value::Ring(r));
        Ok(())
    }

    /// Keeps MaskedShare.
    pub(super) fn server_offline(
        &self,
        at: &At<'_>,
        server: &mut server::Offline<'_>,
    ) -> Result<(), ExecError> {
        let share = at.receive(server.client, Stage::MaskedShare)?;
        server.stock.keep(at.step.id, share);
        Ok(())
    }

    /// Makes D of the share that was kept.
    pub(super) fn server_begin(
        &self,
        at: &At<'_>,
        server: &mut server::Online<'_>,
        client: &dyn Link,
    ) -> Result<(), ExecError> {
        let mut share = server
            .shares
            .remove(&at.step.id)
            .expect("the offline phase left every masked share");
        let s = server.store.take_ring(at.operand(0));
        let d = truncate::server(server.isa(), s, &share, &mut at.server_streams(server.key))
            .map_err(|error| at.malformed(client, error))?;
        server.store.memory.free(share.len());
        pool::recycle(std::mem::take(&mut *share));
        server.complete(at.step, d);
        Ok(())
    }
}
