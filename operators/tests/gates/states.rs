//! What the catalog makes of a record: rollouts, schemas and contracts that are not there, tombstones.

use std::sync::Arc;

use faultline_contracts::{
    catalog::Catalog,
    document::Limits,
    evidence::{Gate, GateResult},
    record::RawRecord,
};
use faultline_operators::gates::Gates;

use crate::verdict::{Verdict, catalog, gates, judge, record};

const CONTRACT: &str = "apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: 1.0.0\nstatus: active\n\
    schema:\n  - name: a\n    properties: [{name: id, logicalType: string, required: true}]\n";

/// Datasets on topics `t0`, `t1`, … by what else stands in their entries.
fn datasets(entries: &[&str], files: &[(&str, &str)]) -> Arc<Catalog> {
    let entry =
        |(n, rest): (usize, &&str)| format!("  - {{urn: 'urn:dp:a:d{n}', topics: [t{n}], producer: p, {rest}}}\n");
    let entries: String = entries.iter().enumerate().map(entry).collect();
    let text = format!("datasets:\n{entries}producers: [{{id: p}}]\ndomains: [{{id: dark, enabled: false}}]\n");
    let mut all = vec![("catalog.yaml", text.as_str()), ("a.odcs.yaml", CONTRACT)];
    all.extend(files);
    catalog(&all)
}

