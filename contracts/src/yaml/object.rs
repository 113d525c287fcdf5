//! Reading the fields of a map one by one, with a finding for each that is not what it should be.

use super::{Entry, Node, Value};
use crate::diagnostic::{Findings, Position};

/// The codes under which one kind of file reports the mistakes that any file can have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vocabulary {
    pub(crate) unknown_key: &'static str,
    pub(crate) missing_key: &'static str,
    pub(crate) wrong_type: &'static str,
}

/// A map that is being read. A key whose value is null counts as absent, as `tier:` with nothing after it is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object<'a> {
    entries: &'a [Entry],
    /// Where it begins.
    pub(crate) at: Position,
    /// What it is, for messages: `property 'order_id'`.
    pub(crate) what: &'a str,
    vocabulary: &'a Vocabulary,
}

impl<'a> Object<'a> {
    /// The map in `node`; a finding when it is none.
    pub(crate) fn of(
        node: &'a Node,
        what: &'a str,
        vocabulary: &'a Vocabulary,
        findings: &mut Findings<'_>,
    ) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self { entries, at: node.at, what, vocabulary }),
            _ => {
                findings.error(vocabulary.wrong_type, node.at, format!("{what} must be a map, not {}", node.kind()));
                None
            }
        }
    }

    /// The same map under another name for messages.
    pub(crate) fn named(self, what: &'a str) -> Self {
        Self { what, ..self }
    }

    /// Its entries, nulls left out.
    pub(crate) fn entries(self) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|entry| entry.node.value != Value::Null)
    }

    /// The value of a key.
    pub(crate) fn get(self, key: &str) -> Option<&'a Node> {
        self.entries().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Where a key stands, or the map itself.
    pub(crate) fn at_key(self, key: &str) -> Position {
        self.entries.iter().find(|entry| entry.key == key).map_or(self.at, |entry| entry.at)
    }

    fn mismatch(self, key: &str, node: &Node, expected: &str, findings: &mut Findings<'_>) {
        let message = format!("'{key}' of {} must be {expected}, not {}", self.what, node.kind());
        findings.error(self.vocabulary.wrong_type, node.at, message);
    }

    /// A scalar as text; numbers as written, so that `version: 1.10` keeps its zero.
    pub(crate) fn text(self, key: &str, findings: &mut Findings<'_>) -> Option<String> {
        let node = self.get(key)?;
        let text = node.scalar_text();
        if text.is_none() {
            self.mismatch(key, node, "text", findings);
        }
        text
    }

    /// A scalar that must be there and not be empty.
    pub(crate) fn required_text(self, key: &str, findings: &mut Findings<'_>) -> Option<String> {
        let Some(node) = self.get(key) else {
            findings.error(self.vocabulary.missing_key, self.at, format!("{} has no '{key}'", self.what));
            return None;
        };
        let text = self.text(key, findings)?;
        if text.trim().is_empty() {
            findings.error(self.vocabulary.missing_key, node.at, format!("'{key}' of {} is empty", self.what));
            return None;
        }
        Some(text)
    }

    /// A boolean.
    pub(crate) fn bool(self, key: &str, findings: &mut Findings<'_>) -> Option<bool> {
        let node = self.get(key)?;
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        self.mismatch(key, node, "true or false", findings);
        None
    }

    /// A count: an integer of zero or more.
    pub(crate) fn count(self, key: &str, findings: &mut Findings<'_>) -> Option<u64> {
        let node = self.get(key)?;
        let count = match &node.value {
            Value::Number(number) => number.json.as_u64(),
            _ => None,
        };
        if count.is_none() {
            self.mismatch(key, node, "an integer of zero or more", findings);
        }
        count
    }

    /// A list.
    pub(crate) fn list(self, key: &str, findings: &mut Findings<'_>) -> &'a [Node] {
        let Some(node) = self.get(key) else { return &[] };
        if let Value::List(items) = &node.value {
            return items;
        }
        self.mismatch(key, node, "a list", findings);
        &[]
    }

    /// A list of scalars, with where each stands.
    pub(crate) fn texts(self, key: &str, findings: &mut Findings<'_>) -> Vec<(String, Position)> {
        let mut texts = Vec::new();
        for item in self.list(key, findings) {
            match item.scalar_text() {
                Some(text) => texts.push((text, item.at)),
                None => self.mismatch(key, item, "a list of texts", findings),
            }
        }
        texts
    }

    /// A map.
    pub(crate) fn object(self, key: &str, what: &'a str, findings: &mut Findings<'_>) -> Option<Self> {
        Self::of(self.get(key)?, what, self.vocabulary, findings)
    }

    /// The keys that are not among `known`, with the one that was probably meant.
    pub(crate) fn unknown(self, known: &[&'static str]) -> Vec<(&'a Entry, Option<&'static str>)> {
        let strangers = self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str()));
        strangers.map(|entry| (entry, nearest(&entry.key, known))).collect()
    }

    /// An error for each key that is not among `known`.
    pub(crate) fn refuse_unknown(self, known: &[&'static str], findings: &mut Findings<'_>) {
        for (entry, meant) in self.unknown(known) {
            let message = format!("unknown key '{}' in {}", clip(&entry.key), self.what);
            let finding = findings.error(self.vocabulary.unknown_key, entry.at, message);
            if let Some(meant) = meant {
                finding.help(format!("did you mean '{meant}'?"));
            }
        }
    }

    /// A warning for each key that is not among `known`: the standard does not forbid it, and it has no effect.
    pub(crate) fn warn_unknown(self, known: &[&'static str], findings: &mut Findings<'_>) {
        for (entry, meant) in self.unknown(known) {
            let message = format!("unknown key '{}' in {} has no effect", clip(&entry.key), self.what);
            let finding = findings.warning(self.vocabulary.unknown_key, entry.at, message);
            if let Some(meant) = meant {
                finding.help(format!("did you mean '{meant}'?"));
            }
        }
    }
}

/// At most 64 characters of a text from outside.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The known word within two edits of this one.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    let scored = known.iter().map(|&k| (edits(&lower, &k.to_lowercase()), k));
    scored.filter(|&(distance, k)| distance <= 2 && distance < k.len()).min().map(|(_, k)| k)
}

/// Levenshtein distance, by the usual one-row recurrence.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_near_words() {
        let known = ["schema", "servers", "id"];
        assert_eq!(nearest("shema", &known), Some("schema"));
        assert_eq!(nearest("Schema", &known), Some("schema"));
        assert_eq!(nearest("weather", &known), None);
        assert_eq!(nearest("xy", &known), None);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
