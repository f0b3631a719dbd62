//! Running a tail, and reading a class off its result.

use super::along::best;
use super::array::{Array, DType, Type};
use super::elementwise::Unary;
use super::{Op, Step, Tail};

/// What one image comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// What the client learns: the value in front of the tail, without the batch's dimension.
    pub logits: Array,
    /// The network's own output, without the batch's dimension where it has one.
    pub output: Array,
    /// Scores and class, unless the output is a map.
    read: Option<(Vec<f64>, usize)>,
}

impl Prediction {
    /// A score for each class, the best one the largest: the output itself, what the last ArgMax or
    /// TopK chose from (negated where it chose the smallest), or the two classes that a single
    /// probability stands for. `None` of a map, whose pixels have classes of their own.
    pub fn scores(&self) -> Option<&[f64]> {
        self.read.as_ref().map(|(scores, _)| &scores[..])
    }

    /// The class: the first of the best scores, or the last where the network says so.
    pub fn class(&self) -> Option<usize> {
        self.read.as_ref().map(|(_, class)| *class)
    }
}

/// Where a tail's result tells a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// Nowhere: it is a map.
    None,
    /// A value holds one score for each of so many classes.
    Of {
        /// Index of the value: 0 are the logits, `i + 1` is the result of step `i`.
        value: usize,
        /// Number of classes, which is that of the value's elements.
        classes: usize,
        /// Whether the largest is the best.
        largest: bool,
        /// Whether the last among equals is chosen.
        last: bool,
    },
    /// The output is the probability of class 1.
    Probability,
}

impl Scores {
    /// How many classes there are; `None` of a map.
    pub fn classes(self) -> Option<usize> {
        match self {
            Scores::None => None,
            Scores::Of { classes, .. } => Some(classes),
            Scores::Probability => Some(2),
        }
    }

    /// The scores and the class.
    fn read(self, values: &[Option<Array>]) -> Option<(Vec<f64>, usize)> {
        match self {
            Scores::None => None,
            Scores::Of {
                value, largest, last, ..
            } => {
                let lane = &values.get(value)?.as_ref()?.values;
                let scores = lane.iter().map(|&v| if largest { v } else { -v });
                Some((scores.collect(), best(lane, largest, last)))
            }
            Scores::Probability => {
                let output = values.last()?.as_ref()?;
                let p = *output.values.first()?;
                let scores = vec![1.0 - p, p];
                let class = best(&scores, true, false);
                Some((scores, class))
            }
        }
    }
}

impl Tail {
    /// Runs the tail on the logits of one image.
    ///
    /// # Panics
    /// If the tail has not been [checked](Self::check) for so many logits.
    pub fn run(&self, logits: &[f32]) -> Prediction {
        let types = self.types().expect("a tail is checked before it is used");
        assert_eq!(
            types[0].volume(),
            Some(logits.len()),
            "a tail is run on its logits"
        );
        let scores = self.scores();
        let mut uses = self.uses(scores);
        let mut values: Vec<Option<Array>> = Vec::with_capacity(types.len());
        values.push(Some(Array {
            dims: types[0].dims.clone(),
            dtype: types[0].dtype,
            values: logits.iter().map(|&v| f64::from(v)).collect(),
        }));
        for (step, ty) in self.steps.iter().zip(&types[1..]) {
            let operands: Vec<&Array> = step.args.iter().filter_map(|&a| values[a].as_ref()).collect();
            let result = step.op.eval(&operands, ty);
            for &arg in &step.args {
                uses[arg] -= 1;
                if uses[arg] == 0 {
                    values[arg] = None;
                }
            }
            values.push(Some(result));
        }
        let last = types.len() - 1;
        Prediction {
            logits: row(values[0].as_ref(), &types[0]),
            output: row(values[last].as_ref(), &types[last]),
            read: scores.read(&values),
        }
    }

    /// How often each value is read: by steps, and once more where the prediction needs it. All others
    /// go with their last reader.
    fn uses(&self, scores: Scores) -> Vec<usize> {
        let output = self.steps.len();
        let mut uses = vec![0; output + 1];
        for &arg in self.steps.iter().flat_map(|step| &step.args) {
            uses[arg] += 1;
        }
        uses[0] += 1;
        uses[output] += 1;
        if let Scores::Of { value, .. } = scores {
            uses[value] += 1;
        }
        uses
    }

    /// Where the result tells a class.
    ///
    /// # Panics
    /// If the tail has not been [checked](Self::check).
    pub fn scores(&self) -> Scores {
        let types = self.types().expect("a tail is checked before it is used");
        let output = types.len() - 1;
        let origin = self.origin_of_output(&types);
        let (value, largest, last) = match origin {
            Origin::Decision { value, largest, last } => (value, largest, last),
            Origin::Squashed | Origin::Plain => (output, true, false),
        };
        let ty = &types[value];
        let wide = ty.row_dims().iter().filter(|&&dim| dim != 1).count();
        if wide > 1 {
            return Scores::None;
        }
        match ty.volume() {
            Some(1) if origin == Origin::Squashed => Scores::Probability,
            Some(classes) => Scores::Of {
                value,
                classes,
                largest,
                last,
            },
            None => Scores::None,
        }
    }

    /// Walks from the output towards the logits, up to the last decision.
    fn origin_of_output(&self, types: &[Type]) -> Origin {
        let mut at = types.len() - 1;
        let mut is_squashed = false;
        // Whether what lies between is no more than a threshold or another form.
        let mut is_plain = true;
        while let Some(Step { op, args }) = at.checked_sub(1).map(|step| &self.steps[step]) {
            match op {
                Op::Arg { largest, last, .. } => return Origin::decision(args[0], *largest, *last),
                Op::TopK { largest, .. } => return Origin::decision(args[0], *largest, false),
                Op::Unary(Unary::Sigmoid) | Op::HardSigmoid { .. } => is_squashed |= is_plain,
                Op::Cast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Unary(Unary::Round) => {}
                _ => is_plain &= types[at].dtype == DType::Bool,
            }
            // Of two operands, the one that is more than a number.
            let Some(&next) = args.iter().rev().max_by_key(|&&arg| types[arg].volume()) else {
                break;
            };
            at = next;
        }
        if is_squashed {
            Origin::Squashed
        } else {
            Origin::Plain
        }
    }
}

/// What a tail's output comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A step chooses among the elements of a value.
    Decision { value: usize, largest: bool, last: bool },
    /// A sigmoid, and behind it no more than a threshold or another form.
    Squashed,
    /// Neither.
    Plain,
}

impl Origin {
    fn decision(value: usize, largest: bool, last: bool) -> Self {
        Self::Decision { value, largest, last }
    }
}

/// A value that was kept, without the batch's dimension.
fn row(kept: Option<&Array>, ty: &Type) -> Array {
    let array = kept.expect("what a prediction needs has a use of its own");
    Array {
        dims: ty.row_dims().to_vec(),
        ..array.clone()
    }
}
