//! `doctor`: looks at all that a party needs, and says of each thing whether it is well.

use std::num::NonZero;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::mpc::memory::Memory;
use trefoil_ir::mpc::{Party, Program};
use trefoil_ir::text::printable;

use super::args::DoctorArgs;
use super::error::CliError;
use super::serve::{Own, door, plan_files};
use super::{plans, print};
use crate::amount::{counted, size};
use crate::kernel::Isa;
use crate::keys::{PublicKey, SecretKey};
use crate::net::listen::sentence;
use crate::net::probe::{Facts, LARGEST, Probe};
use crate::net::{Credentials, Purpose};
use crate::settings::{Hall, Port, Settings, SettingsError};
use crate::wire::{AbortReason, LinkError};

/// How long a peer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Round trips that are timed, of which the middle one counts.
const ROUND_TRIPS: usize = 9;

/// Messages of the largest size that are timed each way.
const LOADS: u32 = 8;

/// Clocks may differ so much before anybody is told.
const CLOCKS: u64 = 60;

/// What was found.
#[derive(Default)]
struct Findings {
    text: String,
    bad: usize,
}

impl Findings {
    fn well(&mut self, what: &str, how: impl AsRef<str>) {
        self.say("ok  ", what, how.as_ref());
    }

    fn odd(&mut self, what: &str, how: impl AsRef<str>) {
        self.say("note", what, how.as_ref());
    }

    fn bad(&mut self, what: &str, how: impl AsRef<str>) {
        self.bad += 1;
        self.say("BAD ", what, how.as_ref());
    }

    fn say(&mut self, mark: &str, what: &str, how: &str) {
        self.text += &format!("{mark}  {what:<12} {how}\n");
    }

    /// Notes a failure; passes on what went well.
    fn check<T, E: std::error::Error + 'static>(&mut self, what: &str, found: Result<T, E>) -> Option<T> {
        found.map_err(|error| self.bad(what, sentence(&error))).ok()
    }
}

/// Runs the command.
///
/// # Errors
/// If the settings cannot be used, or anything is not well.
pub fn run(args: &DoctorArgs) -> Result<(), CliError> {
    let settings = args.party.all()?;
    let mut findings = Findings::default();
    machine(&mut findings);
    match settings.role {
        Some(Party::Server) => server(settings, &mut findings)?,
        Some(Party::Helper) => helper(settings, &mut findings)?,
        Some(Party::Client) | None if settings.plan.is_some() => client(settings, &mut findings)?,
        Some(Party::Client) | None => return Err(CliError::Settings(SettingsError::NoRole)),
    }
    print(&findings.text)?;
    match findings.bad {
        0 => Ok(()),
        bad => Err(CliError::Unwell { bad }),
    }
}

/// Processor, memory, clock.
fn machine(findings: &mut Findings) {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    findings.well(
        "processor",
        format!("{}, {}", counted(cores, "core"), Isa::detect()),
    );
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        // The day on which this was written: no clock is before it.
        Ok(since) if since.as_secs() > 1_764_000_000 => {
            let now = jiff::Timestamp::now().strftime("%F %T");
            findings.well("clock", format!("{now} UTC"));
        }
        _ => findings.bad(
            "clock",
            "it is years behind: set it, since clients expire and quotas count by days",
        ),
    }
}

fn own_key(path: &Path, findings: &mut Findings) -> Option<Credentials> {
    let key = findings.check("key", SecretKey::read(path))?;
    findings.well("key", key.public().to_string());
    findings.check("key", Credentials::new(&key))
}

fn server(settings: Settings, findings: &mut Findings) -> Result<(), CliError> {
    let settings = settings.server()?;
    let key = own_key(&settings.hall.key, findings);
    let peers = [(Party::Helper, settings.helper.key)];
    let mut programs = Vec::new();
    hall(&settings.hall, &peers, findings, |path| {
        let plan = plans::server(path)?;
        programs.push(plan.program().clone().into_inner());
        Ok(plan.plan_id().to_string())
    })?;
    for program in &programs {
        need(program, Party::Server, &settings.hall, findings);
    }
    if let Some(key) = key {
        peer(Party::Helper, &settings.helper, &key, findings);
    }
    Ok(())
}

fn helper(settings: Settings, findings: &mut Findings) -> Result<(), CliError> {
    let settings = settings.helper_of()?;
    own_key(&settings.hall.key, findings);
    let peers = [(Party::Server, settings.server_key)];
    let mut programs = Vec::new();
    hall(&settings.hall, &peers, findings, |path| {
        let plan = plans::helper(path)?;
        programs.push(plan.program().clone().into_inner());
        Ok(plan.plan_id().to_string())
    })?;
    for program in &programs {
        need(program, Party::Helper, &settings.hall, findings);
    }
    findings.odd(
        "peers",
        "a helper connects to nobody: run this at the server and at a client",
    );
    Ok(())
}

fn client(settings: Settings, findings: &mut Findings) -> Result<(), CliError> {
    let settings = settings.client()?;
    let key = own_key(&settings.key, findings);
    let plan = findings.check("plan", plans::client(&settings.plan));
    if let Some(plan) = &plan {
        findings.well("plan", plan.plan_id().to_string());
    }
    let Some(key) = key else {
        return Ok(());
    };
    let server = peer(Party::Server, &settings.server, &key, findings);
    let helper = peer(Party::Helper, &settings.helper, &key, findings);
    if let Some(plan) = plan {
        let id = plan.plan_id().to_string();
        for (party, seen) in [(Party::Server, &server), (Party::Helper, &helper)] {
            if seen.as_ref().is_some_and(|seen| !seen.facts.plans.contains(&id)) {
                findings.bad("plan", format!("the {party} does not offer this plan"));
            }
        }
        predict(plan.program(), server.as_ref(), findings);
    }
    Ok(())
}

