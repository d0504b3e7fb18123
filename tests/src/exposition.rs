//! Pages of metrics, read as strictly as the format is written: OpenMetrics 1.0.0.
//!
//! What a lenient reader would pass over fails here: a family without a type, one that is torn apart, a sample twice, an
//! ending that its kind does not have, a histogram whose buckets do not add up.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

/// Samples by name and labels, as typed.
#[derive(Debug, Default)]
pub struct Page {
    pub families: BTreeMap<String, Family>,
}

#[derive(Debug)]
pub struct Family {
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    /// In the order of their names.
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Page {
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let body = text
            .strip_suffix("# EOF\n")
            .ok_or("the page does not end with `# EOF`")?;
        let mut page = Self::default();
        let mut current: Option<(String, Family)> = None;
        for (number, line) in body.split_terminator('\n').enumerate() {
            let failed = |what: String| format!("line {}: {what}: {line}", number + 1);
            if let Some(rest) = line.strip_prefix("# HELP ") {
                if let Some((name, family)) = current.take() {
                    page.add(name, family).map_err(failed)?;
                }
                let (name, help) = rest.split_once(' ').ok_or_else(|| failed("no help".to_owned()))?;
                check_name(name).map_err(failed)?;
                let help = unescaped(help, "end of the line").map_err(failed)?;
                let family = Family {
                    kind: String::new(),
                    help,
                    samples: Vec::new(),
                };
                current = Some((name.to_owned(), family));
                continue;
            }
            let Some((name, family)) = &mut current else {
                return Err(failed("something before the first `# HELP`".to_owned()));
            };
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (of, kind) = rest.split_once(' ').ok_or_else(|| failed("no type".to_owned()))?;
                if of != name || !family.kind.is_empty() || !family.samples.is_empty() {
                    return Err(failed("a type in the wrong place".to_owned()));
                }
                kind.clone_into(&mut family.kind);
            } else {
                let sample = sample(line).map_err(failed)?;
                check_ending(name, &family.kind, &sample).map_err(failed)?;
                family.samples.push(sample);
            }
        }
        if let Some((name, family)) = current {
            page.add(name, family)?;
        }
        page.check_names()?;
        Ok(page)
    }

    /// The value of the sample of that name with these labels, and no others.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> = labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let mut samples = self.samples(name);
        samples
            .find(|sample| sample.labels == labels)
            .map(|sample| sample.value)
    }

    /// What all samples of that name with these labels, and perhaps more, are together.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            let has = |(key, value): &(&str, &str)| sample.labels.get(*key).is_some_and(|known| known == value);
            labels.iter().all(has)
        };
        self.samples(name).filter(fits).map(|sample| sample.value).sum()
    }

    pub fn samples(&self, name: &str) -> impl Iterator<Item = &Sample> {
        let samples = self.families.values().flat_map(|family| &family.samples);
        samples.filter(move |sample| sample.name == name)
    }

    /// The same page in Prometheus' older text format (0.0.4), for tools that read no other: a counter's family is called as its
    /// samples are, and an info is a gauge.
    pub fn as_older_text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.families {
            let (ending, kind) = match &*family.kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = writeln!(text, "# HELP {name}{ending} {help}\n# TYPE {name}{ending} {kind}");
            for sample in &family.samples {
                let escape = |value: &String| value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
                let labels = sample.labels.iter();
                let labels: Vec<_> = labels
                    .map(|(key, value)| format!("{key}=\"{}\"", escape(value)))
                    .collect();
                let _ = writeln!(text, "{}{{{}}} {}", sample.name, labels.join(","), sample.value);
            }
        }
        text
    }

    fn add(&mut self, name: String, family: Family) -> Result<(), String> {
        let mut seen = HashSet::new();
        for sample in &family.samples {
            if !seen.insert((&sample.name, &sample.labels)) {
                return Err(format!("{sample:?} is there twice"));
            }
        }
        match &*family.kind {
            "" => return Err(format!("{name} has no type")),
            "histogram" => check_histogram(&name, &family.samples)?,
            _ => {}
        }
        match self.families.insert(name.clone(), family) {
            Some(_) => Err(format!("{name} is in two places")),
            None => Ok(()),
        }
    }

    /// No name of a sample is another family's too.
    fn check_names(&self) -> Result<(), String> {
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, family) in &self.families {
            let samples = family.samples.iter().map(|sample| &*sample.name);
            for known in samples.chain([&**name]) {
                let owner = owners.entry(known).or_insert(name);
                if *owner != name {
                    return Err(format!("{known} is of {owner} and of {name}"));
                }
            }
        }
        Ok(())
    }
}

/// `name{label="value",...} 1`
fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    check_name(name)?;
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (key, behind) = rest.split_once("=\"").ok_or("a label without a value")?;
            check_name(key)?;
            let end = closing_quote(behind).ok_or("a label's value without an end")?;
            let value = unescaped(&behind[..end], "quote")?;
            if labels.insert(key.to_owned(), value).is_some() {
                return Err(format!("the label {key} twice"));
            }
            rest = &behind[end + 1..];
            if let Some(next) = rest.strip_prefix(',') {
                rest = next;
                continue;
            }
            rest = rest.strip_prefix('}').ok_or("labels without an end")?;
            break;
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().map_err(|_| format!("{value:?} is no number"))?,
    })
}

fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    match name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(good) {
        true => Ok(()),
        false => Err(format!("{name:?} is no name")),
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(index, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(index)
    })
}

fn unescaped(text: &str, place: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        plain.push(match c {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some(c @ ('"' | '\\')) => c,
                other => return Err(format!("{other:?} behind a backslash, before the {place}")),
            },
            '"' => return Err(format!("a quote before the {place}")),
            c => c,
        });
    }
    Ok(plain)
}

