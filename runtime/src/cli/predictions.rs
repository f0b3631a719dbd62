//! What the client is told of each image: the likeliest classes, with their names, scores and
//! probabilities, as text, CSV or lines of JSON. Of a network whose output is a map: which classes take
//! how much of it.
//!
//! A score is what the network's class is the best of: its output, or what its last ArgMax or TopK
//! chose from. It is a probability where a softmax or a sigmoid made it one; where the network ends in
//! logits, probabilities are their softmax. Of other scores there are none.

use std::cmp::{Ordering, Reverse};

use clap::ValueEnum;
use serde::Serialize;
use trefoil_ir::tail::{Array, Op, Prediction as Result, Scores, Tail};
use trefoil_ir::text::printable;

/// How predictions are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people, and a summary below.
    #[default]
    Text,
    /// A line a prediction, and a header; the summary goes to the standard error.
    Csv,
    /// A JSON object an image; the summary goes to the standard error.
    Jsonl,
}

/// One image's output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction<'a> {
    /// The image's file, or its number.
    pub name: String,
    /// The class that it is labelled with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<usize>,
    /// What was found.
    #[serde(flatten)]
    pub found: Found<'a>,
}

/// What the network says of an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Found<'a> {
    /// What is said of the image as a whole.
    Classes {
        /// The likeliest, best first.
        top: Vec<Class<'a>>,
    },
    /// What is said of its pixels, each of which has a class.
    Map {
        /// Dimensions of the output.
        map: Vec<usize>,
        /// The classes that are the likeliest at the most pixels; none where there is one channel.
        shares: Vec<Share<'a>>,
    },
}

/// A class of an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class<'a> {
    /// Its number, from 0.
    pub class: usize,
    /// Its name, if the plan has names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// What the network says of it.
    pub score: f64,
    /// How likely it is; none where the scores do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
}

/// A class of a map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share<'a> {
    /// Its number, from 0.
    pub class: usize,
    /// Its name, if the plan has names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// The part of the pixels at which its logit is the greatest.
    pub share: f64,
}

impl<'a> Found<'a> {
    /// The `top` likeliest of the classes with these names, from what an image came to.
    pub fn new(result: &Result, tail: &Tail, names: &'a [String], top: usize) -> Self {
        let Some((scores, best)) = result.scores().zip(result.class()) else {
            let shares = shares(&result.logits).into_iter().take(top);
            return Found::Map {
                map: result.output.dims.clone(),
                shares: shares
                    .map(|(class, share)| Share {
                        class,
                        name: name_of(names, class),
                        share,
                    })
                    .collect(),
            };
        };
        let probabilities = Meaning::of(tail).probabilities(scores);
        let likeliest = ranked(scores, best).into_iter().take(top);
        Found::Classes {
            top: likeliest
                .map(|class| Class {
                    class,
                    name: name_of(names, class),
                    score: scores[class],
                    probability: probabilities.as_ref().map(|all| all[class]),
                })
                .collect(),
        }
    }
}

/// The name of a class, if there are names.
fn name_of(names: &[String], class: usize) -> Option<&str> {
    names.get(class).map(String::as_str)
}

/// What the scores of a network are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Logits,
    Probabilities,
    LogProbabilities,
    Other,
}

impl Meaning {
    fn of(tail: &Tail) -> Self {
        let (value, classes) = match tail.scores() {
            Scores::Probability => return Meaning::Probabilities,
            Scores::Of {
                largest: true,
                value,
                classes,
                ..
            } => (value, classes),
            Scores::Of { .. } | Scores::None => return Meaning::Other,
        };
        // One number is no choice.
        if classes < 2 {
            return Meaning::Other;
        }
        let mut at = value;
        while let Some(step) = at.checked_sub(1).map(|step| &tail.steps[step]) {
            match step.op {
                Op::Softmax { log: false, .. } => return Meaning::Probabilities,
                Op::Softmax { log: true, .. } => return Meaning::LogProbabilities,
                Op::Cast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Expand(_) => at = step.args[0],
                Op::Number(..)
                | Op::Unary(_)
                | Op::HardSigmoid { .. }
                | Op::Binary(_)
                | Op::Reduce { .. }
                | Op::Arg { .. }
                | Op::TopK { .. } => return Meaning::Other,
            }
        }
        Meaning::Logits
    }