#[test]
fn what_is_not_there_or_broken_is_undecided() {
    let broken = CONTRACT.replace("id: a\n", "id: b\n").replace("required: true", "required: perhaps");
    let catalog = datasets(
        &[
            "schema: 'glue:gone:1'",
            "contract: 'dc:gone:1'",
            "schema: 'glue:gone:1', contract: 'dc:gone:1'",
            "schema: 'file:bad.json'",
            "schema: 'glue:avro:1'",
            "contract: 'dc:b:1'",
            "schema: nonsense, contract: 'dc:a:1'",
        ],
        &[("b.odcs.yaml", &broken), ("bad.json", "{"), ("schemas/avro/1.avsc", "{}")],
    );
    let mut gates = gates(&catalog);
    let expected: [&[&str]; 7] = [
        &["UNKNOWN_SCHEMA:glue:gone:1"],
        &["UNKNOWN_CONTRACT:dc:gone:1"],
        &["UNKNOWN_CONTRACT:dc:gone:1", "UNKNOWN_SCHEMA:glue:gone:1"],
        &["UNKNOWN_SCHEMA:file:bad.json"],
        &["UNKNOWN_SCHEMA:glue:avro:1"],
        &["UNKNOWN_CONTRACT:dc:b:1"],
        &["UNKNOWN_SCHEMA:nonsense"],
    ];
    for (n, codes) in expected.into_iter().enumerate() {
        let topic = format!("t{n}");
        let verdict = judge(&mut gates, &record(&topic, r#"{"id":"1"}"#));
        assert_eq!(verdict.told(), (GateResult::Warn, &[][..], codes.to_vec()));
    }
}

#[test]
fn a_failure_outweighs_doubt_and_keeps_its_reasons() {
    let catalog = datasets(&["schema: 'glue:gone:1', contract: 'dc:a:1'"], &[]);
    let verdict = judge(&mut gates(&catalog), &record("t0", "{}"));
    assert_eq!(
        verdict.told(),
        (GateResult::Fail, &[Gate::Contract][..], vec!["MISSING_FIELD:id", "UNKNOWN_SCHEMA:glue:gone:1"])
    );
}

#[test]
fn bytes_of_an_unknown_format_are_no_failure() {
    let catalog = datasets(
        &["schema: 'glue:avro:1', contract: 'dc:a:1'", "contract: 'dc:a:1'"],
        &[("schemas/avro/1.avsc", "{}")],
    );
    let mut gates = Gates::new(catalog, Limits { max_bytes: 100, max_depth: 4 }, 8);
    for payload in [&b"\x06abc\x02"[..], b"", b"\xff\xfe"] {
        let Verdict { result, failed_gates, codes, details, .. } = judge(&mut gates, &record("t0", payload));
        assert_eq!((result, failed_gates), (GateResult::Warn, vec![]), "{payload:?}");
        assert_eq!((codes, details.len()), (vec!["UNKNOWN_SCHEMA:glue:avro:1".to_owned()], 1));
        let json = judge(&mut gates, &record("t1", payload));
        assert_eq!(json.told(), (GateResult::Fail, &[Gate::Schema][..], vec!["UNPARSEABLE"]), "{payload:?}");
    }
    for (payload, code) in [("[".repeat(50), "TOO_DEEP"), ("1".repeat(101), "TOO_LARGE")] {
        let verdict = judge(&mut gates, &record("t0", &payload));
        assert_eq!(verdict.told().2, [code, "UNKNOWN_SCHEMA:glue:avro:1"], "limits hold for all formats");
        assert_eq!(verdict.failed_gates, [Gate::Schema]);
    }
}

#[test]
fn where_nothing_is_asked_a_document_passes() {
    let mut gates = gates(&datasets(&["tier: 2"], &[]));
    for (payload, result) in [("{}", GateResult::Pass), ("null", GateResult::Pass), ("{", GateResult::Fail)] {
        assert_eq!(judge(&mut gates, &record("t0", payload)).result, result, "{payload}");
    }
}

#[test]
fn rollouts() {
    let entries = ["enabled: false", "enabled: observe", "domain: dark", "domain: dark, enabled: true"];
    let entries = entries.map(|entry| format!("contract: 'dc:a:1', {entry}"));
    let catalog = datasets(&entries.each_ref().map(String::as_str), &[]);
    let mut gates = gates(&catalog);
    for (topic, is_on) in [("t0", false), ("t1", true), ("t2", false), ("t3", false), ("t1", true), ("t0", false)] {
        let verdict = judge(&mut gates, &record(topic, "{}"));
        let expected = if is_on {
            (GateResult::Fail, &[Gate::Contract][..], vec!["MISSING_FIELD:id"])
        } else {
            (GateResult::Fail, &[Gate::Resolution, Gate::Identity][..], vec!["UNKNOWN_PRODUCER", "UNRESOLVED_TOPIC"])
        };
        assert_eq!(verdict.told(), expected, "{topic}");
    }
    let off = catalog.dataset("urn:dp:a:d0").unwrap();
    assert_eq!(gates.judge_as(off, &record("elsewhere", r#"{"id":"1"}"#)).result, GateResult::Pass, "when asked to");
}

#[test]
fn a_null_value_is_a_tombstone_only_with_a_key() {
    let catalog = datasets(&["contract: 'dc:a:1'", "schema: 'glue:gone:1'"], &[]);
    let mut gates = gates(&catalog);
    for topic in ["t0", "t1"] {
        let tombstone = RawRecord { payload: None, ..record(topic, "") };
        assert_eq!(judge(&mut gates, &tombstone).told(), (GateResult::Pass, &[][..], vec![]), "{topic}");
        let nothing = judge(&mut gates, &RawRecord { has_key: false, ..tombstone });
        assert_eq!(nothing.told(), (GateResult::Fail, &[Gate::Schema][..], vec!["UNPARSEABLE"]), "{topic}");
        assert_eq!(nothing.details, ["neither key nor value"]);
    }
    let null = judge(&mut gates, &record("t0", "null"));
    assert_eq!(null.told().2, ["TYPE_MISMATCH:$"], "the text null is a value");
    let empty = judge(&mut gates, &record("t0", ""));
    assert_eq!(empty.told(), (GateResult::Fail, &[Gate::Schema][..], vec!["UNPARSEABLE"]), "and no bytes are none");
    let unknown = RawRecord { payload: None, ..record("nowhere", "") };
    assert_eq!(judge(&mut gates, &unknown).failed_gates, [Gate::Resolution, Gate::Identity]);
}

#[test]
fn gates_fail_together_in_their_order() {
    let files = [
        ("catalog.yaml", "datasets: [{urn: 'urn:dp:a:x', topics: [t], schema: 'file:s.json', contract: 'dc:a:1'}]"),
        ("a.odcs.yaml", CONTRACT),
        ("s.json", r#"{"type": "object", "required": ["at", "id"], "properties": {"at": {"type": "integer"}}}"#),
    ];
    let mut gates = gates(&catalog(&files));
    let verdict = judge(&mut gates, &record("t", r#"{"at":"now"}"#));
    assert_eq!(
        verdict.told(),
        (
            GateResult::Fail,
            &[Gate::Identity, Gate::Schema, Gate::Contract][..],
            vec!["MISSING_FIELD:id", "TYPE_MISMATCH:at", "UNKNOWN_PRODUCER"]
        ),
        "a reason that both gates have is there once"
    );
    assert_eq!(verdict.evidence()["validation"]["failed_gates"], serde_json::json!(["IDENTITY", "SCHEMA", "CONTRACT"]));
    let unparseable = judge(&mut gates, &record("t", "{"));
    assert_eq!(unparseable.failed_gates, [Gate::Identity, Gate::Schema], "no contract is about what cannot be read");
}
