//! What metrics tell apart. Each of these lists is closed, so nothing that a peer says can add to what is
//! kept and scraped.

macro_rules! labels {
    ($(#[$doc:meta])* $label:ident { $($(#[$one:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $label {
            $($(#[$one])* $name,)*
        }

        impl $label {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What it is called in the metrics. Dashboards know it, so it never changes.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

labels! {
    /// How a session ended.
    Outcome {
        /// As it should: the client had asked for all that it wanted.
        Ended = "ended",
        /// The connection to another party was lost.
        Lost = "lost",
        /// This party or another one would not do what was asked for: too large a stock, no quota left.
        Refused = "refused",
        /// A peer, or the session as a whole, took too long.
        Timeout = "timeout",
        /// This party or another one was being stopped.
        Stopped = "stopped",
        /// It idled while others waited for its place.
        Displaced = "displaced",
        /// Its client was removed, or expired, while it ran.
        Revoked = "revoked",
        /// A peer broke the protocol.
        Misbehaviour = "misbehaviour",
        /// Something of this party failed.
        Failed = "failed",
    }
}

labels! {
    /// What has been done for an inference.
    InferencePhase {
        /// Its offline part: it is in stock.
        Prepared = "prepared",
        /// Its online part: its result is with the client.
        Run = "run",
    }
}

labels! {
    /// Parts of a session whose time is taken.
    SessionPhase {
        /// From the connection to its proof.
        Handshake = "handshake",
        /// An offline part: what one request to prepare takes.
        Offline = "offline",
        /// An online part: what one request to run takes.
        Online = "online",
    }
}

labels! {
    /// Which way bytes went.
    Direction {
        /// From this party.
        Sent = "sent",
        /// To this party.
        Received = "received",
    }
}

labels! {
    /// Why somebody was turned away, or something that was asked for refused.
    Refusal {
        /// Nobody with this key is known here.
        UnknownKey = "unknown_key",
        /// The client's time is over.
        Expired = "expired",
        /// The client has as many sessions at once as it may.
        Sessions = "sessions",
        /// The client has had its inferences of the day.
        Quota = "quota",
        /// The client was struck off while it asked.
        Revoked = "revoked",
        /// What the client has had cannot be written down, so it may have nothing more.
        Uncounted = "uncounted",
        /// All places are taken, and so is the queue for them; of this party, or of the helper.
        Busy = "busy",
        /// The plan is not one that is served here.
        Plan = "plan",
        /// More memory was asked for than a session or client may have.
        Memory = "memory",
        /// This party is being stopped.
        Stopping = "stopping",
        /// The peer speaks another version of the protocol.
        Version = "version",
        /// The peer did not prove that it holds its plan.
        Unproven = "unproven",
        /// The other party of the session did not come, or its id was another's.
        Unpaired = "unpaired",
        /// The server cannot reach the helper.
        Helper = "helper",
        /// The system has no descriptor or thread left.
        Shortage = "shortage",
    }
}

labels! {
    /// How an encrypted connection failed.
    TlsFailure {
        /// What came was no TLS at all.
        NotTls = "not_tls",
        /// The key of the one who came is not known here.
        UnknownKey = "unknown_key",
        /// The other end does not take this party's key.
        Rejected = "rejected",
        /// It was closed before the handshake was over.
        Closed = "closed",
        /// A message of it was wrong, or nothing that both speak.
        Protocol = "protocol",
        /// It took too long.
        Timeout = "timeout",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn are_distinct(names: impl Iterator<Item = &'static str>) {
        let mut seen = HashSet::new();
        for name in names {
            assert!(seen.insert(name), "two are called {name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
    }

    #[test]
    fn no_two_of_a_list_share_a_name() {
        are_distinct(Outcome::ALL.iter().map(|one| one.name()));
        are_distinct(InferencePhase::ALL.iter().map(|one| one.name()));
        are_distinct(SessionPhase::ALL.iter().map(|one| one.name()));
        are_distinct(Direction::ALL.iter().map(|one| one.name()));
        are_distinct(Refusal::ALL.iter().map(|one| one.name()));
        are_distinct(TlsFailure::ALL.iter().map(|one| one.name()));
    }
}