    fn probabilities(self, scores: &[f64]) -> Option<Vec<f64>> {
        match self {
            Meaning::Logits => Some(softmax(scores)),
            Meaning::Probabilities => Some(scores.to_vec()),
            Meaning::LogProbabilities => Some(scores.iter().map(|score| score.exp()).collect()),
            Meaning::Other => None,
        }
    }
}

/// `exp(x) / Σ exp(x)`, in floats that do not overflow.
fn softmax(logits: &[f64]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - greatest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// All classes, the network's own choice first, then by falling score; equals in their order, NaN last.
fn ranked(scores: &[f64], best: usize) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..scores.len()).collect();
    classes.sort_by(|&a, &b| {
        let greater = scores[b].partial_cmp(&scores[a]).unwrap_or(Ordering::Equal);
        let chosen = (b == best).cmp(&(a == best));
        chosen
            .then(scores[a].is_nan().cmp(&scores[b].is_nan()))
            .then(greater)
    });
    classes
}

/// At which part of the pixels of a map `[classes, height, width]` each class is the likeliest, the most
/// frequent first; classes that are nowhere are left out.
fn shares(logits: &Array) -> Vec<(usize, f64)> {
    let [classes, height, width] = logits.dims[..] else {
        return Vec::new();
    };
    if classes < 2 {
        return Vec::new();
    }
    let plane = height * width;
    let mut counts = vec![0usize; classes];
    for pixel in 0..plane {
        counts[likeliest_at(logits, plane, pixel)] += 1;
    }
    let mut found: Vec<(usize, usize)> = counts.into_iter().enumerate().filter(|&(_, n)| n > 0).collect();
    found.sort_by_key(|&(_, count)| Reverse(count));
    let shares = found.into_iter();
    shares
        .map(|(class, count)| (class, count as f64 / plane as f64))
        .collect()
}

/// The class whose logit is the greatest at a pixel of a map of `plane` pixels, of equals the first.
fn likeliest_at(logits: &Array, plane: usize, pixel: usize) -> usize {
    let of_classes = logits.values[pixel..].iter().step_by(plane).enumerate();
    let best = of_classes.reduce(|best, one| if one.1 > best.1 { one } else { best });
    best.map_or(0, |(class, _)| class)
}

/// A class of an image or a map, as tables have it.
struct Line<'a> {
    class: usize,
    name: Option<&'a str>,
    score: Option<f64>,
    /// Its probability, or its share of the pixels.
    part: Option<f64>,
}

impl<'a> Found<'a> {
    fn lines(&self) -> Vec<Line<'a>> {
        match self {
            Found::Classes { top } => top.iter().map(Line::of_class).collect(),
            Found::Map { shares, .. } => shares.iter().map(Line::of_share).collect(),
        }
    }
}

impl<'a> Line<'a> {
    fn of_class(class: &Class<'a>) -> Self {
        Self {
            class: class.class,
            name: class.name,
            score: Some(class.score),
            part: class.probability,
        }
    }

    fn of_share(share: &Share<'a>) -> Self {
        Self {
            class: share.class,
            name: share.name,
            score: None,
            part: Some(share.share),
        }
    }
}

/// Writes predictions, one after the other, all in one form.
pub struct Writer {
    format: Format,
    /// Whether the output is a map.
    map: bool,
    /// Whether there are labels to show.
    labelled: bool,
    /// Width in characters of the column of images.
    image: usize,
    /// Width in characters of the column of class names, if there are names.
    class_name: Option<usize>,
}

/// The widest column of names that is kept aligned, in characters.
const WIDEST: usize = 40;

/// The headings of the columns of images and of class names.
const IMAGE: &str = "image";
const NAME: &str = "name";