/// Plans, clients, state of a listening party.
fn hall(
    hall: &Hall,
    peers: &[(Party, PublicKey)],
    findings: &mut Findings,
    mut read: impl FnMut(&Path) -> Result<String, CliError>,
) -> Result<(), CliError> {
    for path in plan_files(&hall.plans)? {
        if let Some(id) = findings.check("plan", read(&path)) {
            findings.well("plan", format!("{id} in {}", path.display()));
        }
    }
    // As `serve` reads them: against each other.
    if let Some(own) = findings.check("clients", Own::read(hall, peers)) {
        findings.well("clients", counted(own.clients.len(), "client"));
    }
    match &hall.state {
        Some(folder) => findings.well("state", folder.display().to_string()),
        None => findings.odd("state", "none: quotas begin anew whenever this party is started"),
    }
    Ok(())
}

/// What a plan needs of this machine.
fn need(program: &Program, party: Party, hall: &Hall, findings: &mut Findings) {
    let memory = Memory::predict(program);
    let of = match party {
        Party::Server | Party::Client => &memory.server,
        Party::Helper => &memory.helper,
    };
    let sessions = hall.options.sessions as u64;
    let each = of.online.saturating_add(of.stock);
    let all = each.saturating_mul(sessions);
    let text = format!(
        "{} for a session of one image, {} for {}",
        size(each),
        size(all),
        counted(hall.options.sessions, "session")
    );
    match free_memory() {
        Some(free) if free < all => findings.bad(
            "memory",
            format!(
                "{text}, and {} are free: allow fewer --sessions, or take a larger machine",
                size(free)
            ),
        ),
        Some(free) => findings.well("memory", format!("{text}; {} are free", size(free))),
        None => findings.odd("memory", text),
    }
}

/// What the system says that is free, where it does.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// What was seen of a peer.
struct Seen {
    facts: Facts,
    round_trip: Duration,
    /// Bytes a second, to the peer and from it.
    up: f64,
    down: f64,
}

/// Looks at a peer.
fn peer(party: Party, port: &Port, key: &Credentials, findings: &mut Findings) -> Option<Seen> {
    let name = party.to_string();
    let door = findings.check(&name, door(key, party, port, Purpose::Probe))?;
    let mut probe = findings.check(&name, Probe::open(&door, PATIENCE, &|| false))?;
    let seen = findings.check(&name, look(&mut probe))?;
    findings.well(
        &name,
        format!(
            "{} with version {}, {:.1} ms away, {}/s to it, {}/s from it",
            port.address,
            printable(&seen.facts.version),
            seen.round_trip.as_secs_f64() * 1e3,
            size(seen.up as u64),
            size(seen.down as u64)
        ),
    );
    if seen.facts.version != env!("CARGO_PKG_VERSION") {
        findings.odd(
            &name,
            "it runs another version than this one: run the same at all parties",
        );
    }
    if let Some(refusal) = seen.facts.refusal.map(AbortReason::from_code) {
        findings.bad(&name, format!("it would turn this client away: {refusal}"));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let apart = now.abs_diff(seen.facts.clock);
    if apart > CLOCKS {
        findings.bad(
            "clock",
            format!("the {party}'s differs from this one by {apart} seconds: set both"),
        );
    }
    Some(seen)
}

fn look(probe: &mut Probe) -> Result<Seen, LinkError> {
    let facts = probe.ask()?;
    let mut trips = Vec::new();
    for _ in 0..ROUND_TRIPS {
        trips.push(probe.exchange(0, 1)?);
    }
    trips.sort();
    let round_trip = trips[ROUND_TRIPS / 2];
    let mut rate = |up: bool| -> Result<f64, LinkError> {
        let mut time = Duration::ZERO;
        for _ in 0..LOADS {
            let (sent, wanted) = if up { (LARGEST, 1) } else { (0, LARGEST) };
            time += probe.exchange(sent, wanted)?.saturating_sub(round_trip);
        }
        Ok(f64::from(LOADS * LARGEST) / time.as_secs_f64().max(1e-6))
    };
    let up = rate(true)?;
    let down = rate(false)?;
    Ok(Seen {
        facts,
        round_trip,
        up,
        down,
    })
}

/// What an image should take over what was measured.
fn predict(program: &Program, server: Option<&Seen>, findings: &mut Findings) {
    let Some(server) = server else {
        return;
    };
    let cost = Cost::new(program);
    let bytes = cost.bytes();
    let trips = cost.round_trips as f64 * server.round_trip.as_secs_f64();
    let online = bytes.online as f64 / server.up.min(server.down);
    let offline = bytes.offline as f64 / server.up.min(server.down);
    findings.well(
        "an image",
        format!(
            "{} ahead and {} online in {} round trips: over these links {:.2} s ahead and {:.2} s online, besides what \
             is computed",
            size(bytes.offline),
            size(bytes.online),
            cost.round_trips,
            offline,
            trips + online
        ),
    );
}
