//! The revelation: the server sends its half of a value, and the client adds its own.

use trefoil_ir::mpc::Stage;

use super::operand::Operand;
use crate::exec::at::At;
use crate::exec::prepared::Site;
use crate::exec::{ExecError, client, server};
use crate::pool;
use crate::protocol::section;
use crate::wire::Link;

/// The step at which the client learns a value.
pub(in crate::exec) struct Reveal {
    operand: Operand,
}

impl Reveal {
    pub(super) fn new(site: &Site<'_>) -> Self {
        Self {
            operand: Operand::of_value(site),
        }
    }

    /// Keeps the client's half.
    pub(super) fn client_offline(&self, client: &mut client::Offline<'_>) {
        client.stock.revealed = self.operand.client_half(&client.store).to_vec();
    }

    /// Sends the server's half.
    pub(super) fn server_send(
        &self,
        at: &At<'_>,
        server: &mut server::Online<'_>,
        client: &mut dyn Link,
    ) -> Result<(), ExecError> {
        let half = self.operand.server_half(&server.store).to_vec();
        server.store.used(at.step);
        let payload = section::of_u16s(&half);
        pool::recycle(half);
        at.send(client, Stage::Reveal, payload)
    }

    /// Adds the halves up.
    pub(super) fn client_answer(
        &self,
        at: &At<'_>,
        payload: Vec<u8>,
        client: &mut client::Online<'_>,
        server: &dyn Link,
    ) -> Result<(), ExecError> {
        let own = &client.stock.revealed;
        let halves = section::to_u16s(&payload, own.len()).map_err(|error| at.malformed(server, error))?;
        let sums = halves.iter().zip(own).map(|(s, c)| s.wrapping_add(*c));
        client.output = sums.map(|sum| i64::from(sum as i16)).collect();
        Ok(())
    }
}
