//! Which topics are data and control topics of this service.

use std::{collections::BTreeSet, sync::Arc};

use faultline_contracts::{catalog::Catalog, policy::Rollout};
use regex::RegexSet;

use crate::config::Topics;

/// Which topics are read: those that the configuration lists, and those of the catalog's datasets.
#[derive(Debug)]
pub(super) struct Selection {
    exact: BTreeSet<String>,
    patterns: RegexSet,
    catalog: Arc<Catalog>,
    own: BTreeSet<String>,
}

impl Selection {
    pub(super) fn new(topics: &Topics, catalog: Arc<Catalog>) -> Result<Self, regex::Error> {
        let (patterns, exact): (Vec<_>, Vec<_>) = topics.data.iter().partition(|name| name.starts_with('^'));
        let mut exact: BTreeSet<String> = exact.into_iter().cloned().collect();
        exact.extend([&topics.deployments, &topics.lineage, &topics.spans].map(String::clone));
        let anchored =
            patterns.iter().map(|pattern| format!("^(?:{})$", pattern.trim_start_matches('^').trim_end_matches('$')));
        let own = [&topics.evidence, &topics.signals, &topics.incidents, &topics.catalog].map(String::clone).into();
        Ok(Self { exact, patterns: RegexSet::new(anchored)?, catalog, own })
    }

    pub(super) fn contains(&self, topic: &str) -> bool {
        let dataset = || self.catalog.dataset_of_topic(topic).is_some_and(|dataset| dataset.rollout != Rollout::Off);
        !self.own.contains(topic) && (self.exact.contains(topic) || self.patterns.is_match(topic) || dataset())
    }
}
