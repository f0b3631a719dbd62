//! The image: the client sends x - a, with a mask that it shares with the helper.

use trefoil_ir::mpc::Stage;
use trefoil_ir::mpc::privacy::DrawId;

use crate::exec::at::At;
use crate::exec::store::Value;
use crate::exec::{ExecError, client, helper, server};
use crate::pool;
use crate::prg::Purpose;
use crate::protocol::section;
use crate::wire::Link;

/// The step at which the image comes in.
pub(in crate::exec) struct Input;

impl Input {
    pub(super) fn client_offline(&self, at: &At<'_>, client: &mut client::Offline<'_>) {
        let mask = at
            .client_streams(client.key)
            .u32s(DrawId::only(Purpose::InputMask));
        client.store.put(at.step.id, Value::Ring(mask.clone()));
        client.stock.input_mask = mask;
    }

    pub(super) fn helper_offline(&self, at: &At<'_>, helper: &mut helper::Offline<'_>) {
        let mask = at
            .client_streams(helper.client_key)
            .u32s(DrawId::only(Purpose::InputMask));
        helper.store.put(at.step.id, Value::Ring(mask));
    }

    /// The message Input: x - a.
    pub(super) fn client_begin(
        &self,
        at: &At<'_>,
        image: &[i32],
        client: &client::Online<'_>,
        server: &mut dyn Link,
    ) -> Result<(), ExecError> {
        let mask = &client.stock.input_mask;
        if image.len() != mask.len() {
            return Err(ExecError::Image {
                given: image.len(),
                expected: mask.len(),
            });
        }
        let masked: Vec<u32> = image
            .iter()
            .zip(mask)
            .map(|(x, a)| (*x as u32).wrapping_sub(*a))
            .collect();
        at.send(server, Stage::Input, section::of_u32s(&masked))
    }

    pub(super) fn server_begin(
        &self,
        at: &At<'_>,
        server: &mut server::Online<'_>,
        client: &mut dyn Link,
    ) -> Result<(), ExecError> {
        let payload = at.receive(client, Stage::Input)?;
        let hat =
            section::to_u32s(&payload, at.step.shape.len()).map_err(|error| at.malformed(client, error))?;
        pool::recycle(payload);
        server.complete(at.step, hat);
        Ok(())
    }
}
