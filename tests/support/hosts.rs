//! Several hosts on one machine: network namespaces, joined by a bridge in one of their own, each with its own
//! address. They are made by the test that uses them, which needs root and iproute2, and are gone when it ends.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A network of hosts.
pub(crate) struct Network {
    prefix: String,
    hosts: Vec<String>,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Host {
    namespace: String,
    /// What the other hosts reach it by.
    pub(crate) address: String,
    switch: String,
    port: String,
}

impl Network {
    /// A network without hosts.
    ///
    /// # Errors
    /// If this system makes none: what it lacks.
    pub(crate) fn new() -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let network = Self {
            prefix: format!("tf{}x{number}", std::process::id()),
            hosts: Vec::new(),
        };
        let needs = "network namespaces need root and iproute2";
        network
            .ip(&["netns", "add", &network.switch()])
            .map_err(|error| format!("{needs}: {error}"))?;
        let bridge = ["-n", &network.switch(), "link", "add", "br0", "type", "bridge"];
        network
            .ip(&bridge)
            .map_err(|error| format!("{needs}, and bridges: {error}"))?;
        network.ip(&["-n", &network.switch(), "link", "set", "br0", "up"])?;
        Ok(network)
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.prefix)
    }

    /// Adds a host.
    pub(crate) fn host(&mut self) -> Result<Host, String> {
        let number = self.hosts.len() + 1;
        let host = Host {
            namespace: format!("{}-{number}", self.prefix),
            address: format!("10.77.0.{number}"),
            switch: self.switch(),
            port: format!("port{number}"),
        };
        let (space, switch, port) = (&*host.namespace, &*host.switch, &*host.port);
        self.ip(&["netns", "add", space])?;
        self.hosts.push(host.namespace.clone());
        self.ip(&[
            "-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space,
        ])?;
        self.ip(&["-n", switch, "link", "set", port, "master", "br0", "up"])?;
        self.ip(&[
            "-n",
            space,
            "addr",
            "add",
            &format!("{}/24", host.address),
            "dev",
            "eth0",
        ])?;
        for link in ["eth0", "lo"] {
            self.ip(&["-n", space, "link", "set", link, "up"])?;
        }
        Ok(host)
    }

    fn ip(&self, words: &[&str]) -> Result<(), String> {
        ip(words)
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output();
    match output {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => Err(format!(
            "ip {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&stderr).trim()
        )),
        Err(error) => Err(format!("ip: {error}")),
    }
}

impl Host {
    /// A command that runs there.
    pub(crate) fn run(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// Pulls the cable, or plugs it in again.
    pub(crate) fn connect(&self, connected: bool) {
        let state = if connected { "up" } else { "down" };
        ip(&["-n", &self.switch, "link", "set", &self.port, state]).expect("the host has a cable");
    }

    /// Loses one packet in a hundred, and delays each by 50 ms on its way out.
    pub(crate) fn disturb(&self) -> Result<(), String> {
        let words = [
            "-n",
            &self.namespace,
            "qdisc",
            "add",
            "dev",
            "eth0",
            "root",
            "netem",
            "delay",
            "50ms",
            "loss",
            "1%",
        ];
        match Command::new("tc").args(words).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("tc: {error}")),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for space in self.hosts.iter().chain([&self.switch()]) {
            let _ = ip(&["netns", "del", space]);
        }
    }
}
