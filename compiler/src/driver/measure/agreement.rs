//! How well a profile agrees with exact distortions, on a random sample of its options.

use super::{MeasureError, MeasureOptions, Subject};
use crate::budget::Random;
use crate::driver::images::feature_map;
use crate::profile::distortion::{Choice, Exact, Site};
use crate::profile::{Header, Layer, Profile, model_digest};

/// A sketch beside the exact distortion, on the same images.
pub struct Agreement {
    /// By layer of the profile: Spearman's correlation over the sampled options, and how many there
    /// were.
    pub layers: Vec<(f64, usize)>,
    /// Over all of them.
    pub overall: f64,
}

/// Measures random options exactly and correlates them with a profile's distortions.
///
/// # Errors
/// See [`MeasureError`]; and if the profile is of another model.
pub fn agreement(
    options: &MeasureOptions,
    profile: &Profile,
    sample: usize,
    mut progress: impl FnMut(usize),
) -> Result<Agreement, MeasureError> {
    let subject = Subject::load(options)?;
    options.limits.images_at_once(&subject.graph, subject.run(1))?;
    let header = &profile.header;
    if header.digest != model_digest(&subject.imported) {
        return Err(MeasureError::OtherModel(header.model.clone()));
    }
    check_layers(&header.layers, &subject.layers())?;
    let sites: Vec<Site> = subject
        .sites
        .iter()
        .zip(&header.layers)
        .map(|(site, layer)| Site {
            patches: layer.patches.clone(),
            ..site.clone()
        })
        .collect();
    let choices = draw(header, sample, options.seed);
    let exact = Exact::new(&subject.graph, &sites);
    let mut sums = vec![0.0; choices.len()];
    for image in 0..options.data.len() {
        let map = feature_map(options.data.get(image)?);
        let measured = exact.sample(&map, &choices);
        let measured = measured.map_err(|source| MeasureError::Image { image, source })?;
        for (sum, distortion) in sums.iter_mut().zip(measured) {
            *sum += distortion;
        }
        progress(image + 1);
    }
    let mut pairs = Vec::with_capacity(choices.len());
    let mut by_layer = vec![Vec::new(); header.layers.len()];
    for (choice, exact) in choices.iter().zip(sums) {
        let mean = &profile.summary.layers[choice.site].mean;
        let pair = (exact, mean[[choice.channel, choice.option]]);
        pairs.push(pair);
        by_layer[choice.site].push(pair);
    }
    Ok(Agreement {
        layers: by_layer
            .iter()
            .map(|pairs| (correlation(pairs), pairs.len()))
            .collect(),
        overall: correlation(&pairs),
    })
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let (exact, sketch): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    spearman(&exact, &sketch)
}

/// Holds a profile's layers against those that would be measured now, but for the patches: a header can
/// say anything beside the right digest.
fn check_layers(profile: &[Layer], model: &[Layer]) -> Result<(), MeasureError> {
    for at in 0..profile.len().max(model.len()) {
        let there = described(profile.get(at));
        let here = described(model.get(at));
        if there != here {
            return Err(MeasureError::OtherLayers { there, here });
        }
    }
    Ok(())
}

fn described(layer: Option<&Layer>) -> String {
    match layer {
        Some(layer) => format!(
            "the {:?} sign of \"{}\" on {} maps of {:?}",
            layer.sign, layer.name, layer.channels, layer.map
        ),
        None => "no further sign".to_owned(),
    }
}

/// Random options, as many of each layer.
fn draw(header: &Header, sample: usize, seed: u64) -> Vec<Choice> {
    let mut random = Random::new("Trefoil: options to measure exactly", seed);
    let each = sample.div_ceil(header.layers.len());
    let mut choices = Vec::new();
    for (site, layer) in header.layers.iter().enumerate() {
        for _ in 0..each.min(layer.options()) {
            choices.push(Choice {
                site,
                channel: random.below(layer.channels),
                option: random.below(layer.patches.len()),
            });
        }
    }
    choices
}

/// Spearman's rank correlation; ties share the mean of their ranks.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let a = ranks(a);
    let b = ranks(b);
    covariance(&a, &b) / (covariance(&a, &a) * covariance(&b, &b)).sqrt()
}

/// The sum of the products of two ranks, each less the mean rank: their covariance, but for a factor.
fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let mean = (a.len() as f64 - 1.0) / 2.0;
    a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum()
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    for ties in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let first = order.partition_point(|&i| values[i].total_cmp(&values[ties[0]]).is_lt());
        for &at in ties {
            ranks[at] = first as f64 + (ties.len() as f64 - 1.0) / 2.0;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_correlation_follows_the_definition() {
        assert!((spearman(&[1.0, 2.0, 9.0], &[3.0, 5.0, 6.0]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        // Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3.
        let tied = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        assert!((tied - 0.948_683_298).abs() < 1e-9);
    }
}
