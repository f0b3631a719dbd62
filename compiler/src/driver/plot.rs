//! A trade-off as an SVG picture.

use plotters::prelude::*;

use super::sweep::Point;

/// Draws accuracy over the share of DReLUs (or, without labels, predicted distortion), a line per
/// series.
///
/// # Errors
/// A sentence, if there is nothing to draw.
pub fn draw(points: &[Point]) -> Result<String, String> {
    let top1 = |p: &Point| p.top1.or(p.top1_f32).map(|t| 100.0 * t);
    let measured = points.iter().any(|p| top1(p).is_some());
    let value = |p: &Point| if measured { top1(p) } else { Some(p.distortion) };
    let place = |p: &Point| Some((100.0 * p.share, value(p).filter(|v| v.is_finite())?));
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
    paint(&mut svg, &series, &all, label).map_err(|e| format!("the picture cannot be drawn: {e}"))?;
    Ok(svg)
}

type Drawing = Result<(), Box<dyn std::error::Error>>;

fn paint(svg: &mut String, series: &[(&str, Vec<(f64, f64)>)], all: &[(f64, f64)], label: &str) -> Drawing {
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
    chart.configure_mesh().x_desc("DReLUs (%)").y_desc(label).draw()?;
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
            goal: String::new(),
            share,
            drelus: 0,
            bytes: 0,
            online_bytes: 0,
            seconds_lan: 0.0,
            distortion: f64::NAN,
            top1_f32: None,
            top1,
            difference: None,
            breaches: None,
            right: Vec::new(),
        }
    }

    #[test]
    fn every_series_is_named_and_nothing_drawn_of_nothing() {
        let points = [point("additive", 0.5, Some(0.8)), point("joint", 0.5, Some(0.9))];
        let svg = draw(&points).unwrap();
        assert!(svg.contains("additive") && svg.contains("joint") && svg.contains("top-1 (%)"));
        assert!(draw(&[point("uniform", 0.5, None)]).is_err());
    }
}
