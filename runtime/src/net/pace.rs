//! A socket whose waits end: no peer is waited for longer than it is told, whether it is silent or
//! sends a byte now and then, and none at all once the session is to end for another reason.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use trefoil_ir::mpc::Party;

use super::control::Control;
use super::stop::Stop;
use super::tls::Channel;
use super::tls::channel::is_interval;
use crate::wire::frame::HEADER_BYTES;
use crate::wire::{AbortReason, Cause, FrameKind, Header};

/// Bytes a second that a peer must send, or read, at least: each such number of bytes extends the
/// limit of a message by a second. A modem is faster.
pub(super) const FLOOR: u32 = 8 << 10;

/// How long a peer may take for the rest of a header that it has begun: headers are sent in one
/// piece, so this is time for the network alone.
pub(super) const HEADER_TIME: Duration = Duration::from_secs(15);

/// How often a wait is interrupted to see whether it is to end.
const LOOK: Duration = Duration::from_millis(200);

/// One direction of a connection.
pub(super) struct Paced {
    channel: Arc<Channel>,
    guard: Arc<Guard>,
    limit: Limit,
}

/// How long a message may take: a time, and more as bytes pass, but never more than that time from
/// when any last did. So neither silence nor a trickle goes on for long, however much came before.
struct Limit {
    since: Instant,
    allowed: Duration,
    /// None beyond all clocks.
    until: Option<Instant>,
    moved: bool,
}

impl Limit {
    fn new(allowed: Duration) -> Self {
        let since = Instant::now();
        Self {
            since,
            allowed,
            until: since.checked_add(allowed),
            moved: false,
        }
    }

    fn pass(&mut self, bytes: usize) {
        let earned = Duration::from_secs_f64(bytes as f64 / f64::from(FLOOR));
        let latest = Instant::now().checked_add(self.allowed);
        let until = self.until.and_then(|until| until.checked_add(earned));
        self.until = until.into_iter().chain(latest).min();
        self.moved = true;
    }

    fn check(&self) -> io::Result<()> {
        match self.until.is_some_and(|until| Instant::now() > until) {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }
}

impl Paced {
    pub(super) fn new(channel: &Arc<Channel>, guard: &Arc<Guard>, allowed: Duration) -> Self {
        Self {
            channel: Arc::clone(channel),
            guard: Arc::clone(guard),
            limit: Limit::new(allowed),
        }
    }

    /// From now on a message may take this long, and longer as bytes pass.
    pub(super) fn start(&mut self, allowed: Duration) {
        self.limit = Limit::new(allowed);
    }

    /// For how long the current message has been waited for.
    pub(super) fn waited(&self) -> Duration {
        self.limit.since.elapsed()
    }

    /// Does `io` again until something passes or the wait is to end.
    fn patiently(&mut self, mut io: impl FnMut(&Channel) -> io::Result<usize>) -> io::Result<usize> {
        // Who sends or reads a byte now and then never makes it wait for a whole interval.
        if self.limit.moved {
            self.limit.check()?;
        }
        loop {
            match io(&self.channel) {
                Ok(bytes) => {
                    self.limit.pass(bytes);
                    return Ok(bytes);
                }
                Err(error) if is_interval(&error) => {
                    self.guard.check().map_err(io::Error::other)?;
                    self.limit.check()?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Paced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.limit.moved {
            self.guard.check().map_err(io::Error::other)?;
        }
        self.patiently(|mut channel| channel.read(buffer))
    }
}

impl Write for Paced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A session that is to end does not end in the middle of a message that the peer takes: it would
        // read no reason then.
        self.patiently(|mut channel| channel.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.patiently(|mut channel| channel.flush().map(|()| 0))
            .map(drop)
    }
}

/// Lets no read or write of this socket take longer than the interval between two looks.
pub(super) fn set_intervals(stream: &TcpStream, timeout: Duration) -> io::Result<()> {
    let interval = (timeout / 4).clamp(Duration::from_millis(5), LOOK);
    stream.set_read_timeout(Some(interval))?;
    stream.set_write_timeout(Some(interval))
}

/// Has the operating system ask now and then whether the peer's machine is still there: on the
/// connection between server and helper nothing else would.
pub(super) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(20))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}

/// What ends the waits of a connection besides its own limits. Shared by both directions.
#[derive(Default)]
pub(super) struct Guard(Mutex<Watch>);

/// What a guard looks at.
#[derive(Default)]
struct Watch {
    /// When the session is to be over, and how long that was from its beginning.
    until: Option<(Instant, Duration)>,
    control: Option<Arc<Control>>,
    stop: Option<Stop>,
    other: Option<Other>,
}

/// Another connection of the same session, on which nothing is due.
struct Other {
    channel: Arc<Channel>,
    party: Party,
    /// How long this session may go on when that connection has closed.
    grace: Duration,
    closed: Option<Instant>,
    /// Since when a part of a header is there, which hides whether the peer has closed.
    begun: Option<Instant>,
    looked: Instant,
}

impl Guard {
    /// Why the session is to end now, if it is.
    pub(super) fn check(&self) -> Result<(), Cause> {
        let mut watch = self.lock();
        if let Some(cause) = watch.control.as_ref().and_then(|control| control.ended()) {
            return Err(cause);
        }
        if watch.stop.as_ref().is_some_and(Stop::requested) {
            return Err(Cause::Stopping);
        }
        if let Some((until, time)) = watch.until
            && Instant::now() >= until
        {
            let seconds = time.as_secs_f64();
            return Err(Cause::SessionTime { seconds });
        }
        match watch.other.as_mut().and_then(Other::look) {
            Some(cause) => Err(cause),
            None => Ok(()),
        }
    }

