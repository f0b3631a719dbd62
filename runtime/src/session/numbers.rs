//! The numbers of a session's inferences: each is prepared once and then run once, in order. Every
//! party keeps them for itself; that the client's announcements fit them is what keeps masks from
//! being used twice, and the memory within what this party allows.

use std::ops::Range;

use trefoil_ir::mpc::memory::PartyMemory;

use super::announce::Span;
use crate::wire::AbortReason;

/// The most inferences that any party has in stock: far beyond what memories hold, and little enough
/// that a client cannot keep a helper, who holds nothing, at work for ever.
pub const MOST_IN_STOCK: u32 = 1 << 16;

const MEGABYTE: u64 = 1_000_000;
const KIB: u64 = 1024;

/// What an inference takes at most that leaves nothing, or next to nothing: maps, vectors, and what
/// the allocator adds. It is here so that no number of inferences is for free.
const OVERHEAD: u64 = 4096;

/// The numbers that are prepared and not yet run; those before were run, those behind are next.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    stock: Range<u32>,
}

/// What is wrong with an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnouncementError {
    /// Nothing is to be prepared or run.
    #[error("the client announced no inference at all: check that it runs the same version of this program")]
    Nothing,
    /// Another inference than the next is to be prepared.
    #[error(
        "the client wants inference {announced} prepared, and {next} is next: \
         check that it runs the same version of this program"
    )]
    OutOfTurn {
        /// What it announced.
        announced: u32,
        /// What it should have.
        next: u32,
    },
    /// More inferences are to be in stock than any party holds.
    #[error(
        "a stock of {stock} inferences is wanted, and there are none beyond {MOST_IN_STOCK}: prepare fewer"
    )]
    TooMany {
        /// How many would be in stock.
        stock: u64,
    },
    /// An inference is to be run a second time.
    #[error(
        "the client wants inference {announced} run again: its masks are used up, and {next} is next; \
         check that it runs the same version of this program"
    )]
    Again {
        /// What it announced.
        announced: u32,
        /// What it should have.
        next: u32,
    },
    /// Prepared inferences are to be passed over.
    #[error(
        "the client wants inference {announced} run, and {next} is next: \
         check that it runs the same version of this program"
    )]
    Skipped {
        /// What it announced.
        announced: u32,
        /// What it should have.
        next: u32,
    },
    /// More inferences are to be run than are prepared.
    #[error(
        "{count} inferences are to be run from number {first} on, and {stock} are prepared: \
         prepare a stock first that is as large as the batch"
    )]
    NotPrepared {
        /// The first to be run.
        first: u32,
        /// How many are to be run.
        count: u32,
        /// How many are prepared and not run.
        stock: u32,
    },
    /// A stock beyond the memory that a session may take.
    #[error(
        "the client wants a stock of {stock} inferences, and the {} MB that a session may take hold {fits}: \
         give the client a --stock of {fits} at most, or the server a higher --session-memory",
        limit.div_ceil(MEGABYTE)
    )]
    Stock {
        /// How many would be in stock.
        stock: u32,
        /// How many can be.
        fits: u64,
        /// The memory that a session may take.
        limit: u64,
    },
    /// A batch beyond the memory that a session may take.
    #[error(
        "the client wants {batch} images run together, and beside a stock of {stock} the {} MB that a \
         session may take suffice for {fits}: give the client a --batch of {fits} at most or a smaller \
         --stock, or the server a higher --session-memory",
        limit.div_ceil(MEGABYTE)
    )]
    Batch {
        /// How many images are to be run together.
        batch: u32,
        /// How many inferences are in stock.
        stock: u32,
        /// How many images could be run together.
        fits: u64,
        /// The memory that a session may take.
        limit: u64,
    },
    /// No number is left.
    #[error("the session has used up its inference numbers: open another one")]
    UsedUp,
}

impl AnnouncementError {
    /// The reason to give to the client.
    pub(super) fn reason(self) -> AbortReason {
        match self {
            AnnouncementError::Nothing
            | AnnouncementError::OutOfTurn { .. }
            | AnnouncementError::TooMany { .. }
            | AnnouncementError::Again { .. }
            | AnnouncementError::Skipped { .. }
            | AnnouncementError::NotPrepared { .. } => AbortReason::Misbehaviour,
            AnnouncementError::Stock { .. } | AnnouncementError::Batch { .. } => AbortReason::SessionMemory,
            AnnouncementError::UsedUp => AbortReason::Internal,
        }
    }
}

