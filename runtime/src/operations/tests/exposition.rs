//! A strict reader of OpenMetrics text, after the rules that its specification has for whoever writes
//! it. It takes the kinds of metrics that are used here, and no others.

use std::collections::{BTreeMap, BTreeSet};

/// Labels by name.
type Labels = BTreeMap<String, String>;

/// A metric family that has been announced.
struct Family {
    name: String,
    help: bool,
    kind: Option<Kind>,
    unit: bool,
    sampled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// All samples of a scrape, by name and labels.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Exposition(BTreeMap<(String, Labels), f64>);

impl Exposition {
    /// Reads a scrape.
    ///
    /// # Errors
    /// If it breaks a rule: which one, and where.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let lines = text
            .strip_suffix("# EOF\n")
            .ok_or("it does not end with `# EOF`")?;
        if !lines.is_empty() && !lines.ends_with('\n') {
            return Err("its last line has no end".to_owned());
        }
        let mut reader = Reader::default();
        for line in lines.lines() {
            reader.line(line).map_err(|why| format!("{why}: {line}"))?;
        }
        reader.finish()?;
        reader.all.histograms(&reader.seen)?;
        Ok(reader.all)
    }

    /// The value of a sample, of which all labels are given.
    pub(super) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        self.0.get(&(name.to_owned(), labels.collect())).copied()
    }

    /// How many samples bear a name.
    pub(super) fn count(&self, name: &str) -> usize {
        self.0.keys().filter(|(one, _)| one == name).count()
    }

    /// The sum of all samples of a name.
    pub(super) fn sum(&self, name: &str) -> f64 {
        let of_name = self.0.iter().filter(|((one, _), _)| one == name);
        of_name.map(|(_, value)| value).sum()
    }

    /// Buckets must count upwards, up to one without a bound that counts all.
    fn histograms(&self, families: &BTreeMap<String, Kind>) -> Result<(), String> {
        for (name, _) in families.iter().filter(|(_, kind)| **kind == Kind::Histogram) {
            let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((one, labels), &value) in &self.0 {
                if *one == format!("{name}_bucket") {
                    let mut labels = labels.clone();
                    let bound = labels
                        .remove("le")
                        .ok_or(format!("a bucket of {name} has no bound"))?;
                    buckets.entry(labels).or_default().push((number(&bound)?, value));
                }
            }
            for (labels, mut buckets) in buckets {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                let all = self.0.get(&(format!("{name}_count"), labels.clone())).copied();
                let last = buckets.last().copied();
                if all.is_none() || last != all.map(|all| (f64::INFINITY, all)) {
                    return Err(format!(
                        "{name}: its last bucket {last:?} does not count all, {all:?}"
                    ));
                }
                if !buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) {
                    return Err(format!("{name}: its buckets do not count upwards"));
                }
                if !self.0.contains_key(&(format!("{name}_sum"), labels)) {
                    return Err(format!("{name}: it has no sum"));
                }
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Reader {
    family: Option<Family>,
    seen: BTreeMap<String, Kind>,
    all: Exposition,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        match line.strip_prefix("# ") {
            Some(about) => self.about(about),
            None if line.starts_with('#') || line.is_empty() => Err("no such line is allowed".to_owned()),
            None => self.sample(line),
        }
    }

    /// A line about a family. All of these stand before its first sample.
    fn about(&mut self, line: &str) -> Result<(), String> {
        let mut parts = line.splitn(3, ' ');
        let (Some(what), Some(name), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("something is missing".to_owned());
        };
        let family = self.family_of(name)?;
        if family.sampled {
            return Err("this comes behind a sample".to_owned());
        }
        let twice = match what {
            "HELP" => std::mem::replace(&mut family.help, true),
            "UNIT" if !name.ends_with(&format!("_{text}")) => {
                return Err("the name lacks its unit".to_owned());
            }
            "UNIT" => std::mem::replace(&mut family.unit, true),
            "TYPE" => family.kind.replace(Kind::read(text)?).is_some(),
            _ => return Err("no such word is known".to_owned()),
        };
        match what {
            _ if twice => Err("this was said before".to_owned()),
            "HELP" if text.is_empty() || text.ends_with("..") => Err("this helps nobody".to_owned()),
            _ => Ok(()),
        }
    }

    /// The current family, or a new one of this name.
    fn family_of(&mut self, name: &str) -> Result<&mut Family, String> {
        if !is_name(name, true) {
            return Err("this is no name of a metric".to_owned());
        }
        if self.family.as_ref().is_none_or(|family| family.name != name) {
            self.finish()?;
            if self.seen.contains_key(name) {
                return Err("its family was there before".to_owned());
            }
            self.family = Some(Family {
                name: name.to_owned(),
                help: false,
                kind: None,
                unit: false,
                sampled: false,
            });
        }
        self.family.as_mut().ok_or_else(|| "no family".to_owned())
    }

    /// The current family is complete.
    fn finish(&mut self) -> Result<(), String> {
        match self.family.take() {
            None => Ok(()),
            Some(Family {
                name,
                help: true,
                kind: Some(kind),
                ..
            }) => {
                self.seen.insert(name, kind);
                Ok(())
            }
            Some(family) => Err(format!("{} has no HELP or no TYPE", family.name)),
        }
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let end = line.find(['{', ' ']).ok_or("it has no value")?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Labels::new(), rest),
        };
        let value = number(rest.strip_prefix(' ').ok_or("no blank before the value")?)?;
        let family = self.family.as_mut().ok_or("it belongs to no family")?;
        let kind = family.kind.ok_or("its family has no TYPE")?;
        family.sampled = true;
        let suffix = name
            .strip_prefix(family.name.as_str())
            .ok_or("it is of another family")?;
        kind.check(suffix, &labels, value)?;
        match self.all.0.insert((name.to_owned(), labels), value) {
            Some(_) => Err("it was there before".to_owned()),
            None => Ok(()),
        }
    }
}