/// Characters of a name, as it is printed.
fn printed_chars(name: &str) -> usize {
    printable(name).chars().count()
}

impl Writer {
    /// A writer of predictions for images of these names, of a network with classes of these names.
    pub fn new(
        format: Format,
        map: bool,
        labelled: bool,
        images: impl Iterator<Item = String>,
        classes: &[String],
    ) -> Self {
        let widest_image = images.map(|name| printed_chars(&name)).max().unwrap_or(0);
        let widest_name = classes.iter().map(|name| printed_chars(name)).max();
        Self {
            format,
            map,
            labelled: labelled && !map,
            image: widest_image.clamp(IMAGE.len(), WIDEST),
            class_name: widest_name.map(|widest| widest.clamp(NAME.len(), WIDEST)),
        }
    }

    /// What stands above all predictions, with its line end.
    pub fn header(&self) -> String {
        let part = if self.map { "share" } else { "probability" };
        match self.format {
            Format::Text => self.row(IMAGE, "label", "class", NAME, part),
            Format::Csv if self.map => csv_line(&["name", "rank", "class", "class_name", part]),
            Format::Csv => csv_line(&["name", "label", "rank", "class", "class_name", "score", part]),
            Format::Jsonl => String::new(),
        }
    }

    /// One image, with the line ends.
    pub fn image(&self, prediction: &Prediction<'_>) -> String {
        match self.format {
            Format::Text => self.text(prediction),
            Format::Csv => self.csv(prediction),
            // The types above have nothing that JSON has not.
            Format::Jsonl => serde_json::to_string(prediction).unwrap_or_default() + "\n",
        }
    }

    /// The image's name is said once, and the classes below each other.
    fn text(&self, prediction: &Prediction<'_>) -> String {
        let name = printable(&prediction.name);
        if let Found::Map { map, shares } = &prediction.found
            && shares.is_empty()
        {
            let dims: Vec<String> = map.iter().map(ToString::to_string).collect();
            return format!("{name:<width$}  map {}\n", dims.join(" x "), width = self.image);
        }
        let mut image = name.as_ref();
        let mut label = prediction.label.map_or("-".to_owned(), |label| label.to_string());
        let mut rows = String::new();
        for line in prediction.found.lines() {
            let part = match line.part {
                Some(part) => format!("{:.2}%", 100.0 * part),
                None => line.score.unwrap_or(f64::NAN).to_string(),
            };
            let class_name = printable(line.name.unwrap_or_default());
            rows += &self.row(image, &label, &line.class.to_string(), &class_name, &part);
            image = "";
            label.clear();
        }
        rows
    }

    fn row(&self, image: &str, label: &str, class: &str, name: &str, part: &str) -> String {
        let mut row = format!("{image:<width$}", width = self.image);
        if self.labelled {
            row += &format!("  {label:>5}");
        }
        row += &format!("  {class:>5}");
        if let Some(width) = self.class_name {
            row += &format!("  {name:<width$}");
        }
        row + &format!("  {part:>11}\n")
    }

    fn csv(&self, prediction: &Prediction<'_>) -> String {
        let image = &prediction.name;
        let label = text_of(prediction.label);
        let mut lines = String::new();
        for (at, line) in prediction.found.lines().into_iter().enumerate() {
            let rank = (at + 1).to_string();
            let class = line.class.to_string();
            let name = line.name.unwrap_or_default();
            let part = text_of(line.part);
            lines += &if self.map {
                csv_line(&[image, &rank, &class, name, &part])
            } else {
                let score = text_of(line.score);
                csv_line(&[image, &label, &rank, &class, name, &score, &part])
            };
        }
        lines
    }
}

/// A number as a CSV field, which is empty where there is none.
fn text_of(number: Option<impl ToString>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn csv_line(fields: &[&str]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Memory takes every record, and what was text stays text.
    let _ = writer.write_record(fields);
    writer
        .into_inner()
        .ok()
        .and_then(|line| String::from_utf8(line).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