    pub(super) fn limit_session(&self, time: Duration) {
        self.lock().until = Instant::now().checked_add(time).map(|until| (until, time));
    }

    pub(super) fn obey(&self, control: Arc<Control>) {
        self.lock().control = Some(control);
    }

    pub(super) fn heed(&self, stop: Option<&Stop>) {
        self.lock().stop = stop.cloned();
    }

    pub(super) fn watch(&self, channel: Arc<Channel>, party: Party, grace: Duration) {
        self.lock().other = Some(Other {
            channel,
            party,
            grace,
            closed: None,
            begun: None,
            looked: Instant::now(),
        });
    }

    /// Nothing but the connection's own limits counts from now on.
    pub(super) fn dismiss(&self) {
        *self.lock() = Watch::default();
    }

    /// Tells the listener's loop that the peer takes its time, or that it does no more.
    pub(super) fn idle(&self, idle: bool) {
        if let Some(control) = &self.lock().control {
            control.set_idle(idle);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        // Each field is set in one go, so a panic elsewhere has not harmed it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Other {
    /// Looks now and then; a look is a system call.
    fn look(&mut self) -> Option<Cause> {
        let party = self.party;
        if self.closed.is_none() && self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            match glance(&self.channel) {
                Glance::Quiet => {}
                Glance::Begun => {
                    let begun = self.begun.get_or_insert(self.looked);
                    if begun.elapsed() >= HEADER_TIME {
                        return Some(Cause::Lost { party });
                    }
                }
                Glance::Closed => self.closed = Some(Instant::now()),
                Glance::Says(Some(reason)) => return Some(Cause::GaveUp { party, reason }),
                Glance::Says(None) => return Some(Cause::Lost { party }),
            }
        }
        let closed = self.closed?;
        (closed.elapsed() >= self.grace).then_some(Cause::Lost { party })
    }
}

/// What is to be seen on a connection on which nothing is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Glance {
    /// Nothing.
    Quiet,
    /// The peer has sent a part of a header. Whether it has closed since then cannot be seen.
    Begun,
    /// The peer has closed it.
    Closed,
    /// The peer has given up, with this reason, or has sent what it must not.
    Says(Option<AbortReason>),
}

/// Looks at a connection, without waiting and without taking anything from it.
pub(super) fn glance(channel: &Channel) -> Glance {
    match channel.peek() {
        Ok(None) => Glance::Quiet,
        Ok(Some(bytes)) => match bytes.first_chunk() {
            Some(header) => Glance::Says(abort_reason(header)),
            None if bytes.is_empty() => Glance::Closed,
            None => Glance::Begun,
        },
        Err(_) => Glance::Closed,
    }
}

fn abort_reason(header: &[u8; HEADER_BYTES]) -> Option<AbortReason> {
    let tag = Header::decode(header)?.tag;
    (tag.kind == FrameKind::Abort).then(|| AbortReason::from_code(tag.step))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::net::tls::testing::keys;

    /// What a connection shows once it shows something.
    fn seen(channel: &Channel) -> Glance {
        loop {
            match glance(channel) {
                Glance::Quiet => std::thread::sleep(Duration::from_millis(1)),
                seen => return seen,
            }
        }
    }

    #[test]
    fn a_part_of_a_header_is_no_leave_to_be_gone_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let keys = keys();
        let config = keys.server.answering(keys.known_to(Party::Server)).unwrap();
        let channel = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = keys.channel(Party::Server, address);
                peer.write_all(&[0x88; HEADER_BYTES - 1]).unwrap();
            });
            let channel = Channel::answerer(listener.accept().unwrap().0, &config).unwrap();
            let until = Instant::now() + Duration::from_secs(20);
            channel.shake_hands(until, &|| false).unwrap();
            Arc::new(channel)
        });
        assert_eq!(seen(&channel), Glance::Begun);
        let guard = Guard::default();
        guard.watch(Arc::clone(&channel), Party::Server, Duration::ZERO);
        let look = |guard: &Guard| {
            let mut watch = guard.lock();
            let other = watch.other.as_mut().unwrap();
            other.looked -= LOOK;
            other.look()
        };
        // The rest may still be under way, for a time.
        assert_eq!(look(&guard), None);
        *guard.lock().other.as_mut().unwrap().begun.as_mut().unwrap() -= HEADER_TIME;
        let party = Party::Server;
        assert_eq!(look(&guard), Some(Cause::Lost { party }));
    }

    #[test]
    fn what_came_before_is_no_leave_to_fall_silent() {
        let mut limit = Limit::new(Duration::from_secs(60));
        limit.pass(1 << 30);
        let left = limit
            .until
            .map(|until| until.saturating_duration_since(Instant::now()));
        assert!(left.is_some_and(|left| left <= Duration::from_secs(60)));
        // A byte is next to nothing, a second's bytes are a second.
        let mut limit = Limit::new(Duration::from_secs(60));
        let begin = limit.until.unwrap();
        limit.until = begin.checked_sub(Duration::from_secs(50));
        let slow = limit.until.unwrap();
        limit.pass(1);
        assert!(limit.until.unwrap() - slow < Duration::from_millis(1));
        limit.pass(FLOOR as usize);
        assert!(limit.until.unwrap() - slow >= Duration::from_secs(1));
        assert!(Limit::new(Duration::MAX).check().is_ok());
    }
}
