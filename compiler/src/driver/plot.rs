//! A trade-off as an SVG picture.

use std::ops::Range;

use plotters::prelude::*;
use thiserror::Error;

use super::sweep::Point;

/// What a trade-off is drawn over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axis {
    /// The share of DReLUs.
    #[default]
    Drelus,
    /// Bytes an image.
    Bytes,
    /// Bytes an image, online.
    OnlineBytes,
    /// Predicted seconds an image on a local network.
    SecondsLan,
    /// Predicted seconds an image between two continents.
    SecondsWan,
}

impl Axis {
    fn label(self) -> &'static str {
        match self {
            Axis::Drelus => "DReLUs (%)",
            Axis::Bytes => "MB an image",
            Axis::OnlineBytes => "MB an image, online",
            Axis::SecondsLan => "seconds an image on lan, predicted",
            Axis::SecondsWan => "seconds an image on wan, predicted",
        }
    }

    fn value(self, point: &Point) -> f64 {
        match self {
            Axis::Drelus => 100.0 * point.share,
            Axis::Bytes => point.bytes as f64 / 1e6,
            Axis::OnlineBytes => point.online_bytes as f64 / 1e6,
            Axis::SecondsLan => point.seconds_lan,
            Axis::SecondsWan => point.seconds_wan,
        }
    }
}

/// Why there is no picture.
#[derive(Debug, Error)]
pub enum PlotError {
    /// No point has an accuracy or a distortion.
    #[error("no point has a figure to draw")]
    Nothing,
    /// The drawing library fails.
    #[error("the picture cannot be drawn: {0}")]
    Drawing(String),
}

/// Draws accuracy (or, without labels, predicted distortion) over what it costs, a line per series.
///
/// # Errors
/// If there is nothing to draw, or the picture cannot be drawn.
pub fn draw(points: &[Point], over: Axis) -> Result<String, PlotError> {
    let measured = points.iter().any(|point| top1(point).is_some());
    let mut series: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for point in points {
        let value = if measured { top1(point) } else { point.distortion };
        let Some(value) = value.filter(|value| value.is_finite()) else {
            continue;
        };
        let place = (over.value(point), value);
        match series.iter_mut().find(|(name, _)| *name == point.series) {
            Some((_, places)) => places.push(place),
            None => series.push((&point.series, vec![place])),
        }
    }
    let all: Vec<(f64, f64)> = series
        .iter()
        .flat_map(|(_, places)| places.iter().copied())
        .collect();
    if all.is_empty() {
        return Err(PlotError::Nothing);
    }
    for (_, places) in &mut series {
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let label = if measured {
        "top-1 (%)"
    } else {
        "predicted distortion"
    };
    let mut svg = String::new();
    paint(&mut svg, &series, &all, [over.label(), label])
        .map_err(|error| PlotError::Drawing(error.to_string()))?;
    Ok(svg)
}

/// Top-1 in per cent: of the emulator, or of floats where that was not run.
fn top1(point: &Point) -> Option<f64> {
    let share = point.top1.or(point.top1_f32)?;
    Some(100.0 * share)
}

/// The range of an axis that shows all of these, with a margin.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let margin = (0.05 * (high - low)).max(1e-9);
    (low - margin)..(high + margin)
}

type Drawing = Result<(), Box<dyn std::error::Error>>;

fn paint(
    svg: &mut String,
    series: &[(&str, Vec<(f64, f64)>)],
    all: &[(f64, f64)],
    [x, y]: [&str; 2],
) -> Drawing {
    let x_range = range(all.iter().map(|place| place.0));
    let y_range = range(all.iter().map(|place| place.1));
    let root = SVGBackend::with_string(svg, (800, 500)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x_range, y_range)?;
    chart.configure_mesh().x_desc(x).y_desc(y).draw()?;
    for (at, (name, places)) in series.iter().enumerate() {
        let color = Palette99::pick(at).to_rgba();
        chart
            .draw_series(LineSeries::new(places.iter().copied(), color.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(series: &str, share: f64, top1: Option<f64>) -> Point {
        Point {
            series: series.into(),
            share,
            bytes: (4e6 * share) as u64,
            top1,
            ..Point::default()
        }
    }

    #[test]
    fn every_series_is_named_and_nothing_drawn_of_nothing() {
        let points = [point("additive", 0.5, Some(0.8)), point("joint", 0.5, Some(0.9))];
        let svg = draw(&points, Axis::Drelus).unwrap();
        assert!(svg.contains("additive") && svg.contains("joint") && svg.contains("top-1 (%)"));
        assert!(draw(&[point("uniform", 0.5, None)], Axis::Drelus).is_err());
    }

    #[test]
    fn every_axis_is_drawn_under_its_name() {
        let points = [
            point("additive", 0.5, Some(0.8)),
            point("additive", 0.25, Some(0.7)),
        ];
        for axis in [Axis::Bytes, Axis::OnlineBytes, Axis::SecondsLan, Axis::SecondsWan] {
            assert!(draw(&points, axis).unwrap().contains(axis.label()), "{axis:?}");
        }
        assert_eq!(Axis::Bytes.value(&points[0]), 2.0);
    }
}