impl Kind {
    fn read(text: &str) -> Result<Self, String> {
        Ok(match text {
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "histogram" => Kind::Histogram,
            "info" => Kind::Info,
            _ => return Err("no such type is known".to_owned()),
        })
    }

    fn check(self, suffix: &str, labels: &Labels, value: f64) -> Result<(), String> {
        let fits = match self {
            Kind::Counter => suffix == "_total" && value >= 0.0 && value.is_finite(),
            Kind::Gauge => suffix.is_empty() && !value.is_nan(),
            Kind::Info => suffix == "_info" && value == 1.0,
            Kind::Histogram => match suffix {
                "_bucket" => labels.contains_key("le") && is_count(value),
                "_count" => is_count(value),
                "_sum" => value >= 0.0,
                _ => false,
            },
        };
        match fits {
            true if suffix == "_bucket" || !labels.contains_key("le") => Ok(()),
            _ => Err("it does not fit its type".to_owned()),
        }
    }
}

fn is_count(value: f64) -> bool {
    value >= 0.0 && value.fract() == 0.0
}

/// Labels up to the closing brace, and what stands behind it.
fn labels(text: &str) -> Result<(Labels, &str), String> {
    let (mut labels, mut rest) = (Labels::new(), text);
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label has no value")?;
        let (value, after) = quoted(after)?;
        if !is_name(name, false) || labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("`{name}` is no name of a label, or is there twice"));
        }
        match (after.strip_prefix('}'), after.strip_prefix(',')) {
            (Some(after), _) => return Ok((labels, after)),
            (None, Some(after)) => rest = after,
            (None, None) => return Err("a label does not end".to_owned()),
        }
    }
}

/// A value up to the closing quotation mark, and what stands behind it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        value.push(match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match letters.next() {
                Some((_, 'n')) => '\n',
                Some((_, plain @ ('"' | '\\'))) => plain,
                _ => return Err("a wrong escape".to_owned()),
            },
            plain => plain,
        });
    }
    Err("a value does not end".to_owned())
}

fn is_name(text: &str, colons: bool) -> bool {
    let first = |letter: char| letter.is_ascii_alphabetic() || letter == '_' || (colons && letter == ':');
    text.starts_with(first)
        && text
            .chars()
            .all(|letter| first(letter) || letter.is_ascii_digit())
}

