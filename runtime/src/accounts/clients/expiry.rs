//! When a client ceases to be one.

use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use toml::value::Datetime;

/// The end of a client's time: a date, to the end of that day (UTC), or an instant. It is written as it
/// was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    text: String,
    end: SystemTime,
}

impl Expiry {
    /// Whether the client's time is over.
    pub fn is_over(&self, now: SystemTime) -> bool {
        now >= self.end
    }

    /// What TOML calls a local date or an offset date-time; none of another kind, or out of the calendar.
    pub(in crate::accounts) fn of(datetime: &Datetime) -> Option<Self> {
        let text = datetime.to_string();
        let end = match (datetime.date, datetime.time, datetime.offset) {
            (Some(_), Some(_), Some(_)) => text.parse().ok(),
            (Some(_), None, None) => end_of_day(&text),
            _ => None,
        };
        let end: Timestamp = end?;
        let end = SystemTime::try_from(end).ok()?;
        Some(Self { text, end })
    }
}

fn end_of_day(date: &str) -> Option<Timestamp> {
    let date: Date = date.parse().ok()?;
    let midnight = date.tomorrow().ok()?.at(0, 0, 0, 0);
    Offset::UTC.to_timestamp(midnight).ok()
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
