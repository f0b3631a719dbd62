//! A folder with plans, keys and images, and the parties that use it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::commands::Running;
use super::plans::{IMAGE, Plans};
use super::ring::Ring;

/// A folder with plans, keys and images, and the parties that use it.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) ring: Ring,
}

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_trefoil-party"))
}

impl Site {
    pub(crate) fn new(secret: u8) -> Self {
        Self::with_clients(secret, &["client"])
    }

    pub(crate) fn with_clients(secret: u8, clients: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Plans::new(secret).write(folder.path());
        let [c, h, w] = IMAGE;
        let images =
            ndarray::Array4::from_shape_fn((4, c, h, w), |(n, c, h, w)| (n + c + h * w) as f32 / 8.0 - 1.0);
        ndarray_npy::write_npy(folder.path().join("x.npy"), &images).unwrap();
        let ring = Ring::new(folder.path(), clients);
        Self { folder, ring }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn helper(&self, flags: &[&str]) -> (Running, String) {
        let mut helper = Running::start(self.ring.helper(program()).args(flags));
        let address = helper.address();
        (helper, address)
    }

    pub(crate) fn server(&self, helper: &str, flags: &[&str]) -> (Running, String) {
        let mut server = Running::start(self.ring.server(program(), helper).args(flags));
        let address = server.address();
        (server, address)
    }

    /// A client that gives up when its session is lost.
    pub(crate) fn client(&self, server: &str, helper: &str) -> Command {
        self.client_of("x.npy", server, helper)
    }

    pub(crate) fn client_of(&self, images: &str, server: &str, helper: &str) -> Command {
        let mut client = self.named("client", images, server, helper);
        client.args(["--retries", "0"]);
        client
    }

    pub(crate) fn named(&self, name: &str, images: &str, server: &str, helper: &str) -> Command {
        let mut client = self.ring.client(program(), name, server, helper);
        client.arg("--data").arg(self.path(images));
        client
    }

    /// Changes the list of clients, and has a party read it.
    pub(crate) fn relist(&self, party: &Running, change: impl Fn(String) -> String) {
        let path = self.path("clients.toml");
        let text = change(std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, text).unwrap();
        party.signal("HUP");
        // It looks for the signal ten times a second.
        thread::sleep(Duration::from_millis(500));
    }

    /// A client with so many images that it will not come to their end; its session has begun.
    pub(crate) fn long(&self, server: &str, helper: &str) -> Running {
        let [c, h, w] = IMAGE;
        let many = ndarray::Array4::<f32>::zeros((20_000, c, h, w));
        ndarray_npy::write_npy(self.path("many.npy"), &many).unwrap();
        let mut client = Running::start(&mut self.client_of("many.npy", server, helper));
        // The heading, and the first result.
        client.line("");
        client.line("");
        client
    }
}
