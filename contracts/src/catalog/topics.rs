//! From topic names to datasets.

use std::{collections::BTreeMap, fmt, sync::Arc};

use regex::{Regex, RegexBuilder};

/// The most memory that one compiled pattern may take, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Kafka's longest topic name.
const MAX_TOPIC_LEN: usize = 249;

/// What a dataset lists under `topics`. A text of which all characters may stand in a topic's name is such a name, dots
/// included; any other is a pattern.
#[derive(Debug, Clone)]
pub enum TopicName {
    /// One topic.
    Exact(Arc<str>),
    /// All topics whose whole name matches.
    Pattern(TopicPattern),
}

/// A pattern of topic names.
#[derive(Debug, Clone)]
pub struct TopicPattern {
    /// As written.
    pub source: Arc<str>,
    regex: Regex,
}

impl TopicPattern {
    /// Whether the whole name matches.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        self.regex.is_match(topic)
    }
}

impl TopicName {
    /// Reads an entry of `topics`. The error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a topic has a name".to_owned());
        }
        if text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            if text.len() > MAX_TOPIC_LEN {
                return Err(format!("a topic's name has at most {MAX_TOPIC_LEN} characters"));
            }
            return Ok(Self::Exact(text.into()));
        }
        // Compiled alone first, so that a stray parenthesis cannot pair with ours.
        let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(MAX_COMPILED_BYTES).build();
        let regex = compile(text).and_then(|_| compile(&format!("^(?:{text})$")));
        let last_line = |error: regex::Error| error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        let regex = regex.map_err(last_line)?;
        Ok(Self::Pattern(TopicPattern { source: text.into(), regex }))
    }

    /// Whether it names this topic.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *topic,
            Self::Pattern(pattern) => pattern.matches(topic),
        }
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(name) => name,
            Self::Pattern(pattern) => &pattern.source,
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The topics of all datasets, by the datasets' places in URN order.
#[derive(Debug, Default)]
pub(super) struct TopicIndex {
    exact: BTreeMap<Arc<str>, usize>,
    patterns: Vec<(TopicPattern, usize)>,
}

impl TopicIndex {
    /// Adds a topic of a dataset; datasets come in URN order. The dataset that has the same name or pattern already is
    /// returned, and keeps it.
    pub(super) fn add(&mut self, topic: &TopicName, dataset: usize) -> Option<usize> {
        match topic {
            TopicName::Exact(name) => {
                let holder = *self.exact.entry(name.clone()).or_insert(dataset);
                (holder != dataset).then_some(holder)
            }
            TopicName::Pattern(pattern) => {
                let holder = self.patterns.iter().find(|(other, _)| other.source == pattern.source).map(|(_, d)| *d);
                if holder.is_none() {
                    self.patterns.push((pattern.clone(), dataset));
                }
                holder.filter(|holder| *holder != dataset)
            }
        }
    }

    pub(super) fn find(&self, topic: &str) -> Option<usize> {
        let exact = self.exact.get(topic).copied();
        exact.or_else(|| self.patterns.iter().find(|(pattern, _)| pattern.matches(topic)).map(|(_, dataset)| *dataset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_is_no_pattern() {
        let topic = TopicName::parse("raw.orders").unwrap();
        assert!(topic.matches("raw.orders") && !topic.matches("rawXorders"));
    }

    #[test]
    fn patterns_match_whole_names() {
        let topic = TopicName::parse(r"^raw\..*|dev").unwrap();
        assert!(
            topic.matches("raw.orders") && topic.matches("dev") && !topic.matches("xdev") && !topic.matches("devx")
        );
    }

    #[test]
    fn bad_patterns_are_refused() {
        for text in ["", "a(b", "a)(b", "((a{1000}){1000}){1000}*"] {
            assert!(TopicName::parse(text).is_err(), "{text}");
        }
        assert!(TopicName::parse(&"x".repeat(250)).is_err());
    }

    #[test]
    fn exact_names_come_before_patterns_and_the_first_pattern_wins() {
        let mut index = TopicIndex::default();
        let topics = [r"raw\..*", "raw.a", r"raw\.[ab]", "raw.a", r"raw\..*"];
        let clashes: Vec<_> =
            topics.iter().enumerate().map(|(n, t)| index.add(&TopicName::parse(t).unwrap(), n)).collect();
        assert_eq!(clashes, [None, None, None, Some(1), Some(0)]);
        assert_eq!((index.find("raw.a"), index.find("raw.b"), index.find("x")), (Some(1), Some(0), None));
    }
}
