//! Why an end gives up, as it tells its peer.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal: $text:literal,)*) => {
        /// Why an end gives up: a code and nothing else, so that no data can leave with it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum AbortReason {
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl AbortReason {
            /// All of them.
            pub const ALL: &'static [AbortReason] = &[$(AbortReason::$name),*];

            /// The code on the wire.
            pub const fn code(self) -> u32 {
                match self {
                    $(AbortReason::$name => $code,)*
                }
            }

            /// The reason of a code; codes of other versions read as [`AbortReason::Internal`].
            pub fn from_code(code: u32) -> Self {
                match code {
                    $($code => AbortReason::$name,)*
                    _ => AbortReason::Internal,
                }
            }
        }
    };
}

reasons! {
    /// Something of its own failed.
    Internal = 1: "something failed on its side: look at its messages",
    /// A peer broke the protocol.
    Misbehaviour = 2: "it received something that breaks the protocol: check that all parties run the same version",
    /// A peer took too long.
    Timeout = 3: "it waited too long for a peer: check that all parties run, or raise --timeout",
    /// Too many sessions at once.
    Busy = 4: "it serves as many sessions as it may: try again later, or start it with a higher --sessions",
    /// The server cannot reach the helper.
    HelperUnreachable = 5: "it cannot reach the helper: check that the helper runs and that the server's --helper is its address",
    /// The server and the helper hold different plans.
    PlanMismatch = 6: "its plan and another party's are not of the same compilation: give all three parties plans of one compilation",
    /// Only one of client and server came.
    Unpaired = 7: "the other party of the session did not come in time: check that client and server name the same helper",
    /// Another connection uses this session id and role.
    SessionTaken = 8: "the session id is already in use: start the client again",
    /// It is being stopped.
    Stopping = 9: "it is being stopped: try again when it runs again",
    /// Another of its peers failed.
    PeerLost = 10: "it lost its connection to another party: look at that party's messages",
    /// A peer does not hold its role's plan.
    Stranger = 11: "its peer did not prove that it holds its own party's plan of this compilation: check the addresses, and give each party its own file",
    /// A stock or a batch is too large.
    SessionMemory = 12: "the stock or the batch is beyond the memory that it gives to a session: take a smaller --stock or --batch, or start it with a higher --session-memory",
    /// The session took too long.
    SessionTime = 13: "the session took longer than it allows: run fewer images in a session, or start it with a higher --session-time",
    /// The client asked for nothing for too long.
    Idle = 14: "the client asked for nothing for longer than it allows: start the client again, with a smaller --batch where its images take long to read, or start it with a higher --idle-time",
    /// The helper serves as many sessions as it may.
    HelperBusy = 15: "the helper serves as many sessions as it may: try again later, or start the helper with a higher --sessions",
    /// The client's admission has ended.
    Expired = 17: "this client's admission has ended: have its administrator enter a later date",
    /// The client has had its inferences of the day.
    Quota = 18: "this client has had as many inferences as it may on a day: go on tomorrow (UTC), or have its administrator allow more",
    /// The client has as many sessions as it may.
    ClientSessions = 19: "this client has as many sessions as it may: end another one first, or have its administrator allow more",
    /// The client is no longer one.
    Revoked = 20: "this client's key was struck off its list: ask its administrator",
    /// Its counters cannot be written.
    Uncounted = 21: "it cannot count this client's inferences at the moment: tell its administrator, and try again later",
    /// The client asked for nothing while another one waited for its place.
    Displaced = 16: "the client asked for nothing while another one waited for its place: start the client again, or start it with a higher --sessions",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_unknown_ones_do_not_fail() {
        for &reason in AbortReason::ALL {
            assert_eq!(AbortReason::from_code(reason.code()), reason);
        }
        assert_eq!(AbortReason::from_code(0), AbortReason::Internal);
        assert_eq!(AbortReason::from_code(u32::MAX), AbortReason::Internal);
    }
}
