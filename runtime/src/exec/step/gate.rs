//! Gates: the helper deals, M1 to M4 go to and fro, and the result is masked by what client and helper
//! have drawn before.

use std::sync::Arc;

use trefoil_ir::mpc::{Stage, op};

use super::operand::Operand;
use crate::exec::at::At;
use crate::exec::prepared::Site;
use crate::exec::store::Value;
use crate::exec::{ExecError, client, helper, server};
use crate::pool;
use crate::prg::Purpose;
use crate::protocol::gate::{self, Exact, Levels, MaskSource, helper_deal, result_mask};
use crate::protocol::layout::GateLayout;
use crate::protocol::operand::Half;
use crate::protocol::streams::StepStreams;
use crate::wire::Link;

/// A gate, with its groups.
pub(in crate::exec) struct Gate {
    operand: Operand,
    layout: GateLayout,
    limits: Limits,
    /// Whether every channel passes, so that there is no message.
    silent: bool,
}

/// The upper limits of a clip, if this party knows them; empty for any other gate.
#[derive(Default)]
struct Limits {
    pixels: Arc<[i32]>,
    sums: Arc<[i32]>,
}

/// What the client keeps of a gate until it runs.
pub(in crate::exec) struct Stock {
    rs: Vec<u16>,
    deal: Vec<u8>,
}

/// A gate at the client, between M2 and M4.
pub(in crate::exec) struct Answering<'a> {
    gate: gate::Client<'a>,
    stock: Stock,
    streams: StepStreams<'a>,
}

/// A gate at the server, between M1 and its result.
pub(in crate::exec) struct Opened<'a> {
    gate: gate::Server<'a>,
    streams: StepStreams<'a>,
}

impl Gate {
    pub(super) fn new(gate: op::Gate<'_>, site: &Site<'_>) -> Self {
        let layout = GateLayout::new(site.isa, gate.groups(&site.program.operands(site.id)));
        let stages = [Stage::Deal, Stage::M1, Stage::M2, Stage::M3, Stage::M4];
        Self {
            operand: Operand::of_gate(gate, site),
            silent: stages.into_iter().all(|stage| layout.bytes(stage) == 0),
            limits: Limits::new(gate, site),
            layout,
        }
    }

    /// Draws the mask of the result, and keeps what the gate will take.
    pub(super) fn client_offline(
        &self,
        at: &At<'_>,
        client: &mut client::Offline<'_>,
    ) -> Result<(), ExecError> {
        let rs = self.operand.client_half(&client.store).to_vec();
        let source = MaskSource {
            rs: Half::Top(&rs),
            exact: Exact::default(),
            passed: self.operand.passed(&client.store),
        };
        let mut mask = result_mask(&self.layout, &source, &mut at.client_streams(client.key));
        self.operand.add_back(client.isa, &mut mask, &client.store);
        if self.silent {
            pool::recycle(rs);
        } else {
            let deal = at.receive(client.helper, Stage::Deal)?;
            client.keep(at.step.id, Stock { rs, deal });
        }
        client.store.put(at.step.id, Value::Ring(mask));
        Ok(())
    }

    /// Sends Deal, and draws the mask of the result.
    pub(super) fn helper_offline(
        &self,
        at: &At<'_>,
        helper: &mut helper::Offline<'_>,
    ) -> Result<(), ExecError> {
        let source = MaskSource {
            rs: self.operand.helper_half(&helper.store),
            exact: self.operand.exact(&helper.store),
            passed: self.operand.passed(&helper.store),
        };
        let mut client = at.client_streams(helper.client_key);
        if !self.silent {
            let mut server = at.server_streams(helper.server_key);
            let deal = helper_deal(&self.layout, &source, &mut client, &mut server);
            at.send(helper.client, Stage::Deal, deal)?;
        }
        let mut mask = result_mask(&self.layout, &source, &mut client);
        self.operand.add_back(helper.isa, &mut mask, &helper.store);
        helper.store.put(at.step.id, Value::Ring(mask));
        Ok(())
    }

    /// Lets everything pass, if nothing is to be sent.
    pub(super) fn server_begin(&self, at: &At<'_>, server: &mut server::Online<'_>) {
        if self.silent {
            let hat = server.store.take_ring(at.operand(0));
            server.complete(at.step, hat);
        }
    }

