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
        /// The value.
        value: usize,
        /// How many classes.
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
        let of = |at: usize| values.get(at)?.as_ref();
        match self {
            Scores::None => None,
            Scores::Of {
                value, largest, last, ..
            } => {
                let lane = &of(value)?.values;
                let scores = lane.iter().map(|&v| if largest { v } else { -v });
                Some((scores.collect(), best(lane, largest, last)))
            }
            Scores::Probability => {
                let p = *of(values.len() - 1)?.values.first()?;
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
        let reading = self.scores();
        let last = types.len() - 1;
        let scores = |at: usize| matches!(reading, Scores::Of { value, .. } if value == at);
        // What is asked for is kept; all others go with their last reader.
        let mut uses: Vec<usize> = (0..=last)
            .map(|at| usize::from(at == 0 || at == last || scores(at)))
            .collect();
        let read = self.steps.iter().flat_map(|step| &step.args);
        read.for_each(|&arg| uses[arg] += 1);
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
        let row = |array: &Array, ty: &Type| Array {
            dims: ty.row_dims().to_vec(),
            ..array.clone()
        };
        let kept = |at: usize| values[at].as_ref().expect("it has a use of its own");
        Prediction {
            logits: row(kept(0), &types[0]),
            output: row(kept(last), &types[last]),
            read: reading.read(&values),
        }
    }

    /// Where the result tells a class.
    ///
    /// # Panics
    /// If the tail has not been [checked](Self::check).
    pub fn scores(&self) -> Scores {
        let types = self.types().expect("a tail is checked before it is used");
        let output = types.len() - 1;
        let (decision, squashed) = self.origin_of_output(&types);
        let (value, largest, last) = decision.unwrap_or((output, true, false));
        let ty = &types[value];
        let wide = ty.row_dims().iter().filter(|&&dim| dim != 1).count();
        if wide > 1 {
            return Scores::None;
        }
        match ty.volume() {
            Some(1) if decision.is_none() && squashed => Scores::Probability,
            Some(classes) => Scores::Of {
                value,
                classes,
                largest,
                last,
            },
            None => Scores::None,
        }
    }

    /// Walks from the output towards the logits: the operand of the last decision with its
    /// direction, and whether a sigmoid lies on the way.
    fn origin_of_output(&self, types: &[Type]) -> (Option<(usize, bool, bool)>, bool) {
        let mut at = types.len() - 1;
        // Whether what lies between is no more than a threshold or another form.
        let (mut squashed, mut plain) = (false, true);
        while let Some(Step { op, args }) = at.checked_sub(1).map(|step| &self.steps[step]) {
            match op {
                Op::Arg { largest, last, .. } => return (Some((args[0], *largest, *last)), squashed),
                Op::TopK { largest, .. } => return (Some((args[0], *largest, false)), squashed),
                Op::Unary(Unary::Sigmoid) | Op::HardSigmoid { .. } => squashed |= plain,
                Op::Cast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Unary(Unary::Round) => {}
                _ => plain &= types[at].dtype == DType::Bool,
            }
            // Of two operands, the one that is more than a number.
            let wider = |arg: &&usize| types[**arg].volume();
            let Some(&next) = args.iter().rev().max_by_key(wider) else {
                break;
            };
            at = next;
        }
        (None, squashed)
    }
}
