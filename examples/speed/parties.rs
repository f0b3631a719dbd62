//! Three parties: in one process to take their time, in three to take their memory.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use trefoil_ir::plan::{ClientPlan, HelperPlan, Public, ServerPlan};
use trefoil_runtime::accounts::{Client, Clients};
use trefoil_runtime::keys::{PublicKey, SecretKey};

use super::networks::Network;

/// Seconds an image.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    /// Before the image is known.
    pub(crate) offline: f64,
    /// With it.
    pub(crate) online: f64,
    /// Both.
    pub(crate) total: f64,
}

/// What does not depend on the machine.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// Payload of the offline phase.
    pub(crate) offline_bytes: u64,
    /// Payload of the online phase.
    pub(crate) online_bytes: u64,
    /// Round trips of the online phase.
    pub(crate) round_trips: u64,
}

/// What one run came to.
pub(crate) struct LocalRun {
    /// Medians of its images.
    pub(crate) times: Times,
    /// What it sent.
    pub(crate) cost: Cost,
}

/// Builds `trefoil-party`, if need be, and says where it is.
///
/// # Errors
/// If the build fails.
pub(crate) fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from(env!("CARGO")));
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--bin", "trefoil-party"]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.parent().context("the compiler lies in no repository")?;
    let status = command.current_dir(folder).stdin(Stdio::null()).status();
    if !status
        .context("cargo cannot be started: is Rust installed?")?
        .success()
    {
        bail!("the build failed: the compiler's messages stand above");
    }
    // This program is TARGET/PROFILE/examples/speed.
    let own = std::env::current_exe().context("this program does not know where it is")?;
    let target = own
        .ancestors()
        .nth(3)
        .context("this program lies in no target folder")?;
    let name = format!("trefoil-party{}", std::env::consts::EXE_SUFFIX);
    Ok(target.join("release").join(name))
}

/// Runs `trefoil-party local` on one image, so many times.
///
/// # Errors
/// If it fails, or writes no report.
pub(crate) fn run_local(party: &Path, network: &Network, repeat: u32) -> Result<LocalRun> {
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let report = folder.path().join("report.json");
    let mut command = Command::new(party);
    command.arg("local").arg("--plans").arg(&network.plans);
    command.args(["--images", "1", "--repeat", &repeat.to_string()]);
    command
        .arg("--data")
        .arg(&network.input)
        .arg("--report")
        .arg(&report);
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{} cannot be started", party.display()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let report = std::fs::read_to_string(&report).context("the report cannot be read")?;
    read_report(&serde_json::from_str(&report).context("the report is damaged")?)
}

fn read_report(report: &Value) -> Result<LocalRun> {
    let seconds = |phase: &str| {
        let value = report["seconds"]["median"][phase].as_f64();
        value.with_context(|| format!("the report lacks the {phase} time"))
    };
    let count = |value: &Value| value.as_u64().context("the report lacks a count");
    Ok(LocalRun {
        times: Times {
            offline: seconds("offline")?,
            online: seconds("online")?,
            total: seconds("total")?,
        },
        cost: Cost {
            offline_bytes: count(&report["bytes"]["offline"])?,
            online_bytes: count(&report["bytes"]["online"])?,
            round_trips: count(&report["round_trips"])?,
        },
    })
}

/// The most memory that client, server and helper had resident, in bytes: as processes of their own
/// on loopback, with one image. `None` where the system does not say.
///
/// # Errors
/// If a party fails.
pub(crate) fn peak_memory(party: &Path, network: &Network) -> Result<[Option<u64>; 3]> {
    let keys = Keys::new(network)?;
    let mut helper = keys.serve(party, "helper");
    helper.arg("--server-key").arg(keys.server.to_string());
    let mut helper = Process::start(helper, "helper")?;
    let helper_address = helper.address()?;
    let mut server = keys.serve(party, "server");
    server
        .args(["--helper", &helper_address, "--helper-key"])
        .arg(keys.helper.to_string());
    let mut server = Process::start(server, "server")?;
    let server_address = server.address()?;
    let file = |name: &str| keys.folder.path().join(name);
    let mut client = Command::new(party);
    client
        .args(["client", "--images", "1", "--key"])
        .arg(file("client.key"));
    client.arg("--plan").arg(file("client.plan"));
    client
        .args(["--server", &server_address, "--server-key"])
        .arg(keys.server.to_string());
    client
        .args(["--helper", &helper_address, "--helper-key"])
        .arg(keys.helper.to_string());
    client.arg("--data").arg(&network.input);
    let mut parties = [Process::start(client, "client")?, server, helper];
    // The figure dies with the process, so all are asked again and again until all have ended.
    while parties.iter_mut().any(|party| party.is_alive()) {
        parties.iter_mut().for_each(Process::look);
        thread::sleep(Duration::from_millis(1));
    }
    for party in &mut parties {
        party.check()?;
    }
    Ok(parties.each_ref().map(|party| party.peak))
}

