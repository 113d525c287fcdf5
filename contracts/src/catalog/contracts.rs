//! The contracts of a directory, and which of them a `dc:<id>:<version>` means.

use std::path::PathBuf;

use super::{CatalogFiles, entries, files::text_hash};
use crate::{
    diagnostic::{Diagnostic, Findings, Position},
    odcs::{self, Contract, Coverage, RuleCoverage},
    yaml::{self, Value},
};

/// A contract of the directory.
#[derive(Debug)]
pub(super) struct ContractFile {
    pub(super) file: PathBuf,
    id: String,
    pub(super) version: String,
    /// Of its text.
    pub(super) hash: u64,
    /// `None` when the file has errors.
    pub(super) contract: Option<Contract>,
}

/// All contracts, in path order.
#[derive(Debug, Default)]
pub(super) struct Contracts {
    contracts: Vec<ContractFile>,
}

/// What a reference to a contract leads to.
pub(super) enum Found<'a> {
    Contract(&'a ContractFile),
    /// Not of the form `dc:<id>:<version>`.
    NotAReference,
    /// No contract of this id; or none of this version, and these are there.
    Missing {
        versions: Vec<&'a str>,
    },
}

impl Contracts {
    /// Reads all contracts of the directory; findings go to `diagnostics`, rules that no record shows to `coverage`.
    pub(super) fn read(
        files: &CatalogFiles,
        diagnostics: &mut Vec<Diagnostic>,
        coverage: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut all = Self::default();
        for (path, text) in files.iter() {
            if path == entries::FILE || !(path.ends_with(".yaml") || path.ends_with(".yml")) {
                continue;
            }
            let file = files.locate(path);
            let mut findings = Findings::about(&file);
            if !is_contract(path, text) {
                findings.note("catalog-not-a-contract", Position::default(), "skipped: it is no ODCS contract");
                diagnostics.append(&mut findings.into_diagnostics());
                continue;
            }
            let mut parsed = odcs::parse(text, &file);
            diagnostics.append(&mut parsed.diagnostics);
            let Some((id, version)) = parsed.identity else { continue };
            if let Some(first) = all.contracts.iter().find(|c| *c.id == *id && *c.version == *version) {
                let at = parsed.contract.as_ref().map_or_else(Position::default, |contract| contract.at);
                let message = format!("contract {id} {version} is in {} already", first.file.display());
                findings.error("catalog-duplicate-contract", at, message);
                diagnostics.append(&mut findings.into_diagnostics());
                continue;
            }
            if let Some(contract) = &parsed.contract {
                report_coverage(contract, &mut findings);
                coverage.append(&mut findings.into_diagnostics());
            }
            let (id, version) = (id.to_string(), version.to_string());
            let hash = text_hash(text);
            all.contracts.push(ContractFile { file, id, version, hash, contract: parsed.contract });
        }
        all
    }

    /// The contract that a `dc:<id>:<version>` means: that of the exact version, else the newest of that major.
    pub(super) fn find(&self, reference: &str) -> Found<'_> {
        let parts = reference.strip_prefix("dc:").and_then(|rest| rest.rsplit_once(':'));
        let Some((id, version)) = parts.filter(|(id, version)| !id.is_empty() && !version.is_empty()) else {
            return Found::NotAReference;
        };
        let of_id = || self.contracts.iter().filter(move |contract| contract.id == id);
        let exact = of_id().find(|contract| contract.version == version);
        let of_major = || of_id().filter(|contract| odcs::major(&contract.version) == version);
        match exact.or_else(|| of_major().max_by_key(|contract| numbers(&contract.version))) {
            Some(contract) => Found::Contract(contract),
            None => Found::Missing { versions: of_id().map(|contract| contract.version.as_str()).collect() },
        }
    }
}

/// The numbers of a version, for comparing; a pre-release comes before its release.
fn numbers(version: &str) -> (Vec<u64>, bool) {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let core = version.split(['-', '+']).next().unwrap_or(version);
    (core.split('.').map(|part| part.parse().unwrap_or(0)).collect(), !version.contains('-'))
}

/// A file that calls itself a contract by name or content. One that is no YAML at all is taken for one, so that it is
/// reported.
fn is_contract(path: &str, text: &str) -> bool {
    if path.ends_with(".odcs.yaml") || path.ends_with(".odcs.yml") {
        return true;
    }
    match yaml::parse(text).map(|root| root.value) {
        Ok(Value::Map(entries)) => entries.iter().any(|entry| match entry.key.as_str() {
            "kind" => entry.node.value == Value::Text("DataContract".to_owned()),
            "apiVersion" => entry.node.scalar_text().is_some_and(|version| version.starts_with("v3.")),
            _ => false,
        }),
        Ok(_) => false,
        Err(_) => true,
    }
}

fn report_coverage(contract: &Contract, findings: &mut Findings<'_>) {
    let rules = contract.objects.iter().flat_map(|object| odcs::compile(object).1);
    for rule in rules.chain(odcs::sla_coverage(contract)) {
        note(&rule, findings);
    }
}

fn note(rule: &RuleCoverage, findings: &mut Findings<'_>) {
    match rule.coverage {
        Coverage::Record => {}
        Coverage::Window => {
            findings.note("odcs-window-rule", rule.at, rule.to_string());
        }
        Coverage::Unsupported => {
            findings.note("odcs-unsupported-rule", rule.at, rule.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let mut versions = ["3.10.0", "3.9.1", "v3.9.0", "3.10.0-rc1"];
        versions.sort_by_key(|version| numbers(version));
        assert_eq!(versions, ["v3.9.0", "3.9.1", "3.10.0-rc1", "3.10.0"]);
    }
}
