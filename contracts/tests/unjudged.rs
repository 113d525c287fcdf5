//! What a catalog asks and nobody judges is said, with its file; and since when a contract is in force.
#![allow(clippy::unwrap_used)]

use std::fs;

use faultline_contracts::{
    catalog::{Catalog, CatalogFiles, GateState, LoadedCatalog, check},
    diagnostic::{Diagnostic, Severity},
};

const CATALOG: &str = "datasets:\n\
    \x20 - {urn: 'urn:dp:a:x', topics: [a], producer: p, schema: 'glue:s:1', contract: 'dc:a:1'}\n\
    \x20 - {urn: 'urn:dp:a:y', topics: [b], producer: []}\n\
    \x20 - urn: urn:dp:a:z\n\
    \x20   topics: [c]\n\
    producers: [{id: p}]\n";

const CONTRACT: &str = "apiVersion: v3.1.0\n\
    kind: DataContract\n\
    id: a\n\
    version: 1.2.0\n\
    status: active\n\
    schema:\n\
    \x20 - name: a\n\
    \x20   properties:\n\
    \x20     - {name: id, logicalType: string, required: true, unique: true, logicalTypeOptions: {pattern: '^(?!x)'}}\n\
    \x20     - {name: on, logicalType: date, logicalTypeOptions: {format: 'YYYY-ww-e'}}\n";

/// Look-ahead, which takes an engine without a bound in time: judged natively, and below a part that is not.
const SCHEMA: &str = r#"{"properties": {"id": {"type": "string", "pattern": "^(?!y)"},
    "tags": {"propertyNames": {"pattern": "(a)\\1"}}}}"#;

fn load(contract: &str) -> LoadedCatalog {
    Catalog::from_files(&CatalogFiles::of(
        "c",
        [("catalog.yaml", CATALOG), ("a.odcs.yaml", contract), ("schemas/s/1.json", "{}")],
    ))
}

/// `file:line severity[code] message`
fn line(diagnostic: &Diagnostic) -> String {
    let Diagnostic { severity, code, file, line, message, .. } = diagnostic;
    format!("{}:{line} {}[{code}] {message}", file.file_name().unwrap().display(), severity.as_str())
}

#[test]
fn checking_names_what_is_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("schemas/s")).unwrap();
    for (path, text) in [("catalog.yaml", CATALOG), ("a.odcs.yaml", CONTRACT), ("schemas/s/1.json", SCHEMA)] {
        fs::write(dir.path().join(path), text).unwrap();
    }
    let found = check(dir.path());
    assert!(!Diagnostic::any_error(&found), "{found:?}");
    let lines: Vec<String> = found.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "a.odcs.yaml:7 note[odcs-unsupported-rule] 'format' of 'on' is not judged: 'YYYY' in a time pattern",
            "a.odcs.yaml:9 note[odcs-window-rule] 'unique' of 'id' is not judged for each record: \
             it compares records with each other",
            "a.odcs.yaml:9 note[odcs-unsupported-rule] 'pattern' of 'id' is not judged: \
             its pattern needs look-around or back-references, whose time has no bound",
            "catalog.yaml:3 warning[catalog-no-producer] dataset 'urn:dp:a:y' has no producer: \
             gate 2 fails each record that names none",
            "catalog.yaml:4 warning[catalog-no-producer] dataset 'urn:dp:a:z' has no producer: \
             gate 2 fails each record that names none",
            "1.json:0 note[schema-unsupported-keyword] 'pattern' of 'id' is not judged: \
             '^(?!y)' cannot be matched in linear time (look-around, back-reference) or is too large",
            "1.json:0 note[schema-unsupported-keyword] 'propertyNames' of 'tags' is not judged: \
             \"(a)\\\\1\" is not a \"regex\"",
        ]
    );
}

#[test]
fn a_catalog_without_such_things_has_nothing_to_say() {
    let contract = CONTRACT.replace(", unique: true", "").replace("(?!x)", "x").replace("YYYY-ww-e", "uuuu-MM-dd");
    let loaded = load(&contract);
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    assert!(loaded.coverage.iter().all(|d| d.code == "catalog-no-producer"), "{:?}", loaded.coverage);
}

#[test]
fn a_contract_says_since_when_it_is_in_force() {
    let created = |line: &str| {
        let loaded = load(&CONTRACT.replace("schema:\n", &format!("{line}\nschema:\n")));
        let dataset = loaded.catalog.dataset("urn:dp:a:x").unwrap();
        let at = dataset.contract_created.map(|at| at.to_string());
        (at, dataset.contract_state, loaded.diagnostics)
    };
    for (text, at) in [
        ("2023-10-27T09:57:45Z", "2023-10-27T09:57:45.000Z"),
        ("'2023-10-27T11:57:45.250+02:00'", "2023-10-27T09:57:45.250Z"),
        ("\"2022-11-15T02:59:43+00:00\"", "2022-11-15T02:59:43.000Z"),
    ] {
        let (found, state, diagnostics) = created(&format!("contractCreatedTs: {text}"));
        assert_eq!((found.as_deref(), state, diagnostics), (Some(at), GateState::Ok, vec![]), "{text}");
    }
    for absent in ["", "contractCreatedTs:", "contractCreatedTs: null"] {
        assert_eq!(created(absent), (None, GateState::Ok, vec![]), "{absent}");
    }
    for malformed in ["yesterday", "2023-10-27", "1698400665", "''", "2023-13-45T00:00:00Z", "2023-10-27T09:57:45"] {
        let (found, state, diagnostics) = created(&format!("contractCreatedTs: {malformed}"));
        assert_eq!((found, state), (None, GateState::Ok), "the contract judges all the same: {malformed}");
        let [Diagnostic { severity, code, line, column, help, .. }] = &diagnostics[..] else {
            panic!("{diagnostics:?}")
        };
        assert_eq!((*severity, *code), (Severity::Warning, "odcs-bad-timestamp"), "{malformed}");
        assert_eq!((*line, *column), (6, 20), "{malformed}");
        assert_eq!(help.as_deref(), Some("write it as 2023-10-27T09:57:45Z"));
    }
    let (found, state, diagnostics) = created("contractCreatedTs: [2023-10-27T09:57:45Z]");
    assert_eq!((found, state), (None, GateState::Broken), "a list is no text, like anywhere in a contract");
    let errors: Vec<_> = diagnostics.iter().map(|d| (d.line, d.code)).collect();
    assert_eq!(errors[0], (6, "odcs-wrong-type"), "{diagnostics:?}");
}
