//! What a listening party does about a client's session besides serving it: it counts, it allows, it logs.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trefoil_ir::mpc::{Party, Phase, Program};

use super::journal::{Journal, Topic};
use super::line::{Figures, Whose};
use crate::accounts::{Guest, Refusal};
use crate::operations::{
    ClientMetrics, Direction, InferencePhase, Metrics, Outcome, RunningSession, SessionPhase,
};
use crate::session::{Denied, Overseer, Record, SessionError};
use crate::trace::Tracer;
use crate::wire::{AbortReason, Traffic};

/// A session, seen from outside.
pub(super) struct Desk<'a> {
    /// In which phase the party counts what a client has: the server what is run, the helper what is prepared.
    counted: Phase,
    guest: Option<Arc<Guest>>,
    metrics: Arc<Metrics>,
    client: Option<ClientMetrics>,
    running: RunningSession,
    journal: &'a Journal<'a>,
    whose: Whose,
    begun: Instant,
    figures: Figures,
}

impl<'a> Desk<'a> {
    /// The session of a party begins.
    pub(super) fn open(
        party: Party,
        guest: Option<Arc<Guest>>,
        metrics: &Arc<Metrics>,
        journal: &'a Journal<'a>,
        whose: Whose,
    ) -> Self {
        journal.say(Topic::Session, whose.clone(), || "session begins".to_owned());
        Self {
            counted: match party {
                Party::Server | Party::Client => Phase::Online,
                Party::Helper => Phase::Offline,
            },
            client: guest.as_ref().map(|guest| metrics.client(guest.name())),
            running: metrics.session_began(),
            metrics: Arc::clone(metrics),
            guest,
            journal,
            whose,
            begun: Instant::now(),
            figures: Figures::default(),
        }
    }

    /// What the handshake took.
    pub(super) fn set_up(&mut self, time: Duration, traffic: &Traffic) {
        self.metrics.took(SessionPhase::Handshake, time);
        self.pass(traffic);
    }

    /// Writes what the session's trace holds. That it cannot be is no harm to the session.
    pub(super) fn write(&self, tracer: &Tracer, program: &Program) {
        let Some(session) = self.whose.session else {
            return;
        };
        if let Err(error) = tracer.write(session, program) {
            let text = || format!("the session's trace cannot be written: {error}");
            self.journal.say(Topic::Shortage, self.whose.clone(), text);
        }
    }

    /// The session is over, and this came of it.
    pub(super) fn close(self, ended: &Result<u32, SessionError>) {
        self.running.ended(outcome(ended.as_ref().err()));
        if let &Ok(images) = ended {
            let figures = Figures {
                images,
                seconds: self.begun.elapsed().as_secs_f64(),
                ..self.figures
            };
            self.journal.sum_up(self.whose, figures);
        }
    }

    fn pass(&mut self, traffic: &Traffic) {
        let [sent, received] = traffic.bytes_each_way();
        self.figures.sent += sent;
        self.figures.received += received;
        self.metrics.count_bytes(Direction::Sent, Party::Client, sent);
        self.metrics
            .count_bytes(Direction::Received, Party::Client, received);
    }
}

impl Overseer for &mut Desk<'_> {
    fn allow(&mut self, phase: Phase, inferences: u32) -> Result<(), Denied> {
        let Some(guest) = self.guest.as_ref().filter(|_| phase == self.counted) else {
            return Ok(());
        };
        let taken = guest.take(inferences, SystemTime::now());
        taken.map_err(|refusal| {
            self.metrics.refused(word(&refusal));
            Denied {
                reason: reason(&refusal),
                why: super::listen::sentence(&refusal),
            }
        })
    }

    fn done(&mut self, record: Record) {
        let (phase, time) = match record.phase {
            Phase::Offline => (SessionPhase::Offline, record.measured.offline_seconds),
            Phase::Online => (SessionPhase::Online, record.measured.online_seconds),
        };
        self.metrics.took(phase, Duration::from_secs_f64(time.max(0.0)));
        self.pass(&record.traffic);
        if let Some(client) = &self.client {
            let phase = match record.phase {
                Phase::Offline => InferencePhase::Prepared,
                Phase::Online => InferencePhase::Run,
            };
            client.count_inferences(phase, u64::from(record.inferences));
        }
    }

    fn stock(&mut self, inferences: u32, bytes: u64) {
        self.running.set_stock(u64::from(inferences), bytes);
    }
}

/// What a client is told that may not have what it wants.
pub(super) fn reason(refusal: &Refusal) -> AbortReason {
    match refusal {
        Refusal::Unknown { .. } | Refusal::Revoked { .. } => AbortReason::Revoked,
        Refusal::Expired { .. } => AbortReason::Expired,
        Refusal::Sessions { .. } => AbortReason::ClientSessions,
        Refusal::Quota { .. } => AbortReason::Quota,
        Refusal::Store { .. } => AbortReason::Uncounted,
    }
}

/// What it is counted as.
pub(super) fn word(refusal: &Refusal) -> crate::operations::Refusal {
    use crate::operations::Refusal as Word;
    match refusal {
        Refusal::Unknown { .. } => Word::UnknownKey,
        Refusal::Revoked { .. } => Word::Revoked,
        Refusal::Expired { .. } => Word::Expired,
        Refusal::Sessions { .. } => Word::Sessions,
        Refusal::Quota { .. } => Word::Quota,
        Refusal::Store { .. } => Word::Uncounted,
    }
}

/// What a session's end is counted as.
fn outcome(error: Option<&SessionError>) -> Outcome {
    let Some(error) = error else {
        return Outcome::Ended;
    };
    match error.reason() {
        AbortReason::PeerLost | AbortReason::Unpaired | AbortReason::HelperUnreachable => Outcome::Lost,
        AbortReason::Timeout | AbortReason::SessionTime | AbortReason::Idle => Outcome::Timeout,
        AbortReason::Stopping => Outcome::Stopped,
        AbortReason::Displaced => Outcome::Displaced,
        AbortReason::Revoked | AbortReason::Expired => Outcome::Revoked,
        AbortReason::Misbehaviour => Outcome::Misbehaviour,
        AbortReason::Busy
        | AbortReason::HelperBusy
        | AbortReason::SessionMemory
        | AbortReason::SessionTaken
        | AbortReason::PlanMismatch
        | AbortReason::Stranger
        | AbortReason::Quota
        | AbortReason::ClientSessions => Outcome::Refused,
        AbortReason::Internal | AbortReason::Uncounted => Outcome::Failed,
    }
}
