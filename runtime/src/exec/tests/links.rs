//! What a party makes of its links: whom it blames, and whose time it counts.

use std::time::Duration;

use super::*;
use crate::exec::ExecError;
use crate::wire::{Header, Link, LinkError, Peer, Tag};

/// Takes everything and lets nothing out.
struct Clogged(Peer);

impl Link for Clogged {
    fn peer(&self) -> &Peer {
        &self.0
    }

    fn send(&mut self, _: Tag, _: Vec<u8>) -> Result<(), LinkError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        Err(self.gone())
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        Err(self.gone())
    }

    fn body(&mut self, _: usize) -> Result<Vec<u8>, LinkError> {
        Err(self.gone())
    }
}

impl Clogged {
    fn gone(&self) -> LinkError {
        LinkError::PeerDisconnected { peer: self.0.clone() }
    }
}

#[test]
fn what_cannot_be_sent_is_the_link_s_fault_and_no_step_s() {
    let mut helper = Helper::new(plans(&residual_network()).helper);
    let mut client = Clogged(Peer::local(Party::Client));
    let error = helper.offline(&key(1), &key(2), 0, &mut client).unwrap_err();
    assert!(matches!(error, ExecError::Flush { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "what was ready for the client could not be sent"
    );
}

#[test]
fn no_step_s_time_is_that_of_another_party() {
    const LATE: Duration = Duration::from_millis(300);
    let build = residual_network();
    let image = vec![0; build.program.steps[0].ty.shape.len()];
    let (mut client_server, mut server_client) = pair(Party::Client, Party::Server, 64);
    let (mut client_helper, mut helper_client) = pair(Party::Client, Party::Helper, 64);
    let Plans {
        client,
        server,
        helper,
    } = plans(&build);
    let measured = thread::scope(|scope| {
        scope.spawn(move || Helper::new(helper).offline(&key(1), &key(2), 0, &mut helper_client));
        let server = scope.spawn(move || {
            let mut server = Server::new(server);
            let stock = server.offline(0, &mut server_client).unwrap();
            server.online(&key(2), stock, &mut server_client).unwrap();
            server.measured()
        });
        let mut client = Client::new(client);
        let key = key(1);
        let stock = client.offline(&key, 0, &mut client_server, &mut client_helper);
        thread::sleep(LATE);
        client
            .online(&key, stock.unwrap(), &image, &mut client_server)
            .unwrap();
        server.join().unwrap()
    });
    let computed: f64 = measured.step_seconds.iter().sum();
    assert!(computed > 0.0);
    assert!(
        computed + LATE.as_secs_f64() / 2.0 < measured.online_seconds,
        "{computed} of {}",
        measured.online_seconds
    );
}
