//! A trade-off as an SVG picture.

use plotters::prelude::*;

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

/// Draws accuracy (or, without labels, predicted distortion) over what it costs, a line per series.
///
/// # Errors
/// A sentence, if there is nothing to draw.
pub fn draw(points: &[Point], over: Axis) -> Result<String, String> {
    let top1 = |p: &Point| p.top1.or(p.top1_f32).map(|t| 100.0 * t);
    let measured = points.iter().any(|p| top1(p).is_some());
    let value = |p: &Point| if measured { top1(p) } else { p.distortion };
    let place = |p: &Point| Some((over.value(p), value(p).filter(|v| v.is_finite())?));
    let mut series: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for point in points {
        let Some(place) = place(point) else { continue };
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
        return Err("no point has a figure to draw".to_owned());
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
        .map_err(|e| format!("the picture cannot be drawn: {e}"))?;
    Ok(svg)
}

type Drawing = Result<(), Box<dyn std::error::Error>>;

fn paint(
    svg: &mut String,
    series: &[(&str, Vec<(f64, f64)>)],
    all: &[(f64, f64)],
    [x, y]: [&str; 2],
) -> Drawing {
    let bounds = |axis: fn(&(f64, f64)) -> f64| {
        let low = all.iter().map(axis).fold(f64::INFINITY, f64::min);
        let high = all.iter().map(axis).fold(f64::NEG_INFINITY, f64::max);
        let margin = (0.05 * (high - low)).max(1e-9);
        (low - margin)..(high + margin)
    };
    let root = SVGBackend::with_string(svg, (800, 500)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(bounds(|p| p.0), bounds(|p| p.1))?;
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