    /// Sends M1 or M3.
    pub(super) fn server_send<'a>(
        &'a self,
        at: &At<'_>,
        stage: Stage,
        server: &mut server::Online<'a>,
        client: &mut dyn Link,
    ) -> Result<(), ExecError> {
        let message = if stage == Stage::M1 {
            self.m1(at, server)
        } else if stage == Stage::M3 {
            self.m3(at, server, client)?
        } else {
            at.unscheduled(stage)
        };
        at.send(client, stage, message)
    }

    fn m1<'a>(&'a self, at: &At<'_>, server: &mut server::Online<'a>) -> Vec<u8> {
        let mut streams = at.server_streams(server.key);
        let (gate, message) = gate::Server::m1(
            &self.layout,
            self.operand.server_half(&server.store),
            self.operand.exact(&server.store),
            self.limits.levels(),
            &mut streams,
        );
        server.gates.insert(at.step.id, Opened { gate, streams });
        message
    }

    fn m3(
        &self,
        at: &At<'_>,
        server: &mut server::Online<'_>,
        client: &dyn Link,
    ) -> Result<Vec<u8>, ExecError> {
        let zs = self.operand.server_half(&server.store);
        let opened = server.gates.get_mut(&at.step.id).expect("M3 follows M1");
        opened
            .gate
            .m3(zs, &mut opened.streams)
            .map_err(|error| at.malformed(client, error))
    }

    /// Answers M1 with M2, and M3 with M4.
    pub(super) fn client_answer<'a>(
        &'a self,
        at: &At<'_>,
        (stage, payload): (Stage, Vec<u8>),
        client: &mut client::Online<'a>,
        server: &mut dyn Link,
    ) -> Result<(), ExecError> {
        if stage == Stage::M1 {
            let m2 = self.m2(at, payload, client, server)?;
            at.send(server, Stage::M2, m2)
        } else if stage == Stage::M3 {
            let m4 = m4(at, &payload, client, server)?;
            pool::recycle(payload);
            at.send(server, Stage::M4, m4)
        } else {
            at.unscheduled(stage)
        }
    }

    fn m2<'a>(
        &'a self,
        at: &At<'_>,
        m1: Vec<u8>,
        client: &mut client::Online<'a>,
        server: &dyn Link,
    ) -> Result<Vec<u8>, ExecError> {
        let stock = client
            .stock
            .gates
            .remove(&at.step.id)
            .expect("the offline phase left a stock for every gate");
        let mut streams = at.client_streams(client.key);
        // The mask of the result was drawn offline, to prepare the layers behind; here it is applied.
        streams.replay(Purpose::FreshMask);
        let rs = Half::Top(&stock.rs);
        let levels = self.limits.levels();
        let (gate, m2) = gate::Client::m2(&self.layout, rs, &stock.deal, m1, levels, &mut streams)
            .map_err(|error| at.malformed(server, error))?;
        if at.step.has(Stage::M3) {
            let answering = Answering { gate, stock, streams };
            client.gates.insert(at.step.id, answering);
        }
        Ok(m2)
    }

    /// Takes M2 or M4 in.
    pub(super) fn server_receive(
        &self,
        at: &At<'_>,
        (stage, payload): (Stage, Vec<u8>),
        server: &mut server::Online<'_>,
        client: &dyn Link,
    ) -> Result<(), ExecError> {
        if stage == Stage::M2 {
            let opened = server.gates.get_mut(&at.step.id).expect("M2 follows M1");
            opened.gate.take_m2(payload);
            if at.step.has(Stage::M4) {
                Ok(())
            } else {
                self.finish(at, &[], server, client)
            }
        } else if stage == Stage::M4 {
            self.finish(at, &payload, server, client)?;
            pool::recycle(payload);
            Ok(())
        } else {
            at.unscheduled(stage)
        }
    }

    fn finish(
        &self,
        at: &At<'_>,
        m4: &[u8],
        server: &mut server::Online<'_>,
        client: &dyn Link,
    ) -> Result<(), ExecError> {
        let Opened { gate, mut streams } = server.gates.remove(&at.step.id).expect("a gate ends once");
        let passed = self.operand.passed(&server.store);
        let mut hat = gate
            .finish(m4, passed, at.step.shape.len(), &mut streams)
            .map_err(|error| at.malformed(client, error))?;
        self.operand.add_back(server.isa(), &mut hat, &server.store);
        server.complete(at.step, hat);
        Ok(())
    }
}

fn m4(
    at: &At<'_>,
    m3: &[u8],
    client: &mut client::Online<'_>,
    server: &dyn Link,
) -> Result<Vec<u8>, ExecError> {
    let Answering {
        gate,
        stock,
        mut streams,
    } = client.gates.remove(&at.step.id).expect("M3 follows M1");
    gate.m4(Half::Top(&stock.rs), &stock.deal, m3, &mut streams)
        .map_err(|error| at.malformed(server, error))
}

impl Limits {
    fn new(gate: op::Gate<'_>, site: &Site<'_>) -> Self {
        let upper = match gate {
            op::Gate::Truncated(signs) => signs.and_then(|signs| signs.upper),
            op::Gate::Activation { .. } | op::Gate::Difference { .. } => None,
        };
        let Some(upper) = upper else {
            return Self::default();
        };
        Self {
            pixels: site.plain(upper.level).unwrap_or_default(),
            sums: upper
                .sum_level
                .and_then(|level| site.plain(level))
                .unwrap_or_default(),
        }
    }

    fn levels(&self) -> Levels<'_> {
        Levels {
            pixels: &self.pixels,
            sums: &self.sums,
        }
    }
}

impl Stock {
    pub(in crate::exec) fn bytes(&self) -> usize {
        self.deal.len() + 2 * self.rs.len()
    }

    /// Whether nothing is left that was to be wiped.
    #[cfg(test)]
    pub(in crate::exec) fn is_wiped(&self) -> bool {
        self.rs.is_empty() && self.deal.is_empty()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        pool::recycle(std::mem::take(&mut self.rs));
        pool::recycle(std::mem::take(&mut self.deal));
    }
}
