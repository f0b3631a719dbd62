//! Block-ReLU: spatially close pixels share one sign.

use serde::{Deserialize, Serialize};

use super::class::{Class, GateView};
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::{Patch, Patches, Shape};
use crate::nn::eval::{FeatureMap, patch_sums, signs};
use crate::text::{AttrError, Attrs};

/// `y = x * [sum of x over its patch > 0]`, one patch size per channel (Gorski et al.).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockRelu {
    /// One patch per channel.
    pub patches: Patches,
}

pub(super) fn check_patches(patches: &Patches, shape: Shape) -> Result<(), OpError> {
    if patches.len() != shape.c {
        return mismatch(format!(
            "{} patches are given for {} channels",
            patches.len(),
            shape.c
        ));
    }
    match patches.iter().position(|p| !p.fits(shape)) {
        None => Ok(()),
        Some(c) => mismatch(format!(
            "the patch {} of channel {c} does not fit a map of {}x{}",
            patches[c], shape.h, shape.w
        )),
    }
}

impl Rule for BlockRelu {
    const NAME: &'static str = "block_relu";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        check_patches(&self.patches, inputs[0])?;
        Ok(inputs[0])
    }

    fn class(&self) -> Class<'_> {
        Class::Gate(GateView {
            low: 0.0,
            lower: Some(&self.patches),
            upper: None,
        })
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with("patches", self.patches.clone())
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            patches: attrs.require("patches")?,
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let mut values = inputs[0].values().to_vec();
        for (channel, patch) in values.chunks_mut(output.plane()).zip(&self.patches) {
            gate_channel(channel, *patch, output);
        }
        FeatureMap::new(output, values)
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let mut values = gradient.values().to_vec();
        let planes = values
            .chunks_mut(gradient.shape().plane())
            .zip(inputs[0].channels());
        for ((channel, x), patch) in planes.zip(&self.patches) {
            let open = signs(x, *patch, 0.0, true, gradient.shape());
            let closed = channel.iter_mut().zip(open).filter(|(_, open)| !open);
            closed.for_each(|(g, _)| *g = 0.0);
        }
        vec![FeatureMap::new(gradient.shape(), values)]
    }
}

fn gate_channel(channel: &mut [f32], patch: Patch, shape: Shape) {
    let Patch::Block { h, w } = patch else { return };
    let sums = patch_sums(channel, patch, shape.h, shape.w);
    let columns = shape.w.div_ceil(usize::from(w));
    for (i, value) in channel.iter_mut().enumerate() {
        let at = (i / shape.w / usize::from(h)) * columns + (i % shape.w) / usize::from(w);
        if sums[at] <= 0.0 {
            *value = 0.0;
        }
    }
}
