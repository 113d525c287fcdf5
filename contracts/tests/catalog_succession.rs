//! What follows a catalog in force when its files change: nothing that is broken takes from it what was good.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use faultline_contracts::{
    catalog::{Catalog, CatalogFiles, CatalogReading, DatasetEntry, GateState, StandingCatalog, Succession},
    diagnostic::Severity,
};
use proptest::prelude::*;

type Files = BTreeMap<&'static str, String>;

/// A contract that reads and means nothing: what `required` says is no truth value.
fn meaningless(id: &str, version: &str, required: &str) -> String {
    contract(id, version, "").replace("required: true", &format!("required: {required}"))
}

fn contract(id: &str, version: &str, rest: &str) -> String {
    format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: {id}\nversion: {version}\nstatus: active\nschema:\n\
         \x20 - name: {id}.topic\n\x20   properties:\n\x20     - {{name: id, required: true{rest}}}\n"
    )
}

fn catalog(entries: &[&str]) -> String {
    format!("datasets:\n{}", entries.iter().map(|entry| format!("  - {entry}\n")).collect::<String>())
}

const A: &str = "{urn: 'urn:dp:a', topics: [a.topic], contract: 'dc:a:1', schema: 'file:a.json'}";
const A_WITH_NEW_CONTRACT: &str = "{urn: 'urn:dp:a', topics: [a.topic], contract: 'dc:a:2', schema: 'file:a.json'}";
const B: &str = "{urn: 'urn:dp:b', topics: [b.topic], contract: 'dc:b:1'}";
const OBJECT: &str = r#"{"type": "object"}"#;

fn good() -> Files {
    Files::from([
        ("catalog.yaml", catalog(&[A, B])),
        ("a.yaml", contract("a", "1.0.0", "")),
        ("b.yaml", contract("b", "1.0.0", "")),
        ("a.json", OBJECT.to_owned()),
    ])
}

fn reading(files: &Files) -> CatalogReading {
    let files = files.iter().map(|(path, text)| (*path, text.as_str()));
    CatalogReading { files: CatalogFiles::of("c", files), unread: Vec::new() }
}

fn standing(files: &Files) -> StandingCatalog {
    StandingCatalog::first(reading(files))
}

/// What follows the good files when they are changed.
fn after(change: impl FnOnce(&mut Files)) -> Succession {
    let mut files = good();
    change(&mut files);
    standing(&good()).succeeded_by(reading(&files))
}

fn version(files: &Files) -> u64 {
    Catalog::from_reading(&reading(files)).catalog.version()
}

fn held(succession: &Succession) -> Vec<String> {
    let short = |text: String| text.split_once("]: ").map(|(head, _)| format!("{head}]")).unwrap();
    succession.held.iter().map(|diagnostic| short(diagnostic.to_string())).collect()
}

fn dataset<'a>(standing: &'a StandingCatalog, urn: &str) -> &'a DatasetEntry {
    standing.catalog.dataset(urn).unwrap()
}

#[test]
fn what_is_good_comes_into_force_as_it_is() {
    let mut files = good();
    files.insert("a.yaml", contract("a", "1.1.0", ""));
    files.insert("catalog.yaml", catalog(&[A]));
    files.remove("b.yaml");
    let next = standing(&good()).succeeded_by(reading(&files));
    assert_eq!((next.standing.catalog.version(), held(&next).len()), (version(&files), 0));
    let (before, after) = (standing(&good()), dataset(&next.standing, "urn:dp:a"));
    assert_eq!(after.contract_version.as_deref(), Some("1.1.0"));
    assert_ne!(after.contract_hash, dataset(&before, "urn:dp:a").contract_hash);
    assert_eq!(after.schema_hash, dataset(&before, "urn:dp:a").schema_hash);
    assert!(next.standing.catalog.dataset("urn:dp:b").is_none());
}

#[test]
fn a_broken_contract_counts_with_its_last_good_text_and_other_files_with_their_new_one() {
    let next = after(|files| {
        files.insert("a.yaml", contract("a", "1.1.0", ", required: maybe"));
        files.insert("b.yaml", contract("b", "1.1.0", ""));
    });
    assert_eq!(held(&next), ["c/a.yaml:9:36: error[odcs-syntax]"]);
    let versions = ["urn:dp:a", "urn:dp:b"]
        .map(|urn| dataset(&next.standing, urn).contract_version.as_deref().unwrap().to_owned());
    assert_eq!(versions, ["1.0.0", "1.1.0"]);
    assert!(next.standing.diagnostics.is_empty(), "what is in force is all right: {:?}", next.standing.diagnostics);
}

#[test]
fn a_contract_that_is_no_longer_one_is_put_back_before_anybody_misses_it() {
    let next = after(|files| {
        files.insert("a.yaml", ": no YAML [".to_owned());
        files.insert("a.json", "{".to_owned());
    });
    let files: Vec<_> = next.held.iter().map(|error| error.file.to_str().unwrap()).collect();
    assert_eq!(files, ["c/a.json", "c/a.yaml"]);
    assert_eq!(next.standing.catalog.version(), version(&good()));
}