/// Every kind has its own endings; a counter never falls below zero.
fn check_ending(family: &str, kind: &str, sample: &Sample) -> Result<(), String> {
    let ending = sample.name.strip_prefix(family).ok_or("a sample of another family")?;
    let endings: &[&str] = match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => return Err(format!("no such type as {kind:?}")),
    };
    if !endings.contains(&ending) {
        return Err(format!("a {kind} whose sample ends in {ending:?}"));
    }
    if kind == "counter" && sample.value.is_nan() || kind != "gauge" && sample.value < 0.0 {
        return Err(format!("a {kind} of {}", sample.value));
    }
    if sample.labels.contains_key("le") != (ending == "_bucket") {
        return Err("`le` is for buckets".to_owned());
    }
    Ok(())
}

/// Buckets come in order, never fall, and end with all of them.
fn check_histogram(name: &str, samples: &[Sample]) -> Result<(), String> {
    let mut of: BTreeMap<Vec<(&String, &String)>, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let own = sample.labels.iter().filter(|(key, _)| *key != "le").collect();
        of.entry(own).or_default().push(sample);
    }
    for (labels, samples) in of {
        let failed = |what: &str| format!("{name} {labels:?}: {what}");
        let one = |ending: &str| {
            let mut found = samples.iter().filter(|sample| sample.name == format!("{name}{ending}"));
            found.next().map(|sample| sample.value)
        };
        let count = one("_count").ok_or_else(|| failed("no count"))?;
        one("_sum").ok_or_else(|| failed("no sum"))?;
        let buckets = samples
            .iter()
            .filter_map(|sample| Some((sample.labels.get("le")?, sample.value)));
        let buckets: Result<Vec<(f64, f64)>, _> = buckets.map(|(le, value)| Ok((le.parse::<f64>()?, value))).collect();
        let buckets = buckets.map_err(|error: std::num::ParseFloatError| failed(&error.to_string()))?;
        if buckets.last() != Some(&(f64::INFINITY, count)) {
            return Err(failed("the last bucket is not all of them"));
        }
        if buckets
            .windows(2)
            .any(|pair| pair[0].0 >= pair[1].0 || pair[0].1 > pair[1].1)
        {
            return Err(failed("buckets are not in order"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"# HELP hits How \"often\".\nAnd \\ why.
# TYPE hits counter
hits_total{of="a\"},\n{\\",to=""} 1
hits_total 2e3
# HELP size Sizes.
# TYPE size histogram
size_sum 3.5
size_count 2
size_bucket{le="1"} 1
size_bucket{le="+Inf"} 2
# EOF
"#;

    #[test]
    fn a_page_says_what_it_says() {
        let page = Page::parse(GOOD).unwrap();
        assert_eq!(page.families["hits"].help, "How \"often\".\nAnd \\ why.");
        assert_eq!(page.value("hits_total", &[("to", ""), ("of", "a\"},\n{\\")]), Some(1.0));
        assert_eq!(page.value("hits_total", &[]), Some(2000.0));
        assert_eq!(page.sum("hits_total", &[]), 2001.0);
        assert_eq!(page.value("size_bucket", &[("le", "+Inf")]), Some(2.0));
        assert!(Page::parse("# EOF\n").unwrap().families.is_empty());
    }

    #[test]
    fn the_older_format_calls_families_as_their_samples() {
        let older = Page::parse(GOOD).unwrap().as_older_text();
        let expected = r#"# HELP hits_total How "often".\nAnd \\ why.
# TYPE hits_total counter
hits_total{of="a\"},\n{\\",to=""} 1
hits_total{} 2000
# HELP size Sizes.
# TYPE size histogram
size_sum{} 3.5
size_count{} 2
size_bucket{le="1"} 1
size_bucket{le="+Inf"} 2
"#;
        assert_eq!(older, expected);
    }

    #[test]
    fn what_breaks_a_rule_is_no_page() {
        for (good, bad) in [
            ("# EOF\n", ""),
            ("# EOF\n", "# EOF"),
            ("# TYPE hits counter\n", ""),
            ("# TYPE hits counter", "# TYPE hits untyped"),
            ("# TYPE hits counter", "# TYPE hits gauge"),
            ("# TYPE hits counter", "# TYPE hits counter\n# TYPE hits counter"),
            ("# HELP size Sizes.\n", ""),
            ("hits_total 2e3", "hits 2e3"),
            ("hits_total 2e3", "hits_total 2e3\nhits_total 3"),
            ("hits_total 2e3", "hits_total -1"),
            ("hits_total 2e3", "hits_total  1"),
            ("hits_total 2e3", "hits_total one"),
            ("hits_total 2e3", "# HELP size \n# TYPE size gauge\nsize 1"),
            (
                "hits_total 2e3",
                "# HELP hits_total \n# TYPE hits_total gauge\nhits_total{a=\"1\"} 1",
            ),
            ("to=\"\"", "of=\"\""),
            ("to=\"\"", "1o=\"\""),
            ("to=\"\"", "to=\"\\x\""),
            ("to=\"\"}", "to=\"\""),
            ("\\\"often", "\"often"),
            ("size_sum 3.5\n", ""),
            ("size_count 2", "size_count 3"),
            ("{le=\"1\"} 1", "{le=\"1\"} 3"),
            ("{le=\"1\"}", "{le=\"+Inf\"}"),
            ("size_bucket{le=\"+Inf\"} 2\n", ""),
        ] {
            let page = GOOD.replacen(good, bad, 1);
            assert_ne!(page, GOOD);
            assert!(Page::parse(&page).is_err(), "{page}");
        }
    }
}
