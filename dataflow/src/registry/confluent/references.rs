//! Which schemas a schema refers to, and in which order they are fetched.

use std::collections::BTreeSet;

use faultline_contracts::registry::ReferencedSchema;
use serde::Deserialize;

/// A reference to a version of another subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Reference {
    /// The name by which the schema's text calls it.
    pub(super) name: String,
    /// The subject.
    pub(super) subject: String,
    /// The version.
    pub(super) version: u64,
}

/// Too many references.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("refers to more than {0} other schemas (registry.max_references)")]
pub(super) struct TooMany(usize);

enum Step {
    Fetch(Reference),
    Done(ReferencedSchema),
}

/// Gathers what a schema refers to, depth first: what is referred to comes before what refers to it. Each is fetched once,
/// so that circles end.
pub(super) struct Gathering {
    steps: Vec<Step>,
    seen: BTreeSet<Reference>,
    gathered: Vec<ReferencedSchema>,
    limit: usize,
}

impl Gathering {
    pub(super) fn new(references: Vec<Reference>, limit: usize) -> Self {
        let mut gathering = Self { steps: Vec::new(), seen: BTreeSet::new(), gathered: Vec::new(), limit };
        gathering.push(references);
        gathering
    }

    /// In their order, so the first is on top.
    fn push(&mut self, references: Vec<Reference>) {
        self.steps.extend(references.into_iter().rev().map(Step::Fetch));
    }

    /// What is to be fetched next; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Reference>, TooMany> {
        while let Some(step) = self.steps.pop() {
            match step {
                Step::Done(schema) => self.gathered.push(schema),
                Step::Fetch(reference) => {
                    if self.seen.contains(&reference) {
                        continue;
                    }
                    // Names that lead to one version are fetched for each name, and counted.
                    if self.seen.len() >= self.limit || self.steps.len() > self.limit * self.limit {
                        return Err(TooMany(self.limit));
                    }
                    self.seen.insert(reference.clone());
                    return Ok(Some(reference));
                }
            }
        }
        Ok(None)
    }

    /// What `reference` led to.
    pub(super) fn found(&mut self, reference: Reference, text: String, references: Vec<Reference>) {
        self.steps.push(Step::Done(ReferencedSchema { name: reference.name, text }));
        self.push(references);
    }

    /// All that was gathered.
    pub(super) fn finish(self) -> Vec<ReferencedSchema> {
        self.gathered
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn reference(name: &str) -> Reference {
        Reference { name: name.to_owned(), subject: format!("{name}-value"), version: 1 }
    }

    fn gather(graph: &[(&str, &[&str])], roots: &[&str], limit: usize) -> Result<Vec<String>, TooMany> {
        let graph: BTreeMap<_, _> = graph.iter().copied().collect();
        let all = |names: &[&str]| names.iter().map(|name| reference(name)).collect::<Vec<_>>();
        let mut gathering = Gathering::new(all(roots), limit);
        while let Some(next) = gathering.next()? {
            let to = all(graph.get(next.name.as_str()).copied().unwrap_or_default());
            let text = next.name.clone();
            gathering.found(next, text, to);
        }
        Ok(gathering.finish().into_iter().map(|schema| schema.name).collect())
    }

    #[test]
    fn what_is_referred_to_comes_first_and_once() {
        let graph: &[(&str, &[&str])] = &[("a", &["c", "b"]), ("b", &["d"]), ("c", &["b"])];
        assert_eq!(gather(graph, &["a"], 10), Ok(["d", "b", "c", "a"].map(str::to_owned).to_vec()));
        assert_eq!(gather(graph, &[], 10), Ok(vec![]));
    }

    #[test]
    fn circles_end_and_the_number_is_bounded() {
        let circle: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["a"])];
        assert_eq!(gather(circle, &["a"], 10), Ok(["b", "a"].map(str::to_owned).to_vec()));
        assert_eq!(gather(circle, &["a", "b"], 1), Err(TooMany(1)));
        assert_eq!(gather(&[], &["a", "b"], 2).unwrap().len(), 2);
    }
}