impl Numbers {
    /// How many are prepared and not yet run.
    pub(super) fn stock(&self) -> u32 {
        self.stock.end - self.stock.start
    }

    /// How many were run; also the number of the next to be run.
    pub(super) fn run_so_far(&self) -> u32 {
        self.stock.start
    }

    /// The next `count` to be prepared, as the client announces them.
    pub(super) fn to_prepare(&self, count: u32) -> Span {
        let first = self.stock.end;
        Span { first, count }
    }

    /// The next `count` to be run.
    pub(super) fn to_run(&self, count: u32) -> Span {
        let first = self.stock.start;
        Span { first, count }
    }

    /// Uses up numbers that are to be prepared.
    pub(super) fn prepare(&mut self, span: Span) -> Result<Range<u32>, AnnouncementError> {
        let Span { first, count } = span;
        let next = self.stock.end;
        if count == 0 {
            return Err(AnnouncementError::Nothing);
        }
        if first != next {
            return Err(AnnouncementError::OutOfTurn {
                announced: first,
                next,
            });
        }
        let stock = u64::from(self.stock()) + u64::from(count);
        if stock > u64::from(MOST_IN_STOCK) {
            return Err(AnnouncementError::TooMany { stock });
        }
        let end = next.checked_add(count).ok_or(AnnouncementError::UsedUp)?;
        self.stock.end = end;
        Ok(next..end)
    }

    /// Takes numbers out of the stock that are to be run together.
    pub(super) fn run(&mut self, span: Span) -> Result<Range<u32>, AnnouncementError> {
        let Span { first, count } = span;
        let next = self.stock.start;
        if count == 0 {
            return Err(AnnouncementError::Nothing);
        }
        if first < next {
            return Err(AnnouncementError::Again {
                announced: first,
                next,
            });
        }
        if first > next && first < self.stock.end {
            return Err(AnnouncementError::Skipped {
                announced: first,
                next,
            });
        }
        if first > next || count > self.stock() {
            return Err(AnnouncementError::NotPrepared {
                first,
                count,
                stock: self.stock(),
            });
        }
        self.stock.start += count;
        Ok(next..next + count)
    }
}

/// The memory that a session may take at a party, beside what it holds without any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes that a session may take.
    limit: u64,
    /// What of it one inference in stock takes.
    stock: u64,
    /// What of it one image takes that is online.
    online: u64,
}

/// A limit in KiB, as it is told; what is beyond 4 TiB is none.
pub(super) fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes / KIB).unwrap_or(u32::MAX)
}

impl Room {
    /// This many KiB, for a party that is predicted to take so much.
    pub(super) fn new(limit: u32, predicted: &PartyMemory) -> Self {
        let limit = match limit {
            u32::MAX => u64::MAX,
            limit => u64::from(limit) * KIB,
        };
        Self {
            limit,
            stock: predicted.stock.saturating_add(OVERHEAD),
            online: predicted.online.saturating_add(OVERHEAD),
        }
    }

    /// Whether a stock may be of this size. One inference is always allowed, as without it there is
    /// no session.
    pub(super) fn for_stock(&self, stock: u32) -> Result<(), AnnouncementError> {
        let fits = self.limit.saturating_sub(self.online) / self.stock;
        let fits = fits.max(1);
        if u64::from(stock) <= fits {
            return Ok(());
        }
        Err(AnnouncementError::Stock {
            stock,
            fits,
            limit: self.limit,
        })
    }