/// Keys for three parties, and the client's plan for its own.
struct Keys {
    folder: TempDir,
    plans: PathBuf,
    server: PublicKey,
    helper: PublicKey,
}

impl Keys {
    fn new(network: &Network) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let key = |name: &str| -> Result<PublicKey> {
            let key = SecretKey::generate()?;
            key.write(&folder.path().join(format!("{name}.key")))?;
            Ok(key.public())
        };
        let (server, helper, client) = (key("server")?, key("helper")?, key("client")?);
        let read = |role: &str| std::fs::read(network.plans.join(format!("{role}.plan")));
        let plan = ClientPlan::decode(&read("client")?)?;
        let (server_plan, helper_plan) = (
            ServerPlan::decode(&read("server")?)?,
            HelperPlan::decode(&read("helper")?)?,
        );
        let part = plan.for_client(&server_plan, &helper_plan, client.as_bytes());
        let part = part.context("the plans are not of one compilation")?;
        let public = Public {
            program: (**plan.program()).clone(),
            plan_id: plan.plan_id(),
        };
        std::fs::write(
            folder.path().join("client.plan"),
            ClientPlan::encode(&public, &part),
        )?;
        let clients = Clients::new([Client::new("client", client)])?;
        std::fs::write(folder.path().join("clients.toml"), clients.to_toml())?;
        Ok(Self {
            folder,
            plans: network.plans.clone(),
            server,
            helper,
        })
    }

    /// `serve` of one session.
    fn serve(&self, party: &Path, role: &str) -> Command {
        let file = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(party);
        command.args(["serve", "--once", "--listen", "127.0.0.1:0", "--role", role]);
        command.arg("--key").arg(file(&format!("{role}.key")));
        command
            .arg("--plans")
            .arg(self.plans.join(format!("{role}.plan")));
        command.arg("--clients").arg(file("clients.toml"));
        command
    }
}

/// A party as a process, which ends with this value.
struct Process {
    name: &'static str,
    child: Child,
    /// The most resident memory that was seen.
    peak: Option<u64>,
}

impl Process {
    fn start(mut command: Command, name: &'static str) -> Result<Self> {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command
            .spawn()
            .with_context(|| format!("the {name} cannot be started"))?;
        Ok(Self {
            name,
            child,
            peak: None,
        })
    }

    /// Where it listens: the first line that it prints.
    fn address(&mut self) -> Result<String> {
        let mut line = String::new();
        let stdout = self
            .child
            .stdout
            .as_mut()
            .context("the output is not connected")?;
        BufReader::new(stdout).read_line(&mut line)?;
        match line.trim().strip_prefix("listening on ") {
            Some(address) => Ok(address.to_owned()),
            None => {
                self.check()?;
                bail!("the {} does not say where it listens", self.name)
            }
        }
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks the system for the most memory so far.
    fn look(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let peak = status.ok().and_then(|status| high_water_mark(&status));
        self.peak = self.peak.max(peak);
    }

    /// Waits for the end, which must be a success.
    fn check(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        if status.success() {
            return Ok(());
        }
        let mut message = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut message)?;
        }
        bail!("the {} failed ({status}): {}", self.name, message.trim())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The line `VmHWM: 123 kB` of a process's status, in bytes.
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let report = serde_json::json!({
            "seconds": { "offline": 9.0, "median": { "offline": 1.0, "online": 2.0, "total": 3.5 } },
            "bytes": { "offline": 10, "online": 20, "total": 30 },
            "round_trips": 4,
        });
        let run = read_report(&report).unwrap();
        assert_eq!((run.times.offline, run.times.total), (1.0, 3.5));
        assert_eq!((run.cost.online_bytes, run.cost.round_trips), (20, 4));
        assert!(read_report(&serde_json::json!({})).is_err());
    }

    #[test]
    fn the_high_water_mark_is_found() {
        let status = "Name:\tx\nVmPeak:\t  99 kB\nVmHWM:\t    1234 kB\n";
        assert_eq!(high_water_mark(status), Some(1234 * 1024));
        assert_eq!(high_water_mark("Name:\tx\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_has_a_high_water_mark() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo listening on here; sleep 1"]);
        let mut process = Process::start(command, "shell").unwrap();
        assert_eq!(process.address().unwrap(), "here");
        process.look();
        assert!(process.peak.is_some_and(|bytes| bytes > 100_000));
    }
}
