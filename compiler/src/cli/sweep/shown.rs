//! What a person sees of a sweep.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Result;
use trefoil_runtime::amount::counted;
use trefoil_runtime::data::DataSet;
use trefoil_runtime::terminal;

use super::{Arguments, Candidate};
use crate::cli::Format;
use crate::cli::print::say;
use crate::driver::CompileError;
use crate::driver::report::grouped;
use crate::driver::sweep::{Point, goal};

/// What a person sees while points are measured: lines under headings, as they come.
pub(super) struct Shown {
    is_text: bool,
    /// How many images are run at each point, where there are labels.
    images: Option<usize>,
    started: Instant,
    points: usize,
    /// Widths of the columns with names.
    series: usize,
    goal: usize,
}

impl Shown {
    pub(super) fn new(
        arguments: &Arguments,
        labelled: Option<&DataSet>,
        candidates: &VecDeque<Candidate>,
    ) -> Self {
        let mut shown = Self {
            is_text: arguments.format == Format::Text,
            images: labelled.map(DataSet::len),
            started: Instant::now(),
            points: 0,
            series: "series".len(),
            // Beside uniform patches stands a budget of as many DReLUs.
            goal: "relus=10000000".len(),
        };
        for (series, patches) in candidates {
            shown.series = shown.series.max(series.chars().count());
            shown.goal = shown.goal.max(goal(patches).chars().count());
        }
        shown
    }

    /// A point, with so many behind it.
    pub(super) fn point(&mut self, point: &Point, left: usize) -> Result<()> {
        self.points += 1;
        if self.is_text {
            if self.points == 1 {
                say!("{}", self.headings());
            }
            say!("{}", self.line(point));
        }
        if self.points == 1 && left > 0 {
            let each = self.started.elapsed().as_secs_f64();
            terminal::note(format_args!(
                "{} more, about {}",
                counted(left, "point"),
                duration(each * left as f64)
            ));
        }
        Ok(())
    }

    pub(super) fn gap(&self, series: &str, error: &CompileError) -> Result<()> {
        let text = format!("{series}: {}", terminal::print::chain(error));
        match self.is_text {
            true => say!("{text}"),
            false => terminal::note(format_args!("{text}")),
        }
        Ok(())
    }

    fn headings(&self) -> String {
        let Self { series, goal, .. } = self;
        let costs = format!(
            "{:series$}  {:>goal$}  {:>7}  {:>12}  {:>12}  {:>5}  {:>8}  {:>8}  {:>10}",
            "series", "budget", "DReLUs", "bytes", "online", "trips", "s on lan", "s on wan", "distortion"
        );
        match self.images.is_some() {
            true => format!(
                "{costs}  {:>8}  {:>7}  {:>14}  {:>22}",
                "top1 f32", "top1", "difference", "breaches"
            ),
            false => costs,
        }
    }

    fn line(&self, point: &Point) -> String {
        let Self { series, goal, .. } = self;
        let costs = format!(
            "{:series$}  {:>goal$}  {:>6.2}%  {:>12}  {:>12}  {:>5}  {:>8.3}  {:>8.3}  {:>10}",
            point.series,
            point.goal,
            100.0 * point.share,
            grouped(point.bytes),
            grouped(point.online_bytes),
            point.round_trips,
            point.seconds_lan,
            point.seconds_wan,
            or_dash(point.distortion.map(|distortion| format!("{distortion:.3e}")))
        );
        let Some(of) = self.images else {
            return costs;
        };
        let difference = point.difference.zip(point.half_width);
        let breaches = point.breaches;
        format!(
            "{costs}  {:>8}  {:>7}  {:>14}  {:>22}",
            percent(point.top1_f32),
            percent(point.top1),
            or_dash(difference.map(|(points, half)| format!("{points:+.2} +- {half:.2}"))),
            or_dash(breaches.map(|images| format!("{images} of {}", counted(of, "image"))))
        )
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn percent(share: Option<f64>) -> String {
    or_dash(share.map(|share| format!("{:.2}%", 100.0 * share)))
}

/// A time for people, rounded up.
fn duration(seconds: f64) -> String {
    match seconds {
        ..=90.0 => counted(seconds.ceil() as usize, "second"),
        ..=5400.0 => counted((seconds / 60.0).ceil() as usize, "minute"),
        _ => format!("{:.1} hours", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_under_their_headings_and_hold_no_nan() {
        let shown = Shown {
            is_text: true,
            images: Some(20),
            started: Instant::now(),
            points: 0,
            series: 8,
            goal: 12,
        };
        let whole = Point {
            series: "additive".to_owned(),
            goal: "50%".to_owned(),
            share: 0.5,
            top1_f32: Some(1.0),
            top1: Some(0.9),
            difference: Some(-1.5),
            half_width: Some(0.25),
            breaches: Some(7),
            distortion: Some(1e-3),
            ..Point::default()
        };
        for point in [whole, Point::default()] {
            let line = shown.line(&point);
            assert_eq!(line.len(), shown.headings().len(), "{line}\n{}", shown.headings());
            assert!(!line.contains("NaN"), "{line}");
        }
    }

    #[test]
    fn times_are_said_in_fitting_units() {
        assert_eq!(
            [0.2, 90.0, 91.0, 7200.0].map(duration),
            ["1 second", "90 seconds", "2 minutes", "2.0 hours"]
        );
    }
}