    /// Whether so many images may be run together while so many inferences are in stock, theirs
    /// included. One image is always allowed.
    pub(super) fn for_batch(&self, batch: u32, stock: u32) -> Result<(), AnnouncementError> {
        let held = u64::from(stock).saturating_mul(self.stock);
        let fits = self.limit.saturating_sub(held) / self.online;
        let fits = fits.max(1);
        if u64::from(batch) <= fits {
            return Ok(());
        }
        Err(AnnouncementError::Batch {
            batch,
            stock,
            fits,
            limit: self.limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn span(first: u32, count: u32) -> Span {
        Span { first, count }
    }

    proptest! {
        /// Whatever is announced: what is accepted is prepared once, and then run once.
        #[test]
        fn each_number_is_prepared_once_and_run_once(
            announced in prop::collection::vec((any::<bool>(), 0u32..12, 0u32..5), 0..60)
        ) {
            let mut numbers = Numbers::default();
            let (mut prepared, mut ran) = (BTreeSet::new(), BTreeSet::new());
            for (run, first, count) in announced {
                if run {
                    for number in numbers.run(span(first, count)).into_iter().flatten() {
                        prop_assert!(prepared.contains(&number) && ran.insert(number));
                    }
                } else {
                    for number in numbers.prepare(span(first, count)).into_iter().flatten() {
                        prop_assert!(prepared.insert(number));
                    }
                }
                prop_assert_eq!(numbers.stock() as usize, prepared.len() - ran.len());
                prop_assert_eq!(numbers.run_so_far() as usize, ran.len());
            }
        }

        #[test]
        fn what_is_allowed_fits(
            limit in 0u32..1 << 14,
            stock in 0u64..1 << 16,
            online in 0u64..1 << 16,
            held in 1u32..400,
            batch in 1u32..400,
        ) {
            let predicted = PartyMemory { stock, online, ..PartyMemory::default() };
            let room = Room::new(limit, &predicted);
            let fits = |held: u32, batch: u32| {
                let held = u64::from(held) * (stock + OVERHEAD);
                held + u64::from(batch) * (online + OVERHEAD) <= u64::from(limit) * KIB
            };
            prop_assert_eq!(room.for_stock(held).is_ok(), held == 1 || fits(held, 1));
            prop_assert_eq!(room.for_batch(batch, held).is_ok(), batch == 1 || fits(held, batch));
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        use AnnouncementError::{Again, NotPrepared, Nothing, OutOfTurn, Skipped, TooMany};
        let mut numbers = Numbers::default();
        let not_prepared = |first, count, stock| NotPrepared { first, count, stock };
        assert_eq!(numbers.run(span(0, 1)), Err(not_prepared(0, 1, 0)));
        assert_eq!(numbers.prepare(span(0, 0)), Err(Nothing));
        assert_eq!(
            numbers.prepare(span(1, 1)),
            Err(OutOfTurn {
                announced: 1,
                next: 0
            })
        );
        assert_eq!(numbers.prepare(span(0, 3)), Ok(0..3));
        assert_eq!(
            numbers.prepare(span(0, 3)),
            Err(OutOfTurn {
                announced: 0,
                next: 3
            })
        );
        let stock = u64::from(MOST_IN_STOCK) + 1;
        assert_eq!(
            numbers.prepare(span(3, MOST_IN_STOCK - 2)),
            Err(TooMany { stock })
        );
        assert_eq!(numbers.run(span(0, 0)), Err(Nothing));
        assert_eq!(numbers.run(span(0, 4)), Err(not_prepared(0, 4, 3)));
        assert_eq!(numbers.run(span(0, u32::MAX)), Err(not_prepared(0, u32::MAX, 3)));
        assert_eq!(numbers.run(span(0, 2)), Ok(0..2));
        assert_eq!(
            numbers.run(span(1, 1)),
            Err(Again {
                announced: 1,
                next: 2
            })
        );
        assert_eq!(numbers.run(span(3, 1)), Err(not_prepared(3, 1, 1)));
        assert_eq!(numbers.prepare(span(3, 2)), Ok(3..5));
        assert_eq!(
            numbers.run(span(3, 1)),
            Err(Skipped {
                announced: 3,
                next: 2
            })
        );
        assert_eq!(numbers.run(span(2, 3)), Ok(2..5));
    }

    #[test]
    fn nothing_is_without_end() {
        let room = Room::new(1 << 20, &PartyMemory::default());
        let error = room.for_stock(u32::MAX).unwrap_err();
        let fits = (1 << 18) - 1;
        let (stock, limit) = (u32::MAX, 1 << 30);
        assert_eq!(error, AnnouncementError::Stock { stock, fits, limit });
        let words = "the 1074 MB that a session may take hold 262143: give the client a --stock of 262143";
        assert!(error.to_string().contains(words), "{error}");
        assert!(room.for_batch(u32::MAX, 1).is_err());
    }

    #[test]
    fn the_last_number_can_be_used() {
        let mut numbers = Numbers {
            stock: u32::MAX - 1..u32::MAX - 1,
        };
        assert_eq!(numbers.prepare(span(u32::MAX - 1, 1)), Ok(u32::MAX - 1..u32::MAX));
        assert_eq!(numbers.prepare(span(u32::MAX, 1)), Err(AnnouncementError::UsedUp));
    }
}