fn number(text: &str) -> Result<f64, String> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        // Rust reads words as well.
        _ if text.contains(|letter: char| letter.is_ascii_alphabetic() && letter != 'e') => {
            Err(format!("`{text}` is no number"))
        }
        _ => text.parse().map_err(|_| format!("`{text}` is no number")),
    }
}

const GOOD: &str = "\
# HELP a_seconds Time.
# TYPE a_seconds histogram
# UNIT a_seconds seconds
a_seconds_sum{x=\"1\"} 2.5
a_seconds_count{x=\"1\"} 3
a_seconds_bucket{le=\"1.0\",x=\"1\"} 1
a_seconds_bucket{le=\"+Inf\",x=\"1\"} 3
# HELP b Things.
# TYPE b counter
b_total{x=\"\\\\ \\\" \\n { } , é\"} 7
b_total 1e5
# EOF
";

#[test]
fn the_reader_takes_what_is_right() {
    let read = Exposition::read(GOOD).unwrap();
    assert_eq!(read.get("b_total", &[("x", "\\ \" \n { } , é")]), Some(7.0));
    assert_eq!(read.get("b_total", &[]), Some(1e5));
    assert_eq!(
        read.get("a_seconds_bucket", &[("le", "1.0"), ("x", "1")]),
        Some(1.0)
    );
    assert_eq!((read.count("b_total"), read.sum("b_total")), (2, 100_007.0));
}

#[test]
fn the_reader_refuses_whatever_is_wrong() {
    let faults = BTreeSet::from([
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF\n# EOF\n"),
        ("# EOF\n", "# EOF"),
        ("# HELP b Things.\n", ""),
        ("# TYPE b counter\n", ""),
        ("# TYPE b counter", "# TYPE b heap"),
        ("# TYPE b counter", "# TYPE b counter\n# TYPE b counter"),
        ("# TYPE b counter", "# TYPE b gauge"),
        ("# UNIT a_seconds seconds", "# UNIT a_seconds bytes"),
        ("# HELP b", "\n# HELP b"),
        ("# HELP b", "#HELP b"),
        ("b_total 1e5", "b 1e5"),
        ("b_total 1e5", "b_total -1"),
        ("b_total 1e5", "b_total inf"),
        ("b_total 1e5", "b_total NaN"),
        ("b_total 1e5", "b_total  1"),
        ("b_total 1e5", "b_total"),
        ("b_total 1e5", "b_total 1\nb_total 1"),
        ("b_total 1e5", "b_total{} 1"),
        ("b_total 1e5", "b_total{x=\"1} 1"),
        ("b_total 1e5", "b_total{x=\"\\x\"} 1"),
        ("b_total 1e5", "b_total{x=\"1\"y=\"1\"} 1"),
        ("b_total 1e5", "b_total{x=\"1\",x=\"2\"} 1"),
        ("b_total 1e5", "b_total{1x=\"1\"} 1"),
        ("b_total 1e5", "b_total{x:=\"1\"} 1"),
        ("b_total 1e5", "a_seconds_sum 1"),
        ("b_total 1e5", "# HELP b More."),
        ("# HELP b Things.", "# HELP b-c Things."),
        (
            "\nb_total 1e5",
            "\n# HELP a_seconds Time.\n# TYPE a_seconds gauge",
        ),
        ("a_seconds_count{x=\"1\"} 3\n", ""),
        ("a_seconds_count{x=\"1\"} 3\n", "a_seconds_count{x=\"1\"} 4\n"),
        ("a_seconds_sum{x=\"1\"} 2.5\n", ""),
        ("a_seconds_bucket{le=\"+Inf\",x=\"1\"} 3\n", ""),
        ("le=\"1.0\",x=\"1\"} 1", "le=\"1.0\",x=\"1\"} 4"),
        ("le=\"1.0\",x=\"1\"} 1", "le=\"1.0\",x=\"1\"} 0.5"),
        ("le=\"1.0\",", ""),
    ]);
    for (right, wrong) in faults {
        let text = GOOD.replacen(right, wrong, 1);
        assert_ne!(text, GOOD, "{right} does not occur");
        assert!(Exposition::read(&text).is_err(), "{wrong} was taken:\n{text}");
    }
}
