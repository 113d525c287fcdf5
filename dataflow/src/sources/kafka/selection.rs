//! Which topics are data and control topics of this service.

use std::{collections::BTreeSet, sync::Arc};

use faultline_contracts::{catalog::Catalog, policy::Rollout};
use regex::RegexSet;

use crate::config::{Topics, anchored};

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
        let patterns = topics.data_patterns()?;
        let mut exact: BTreeSet<String> = topics.data.iter().filter(|name| anchored(name).is_none()).cloned().collect();
        exact.extend([&topics.deployments, &topics.lineage, &topics.spans].map(String::clone));
        let own = [&topics.evidence, &topics.signals, &topics.incidents, &topics.catalog].map(String::clone).into();
        Ok(Self { exact, patterns, catalog, own })
    }

    /// Goes by another catalog, if it is another, and says whether it is.
    pub(super) fn follow(&mut self, catalog: &Arc<Catalog>) -> bool {
        let other = !Arc::ptr_eq(&self.catalog, catalog);
        if other {
            self.catalog = Arc::clone(catalog);
        }
        other
    }

    pub(super) fn contains(&self, topic: &str) -> bool {
        let dataset = || self.catalog.dataset_of_topic(topic).is_some_and(|dataset| dataset.rollout != Rollout::Off);
        !self.own.contains(topic) && (self.exact.contains(topic) || self.patterns.is_match(topic) || dataset())
    }
}

#[cfg(test)]
mod tests {
    use faultline_contracts::catalog::CatalogFiles;

    use super::*;

    fn catalog(text: &str) -> Arc<Catalog> {
        Arc::new(Catalog::from_files(&CatalogFiles::of("c", [("catalog.yaml", text)])).catalog)
    }

    #[test]
    fn topics_come_and_go_with_the_catalog() {
        let before =
            catalog("datasets: [{urn: 'urn:dp:a', topics: [a]}, {urn: 'urn:dp:b', topics: [b], enabled: false}]");
        let mut selection = Selection::new(&Topics::default(), Arc::clone(&before)).unwrap();
        let selected = |selection: &Selection| {
            let topics =
                ["a", "b", "raw.x", "signal_factory.spans", "signal_factory.catalog", "signal_factory.evidence"];
            topics.into_iter().filter(|topic| selection.contains(topic)).collect::<Vec<_>>()
        };
        assert_eq!(selected(&selection), ["a", "raw.x", "signal_factory.spans"]);
        assert!(!selection.follow(&before));
        assert!(selection.follow(&catalog("datasets: [{urn: 'urn:dp:b', topics: [b, signal_factory.evidence]}]")));
        assert_eq!(selected(&selection), ["b", "raw.x", "signal_factory.spans"]);
    }
}