#[test]
fn a_broken_catalog_yaml_leaves_everything_as_it_is() {
    for broken in ["datasets: [", "", "datasets: [{urn: 'urn:dp:a', topics: [a.topic], contract: 'dc:a:7'}]\n"] {
        let next = after(|files| {
            files.insert("catalog.yaml", broken.to_owned());
            files.insert("b.yaml", contract("b", "1.1.0", ""));
        });
        if broken.is_empty() {
            assert_eq!(next.standing.catalog.datasets().len(), 0, "an empty catalog is a catalog");
        } else {
            assert_eq!(next.standing.catalog.version(), version(&good()));
            assert!(next.held[0].file.ends_with("catalog.yaml") && next.held[0].line == 1, "{:?}", next.held);
        }
    }
    let gone = after(|files| drop(files.remove("catalog.yaml")));
    assert_eq!(
        (held(&gone), gone.standing.catalog.version()),
        (vec!["c/catalog.yaml: error[catalog-missing]".into()], version(&good()))
    );
    let without_contract = after(|files| drop(files.remove("a.yaml")));
    assert_eq!(held(&without_contract), ["c/catalog.yaml:2:52: error[catalog-contract-not-found]"]);
    assert_eq!(without_contract.standing.catalog.version(), version(&good()));
}

#[test]
fn a_copy_that_would_take_a_contracts_place_changes_nothing() {
    let next = after(|files| drop(files.insert("0.yaml", contract("a", "1.0.0", ""))));
    assert_eq!(held(&next), ["c/a.yaml:3:1: error[catalog-duplicate-contract]"]);
    assert_eq!(next.standing.catalog.version(), version(&good()));
}

#[test]
fn a_new_broken_file_costs_what_it_is_in_and_takes_no_gate_from_a_dataset() {
    let c = "{urn: 'urn:dp:c', topics: [c.topic], contract: 'dc:c:1'}";
    let new_dataset = after(|files| {
        files.insert("catalog.yaml", catalog(&[A, B, c]));
        files.insert("c.yaml", meaningless("c", "1.0.0", "maybe"));
    });
    assert_eq!(held(&new_dataset).len(), 0);
    assert_eq!(dataset(&new_dataset.standing, "urn:dp:c").contract_state, GateState::Broken);
    assert!(new_dataset.standing.diagnostics.iter().any(|d| d.severity == Severity::Error));

    let instead = after(|files| {
        files.insert("catalog.yaml", catalog(&[A_WITH_NEW_CONTRACT, B]));
        files.insert("a2.yaml", meaningless("a", "2.0.0", "maybe"));
    });
    assert_eq!(held(&instead), ["c/a2.yaml:9:30: error[odcs-wrong-type]"]);
    assert_eq!(dataset(&instead.standing, "urn:dp:a").contract.as_deref(), Some("dc:a:1"));
}

#[test]
fn what_was_broken_all_along_cannot_replace_what_is_good() {
    let mut files = good();
    files.insert("a2.yaml", meaningless("a", "2.0.0", "maybe"));
    let before = standing(&good()).succeeded_by(reading(&files));
    assert_eq!(held(&before).len(), 0, "nothing relies on it");
    files.insert("catalog.yaml", catalog(&[A_WITH_NEW_CONTRACT, B]));
    let next = before.standing.succeeded_by(reading(&files));
    assert_eq!(held(&next), ["c/catalog.yaml: error[catalog-gate-lost]"]);
    assert_eq!(dataset(&next.standing, "urn:dp:a").contract.as_deref(), Some("dc:a:1"));
}

#[test]
fn an_error_that_was_there_before_holds_nothing_back() {
    let ghost = "{urn: 'urn:dp:b', topics: [b.topic], contract: 'dc:b:1', producer: ghost}";
    let mut files = good();
    files.insert("catalog.yaml", catalog(&[A, ghost]));
    let before = standing(&files);
    assert!(before.diagnostics.iter().any(|d| d.code == "catalog-unknown-producer"));
    files.insert("catalog.yaml", format!("# a line more\n{}", catalog(&[A_WITH_NEW_CONTRACT, ghost])));
    files.insert("a2.yaml", contract("a", "2.0.0", ""));
    let next = before.succeeded_by(reading(&files));
    assert_eq!((held(&next).len(), next.standing.catalog.version()), (0, version(&files)));
}

