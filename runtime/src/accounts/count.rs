//! The inferences of a day, and what becomes of them when the clock moves.
//!
//! A clock can be wrong: a machine starts in 1970 or 2099 until it hears the time, an administrator
//! sets it back. What holds whatever it shows:
//!
//! 1. **A quota begins anew on a day later than every day seen.** A clock that goes back refills nothing.
//! 2. **A day up to [`NEAR`] ahead of the clock counts on** until the clock has caught up with it, as
//!    when a clock is set right around midnight.
//! 3. **A day further ahead was written under a clock that was wrong.** What was counted stays counted,
//!    but the day becomes the clock's, and the next midnight that this process sees begins the quota
//!    anew. So nobody is locked out until 2099. A clock that jumps to and fro between such days still
//!    refills nothing: only the day after the one last counted does. It refills again a day that the
//!    clock, set back that far, passes again midnight by midnight.
//!
//! Whoever sets the clock of a party forward day by day gives a quota each time: a ledger knows no other
//! time than the clock's.

use std::time::{SystemTime, UNIX_EPOCH};

/// How many days a count may be ahead of the clock before the clock is taken to have been wrong.
const NEAR: u64 = 2;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The inferences of a client in a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// The day, as days since 1970 (UTC).
    pub(super) day: u64,
    /// The latest day that was ever counted; not before `day`.
    pub(super) latest: u64,
    /// Inferences.
    pub(super) used: u64,
}

impl Count {
    /// The count as it stands when the clock shows a day.
    pub(super) fn on(self, today: u64) -> Self {
        let latest = self.latest.max(self.day);
        let anew = today > latest || Some(today) == self.day.checked_add(1);
        if anew {
            Self {
                day: today,
                latest: latest.max(today),
                used: 0,
            }
        } else if today <= self.day && self.day - today <= NEAR {
            Self { latest, ..self }
        } else {
            Self {
                day: today,
                latest,
                ..self
            }
        }
    }

    /// Hours until its day is over, rounded up.
    pub(super) fn hours_left(self, now: SystemTime) -> u64 {
        let end = self.day.saturating_add(1).saturating_mul(DAY);
        end.saturating_sub(seconds(now)).div_ceil(HOUR).max(1)
    }
}

/// The day of a time.
pub(super) fn day_of(now: SystemTime) -> u64 {
    seconds(now) / DAY
}

/// Seconds since 1970; a clock before that shows its beginning.
fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Has a client take all it can at each reading of the clock; how often its quota began anew.
    fn refills(days: impl IntoIterator<Item = u64>) -> u64 {
        let mut count = Count::default();
        let mut refills = 0;
        for day in days {
            count = count.on(day);
            refills += u64::from(count.used == 0);
            count.used = 1;
        }
        refills
    }

    #[test]
    fn a_clock_that_goes_on_refills_once_a_day() {
        assert_eq!(refills([20_000, 20_000, 20_001, 20_001, 20_005, 20_006]), 4);
    }

    #[test]
    fn hours_are_those_to_midnight() {
        let count = Count {
            day: 2,
            ..Count::default()
        };
        for (second, hours) in [
            (2 * DAY, 24),
            (2 * DAY + 1, 24),
            (3 * DAY - HOUR, 1),
            (3 * DAY - 1, 1),
            (DAY, 48),
        ] {
            assert_eq!(count.hours_left(UNIX_EPOCH + Duration::from_secs(second)), hours);
        }
        assert_eq!(day_of(UNIX_EPOCH - Duration::from_secs(5)), 0);
        assert_eq!(day_of(UNIX_EPOCH + Duration::from_secs(3 * DAY - 1)), 2);
    }

    proptest! {
        #[test]
        fn jumps_to_and_fro_refill_nothing(
            days in proptest::collection::btree_set(0u64..30, 1..6),
            readings in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            // Days that are not neighbours, so that no step is a midnight.
            let days: Vec<u64> = days.into_iter().map(|day| 20_000 + 2 * day).collect();
            let readings: Vec<u64> = readings.iter().map(|index| *index.get(&days)).collect();
            let (records, _) = readings.iter().fold((0, 0), |(records, latest), &day| {
                (records + u64::from(day > latest), latest.max(day))
            });
            prop_assert_eq!(refills(readings), records);
        }

        #[test]
        fn a_clock_set_back_refills_nothing(steps in proptest::collection::vec((0u64..4, 0u64..=NEAR), 0..60)) {
            // Each reading is a little behind the latest day.
            let latest = steps.iter().scan(20_000, |latest, (ahead, _)| {
                *latest += ahead;
                Some(*latest)
            });
            let latest: Vec<u64> = latest.collect();
            let mut records: Vec<u64> = Vec::new();
            let readings = latest.iter().zip(&steps).map(|(latest, (_, back))| latest - back);
            for day in readings.clone() {
                if records.last().is_none_or(|&last| day > last) {
                    records.push(day);
                }
            }
            prop_assert_eq!(refills(readings), records.len() as u64);
        }

        #[test]
        fn nobody_is_locked_out_for_long(days in proptest::collection::vec(any::<u64>(), 0..6), today in 0u64..100_000) {
            let mut count = Count::default();
            for day in days {
                count = Count { used: 1, ..count.on(day) };
            }
            // From whatever was seen, some days of a clock that is right are enough.
            let anew = (today..=today + NEAR + 1).any(|day| {
                count = count.on(day);
                count.used == 0
            });
            prop_assert!(anew, "{count:?}");
        }

        #[test]
        fn a_reading_twice_is_a_reading_once(day: u64, latest: u64, used: u64, today: u64) {
            let once = Count { day, latest, used }.on(today);
            prop_assert_eq!(once.on(today), once);
            prop_assert_eq!(once.on(once.day), once);
            prop_assert!(once.latest >= once.day);
        }
    }
}
