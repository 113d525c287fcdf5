//! A catalog of any size: each dataset has a topic and a service of its own, and all keep the orders' contract.

use std::{fmt::Write as _, fs, path::Path};

use tempfile::TempDir;

use super::error::Result;
use crate::{orders::CATALOG, wire::error::io};

/// The contract's file in the orders catalog.
const CONTRACT: &str = "orders.created.odcs.yaml";
/// The schema's folder, and its file.
const SCHEMA: [&str; 2] = ["schemas/orders.created", "17.json"];
/// What URNs begin with.
const URN: &str = "urn:dp:answers:d";

/// A dataset's topic.
#[must_use]
pub fn topic(dataset: usize) -> String {
    format!("raw.answers.d{dataset:05}")
}

/// A dataset's URN.
#[must_use]
pub fn urn(dataset: usize) -> String {
    format!("{URN}{dataset:05}")
}

/// The dataset of a URN; `None` where it is none of these.
#[must_use]
pub fn dataset(urn: &str) -> Option<usize> {
    urn.strip_prefix(URN)?.parse().ok()
}

/// The service that produces a dataset.
#[must_use]
pub fn service(dataset: usize) -> String {
    format!("service-{dataset:05}")
}

/// A catalog of so many datasets, in a folder that goes when it is dropped.
///
/// # Errors
/// It cannot be written.
pub fn catalog(datasets: usize) -> Result<TempDir> {
    let failed = || io("write a catalog");
    let dir = tempfile::tempdir().map_err(failed())?;
    let mut text = "datasets:\n".to_owned();
    for n in 0..datasets {
        let (urn, topic, service) = (urn(n), topic(n), service(n));
        _ = writeln!(
            text,
            "- {{urn: '{urn}', topics: [{topic}], producer: {service}, schema: 'glue:orders.created:17', \
             contract: 'dc:orders.created:3', tier: 1, compliance_slo: 0.95}}"
        );
    }
    text.push_str("producers:\n");
    for n in 0..datasets {
        _ = writeln!(text, "- {{id: {}}}", service(n));
    }
    fs::write(dir.path().join("catalog.yaml"), text).map_err(failed())?;
    let (from, [folder, schema]) = (Path::new(CATALOG), SCHEMA);
    fs::create_dir_all(dir.path().join(folder)).map_err(failed())?;
    for file in [Path::new(CONTRACT), &Path::new(folder).join(schema)] {
        fs::copy(from.join(file), dir.path().join(file)).map_err(failed())?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use faultline_contracts::catalog::{Catalog, GateState};

    use super::*;

    #[test]
    fn the_catalog_is_without_mistakes() {
        let dir = catalog(3).unwrap();
        let loaded = Catalog::load(dir.path());
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
        let entry = loaded.catalog.dataset_of_topic(&topic(2)).unwrap();
        assert_eq!((entry.urn.as_str(), entry.slo_millionths), (&*urn(2), 950_000));
        assert_eq!((entry.schema_state, entry.contract_state), (GateState::Ok, GateState::Ok));
        assert_eq!((&*entry.producers[0], dataset(&urn(2))), (&*service(2), Some(2)));
    }
}