#[test]
fn what_cannot_be_read_counts_as_it_was_read_before() {
    let before = standing(&good());
    let gone = |path: &str| {
        let mut problem = CatalogFiles::read(std::path::Path::new("/nowhere/at/all")).unread.remove(0);
        problem.file = reading(&good()).files.locate(path);
        problem
    };
    let problems = [gone("a.yaml"), gone("new.yaml")];
    let mut files = good();
    files.remove("a.yaml");
    let next = before.succeeded_by(CatalogReading { unread: problems.to_vec(), ..reading(&files) });
    assert_eq!(held(&next), ["c/a.yaml: error[catalog-unreadable]"]);
    assert_eq!(next.standing.catalog.version(), version(&good()));
    assert_eq!(next.standing.diagnostics.len(), 1, "a file that nobody has read before is missed by nobody");

    let all =
        CatalogReading { files: CatalogFiles::of("c", std::iter::empty::<(&str, &str)>()), unread: vec![gone("")] };
    let next = before.succeeded_by(all);
    assert_eq!((held(&next).len(), next.standing.catalog.version()), (1, version(&good())));
}

#[test]
fn a_first_catalog_that_is_broken_is_no_measure() {
    let broken = Files::from([("a.yaml", contract("a", "1.0.0", ""))]);
    let next = standing(&broken).succeeded_by(reading(&good()));
    assert_eq!((held(&next).len(), next.standing.catalog.version()), (0, version(&good())));

    let mut files = good();
    files.insert("a.yaml", meaningless("a", "1.0.0", "maybe"));
    let before = standing(&files);
    assert_eq!(dataset(&before, "urn:dp:a").contract_state, GateState::Broken);
    files.insert("a.yaml", meaningless("a", "1.0.0", "[]"));
    let next = before.succeeded_by(reading(&files));
    assert_eq!((held(&next).len(), next.standing.catalog.version()), (0, version(&files)), "broken as before");
}

fn texts() -> impl Strategy<Value = Files> {
    let catalogs = prop_oneof![
        3 => Just(Some(catalog(&[A, B]))),
        1 => Just(Some(catalog(&[A]))),
        1 => Just(Some(catalog(&[A_WITH_NEW_CONTRACT, B]))),
        1 => Just(Some(catalog(&[A, B, "{urn: 'urn:dp:c', topics: ['(']}"]))),
        1 => Just(Some("datasets: [".to_owned())),
        1 => Just(None),
    ];
    let contracts = |id: &'static str| {
        prop_oneof![
            2 => Just(Some(contract(id, "1.0.0", ""))),
            2 => Just(Some(contract(id, "1.2.0", ""))),
            1 => Just(Some(contract(id, "2.0.0", ""))),
            1 => Just(Some(meaningless(id, "1.0.0", "maybe"))),
            1 => Just(Some("\t".to_owned())),
            1 => Just(None),
        ]
    };
    let schemas = prop_oneof![
        Just(Some(OBJECT.to_owned())),
        Just(Some(r#"{"type": "object", "required": ["id"]}"#.to_owned())),
        Just(Some("{".to_owned())),
        Just(None)
    ];
    (catalogs, contracts("a"), contracts("a"), contracts("b"), schemas).prop_map(|(catalog, a, a2, b, schema)| {
        let files = [("catalog.yaml", catalog), ("a.yaml", a), ("a2.yaml", a2), ("b.yaml", b), ("a.json", schema)];
        files.into_iter().filter_map(|(path, text)| Some((path, text?))).collect()
    })
}

fn errors(files: &Files) -> Vec<(String, String)> {
    let loaded = Catalog::from_reading(&reading(files));
    let errors = loaded.diagnostics.into_iter().filter(|d| d.severity == Severity::Error);
    errors.map(|d| (d.file.to_str().unwrap().to_owned(), d.message)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// From good files on, whatever is read afterwards.
    #[test]
    fn nothing_good_is_ever_lost(changes in prop::collection::vec(texts(), 1..8)) {
        let mut standing = standing(&good());
        for files in changes {
            let next = standing.succeeded_by(reading(&files));
            for before in standing.catalog.datasets() {
                if let Some(after) = next.standing.catalog.dataset(before.urn.as_str()) {
                    prop_assert!(before.contract_state == GateState::Broken || after.contract_state != GateState::Broken);
                    prop_assert!(before.schema_state == GateState::Broken || after.schema_state != GateState::Broken);
                }
            }
            if next.held.is_empty() {
                prop_assert_eq!(next.standing.catalog.version(), version(&files), "nothing held: all of it is in force");
            } else {
                prop_assert!(!errors(&files).is_empty(), "held without an error");
            }
            if errors(&files).is_empty() {
                prop_assert!(next.held.is_empty());
            }
            let again = next.standing.succeeded_by(reading(&files));
            prop_assert_eq!(again.standing.catalog.version(), next.standing.catalog.version(), "the same files again");
            standing = next.standing;
        }
        let healed = standing.succeeded_by(reading(&good()));
        prop_assert!(healed.held.is_empty());
        prop_assert_eq!(healed.standing.catalog.version(), version(&good()));
    }
}
