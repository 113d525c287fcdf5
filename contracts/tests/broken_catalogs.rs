//! What is broken is named with its place, and costs no more than itself.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use faultline_contracts::{
    catalog::{Catalog, CatalogFiles, GateState, LoadedCatalog, SchemaRef, check},
    diagnostic::Severity,
    names::EntityNames,
    policy::Rollout,
    registry::{SchemaFormat, SchemaText},
};

const CONTRACT: &str = "apiVersion: v3.1.0\n\
                        kind: DataContract\n\
                        id: a\n\
                        version: 1.2.0\n\
                        status: active\n\
                        domain: d\n\
                        schema:\n\
                        \x20 - name: a.topic\n\
                        \x20   properties:\n\
                        \x20     - {name: id, required: true}\n";

fn load(files: &[(&str, &str)]) -> LoadedCatalog {
    Catalog::from_files(&CatalogFiles::of("c", files.iter().copied()))
}

/// The findings as `file:line:column: severity[code]`.
fn places(loaded: &LoadedCatalog) -> Vec<String> {
    let short = |text: String| text.split_once("]: ").map(|(head, _)| format!("{head}]")).unwrap();
    loaded.diagnostics.iter().map(|d| short(d.to_string())).collect()
}

#[test]
fn one_broken_contract_leaves_the_rest_working() {
    let catalog = "datasets:\n\
                   \x20 - urn: urn:dp:a:x\n\
                   \x20   topics: [a.topic]\n\
                   \x20   contract: dc:a:1\n\
                   \x20 - urn: urn:dp:b:x\n\
                   \x20   topics: [b.topic]\n\
                   \x20   contract: dc:b:1\n\
                   \x20   schema: file:b.json\n";
    let broken = CONTRACT.replace("id: a\n", "id: b\n").replace("required: true", "required: maybe");
    let loaded = load(&[
        ("catalog.yaml", catalog),
        ("a.odcs.yaml", CONTRACT),
        ("b.yaml", &broken),
        ("b.json", r#"{"type":"object"}"#),
    ]);
    assert_eq!(
        places(&loaded),
        ["c/b.yaml:10:30: error[odcs-wrong-type]", "c/catalog.yaml:7:15: warning[catalog-broken-contract]"]
    );
    let (a, b) =
        (loaded.catalog.dataset_of_topic("a.topic").unwrap(), loaded.catalog.dataset_of_topic("b.topic").unwrap());
    assert_eq!((a.contract_state, a.schema_state, a.validator.is_some()), (GateState::Ok, GateState::None, true));
    assert_eq!((b.contract_state, b.schema_state, b.validator.is_some()), (GateState::Broken, GateState::Ok, true));
    assert_eq!((a.domain.as_deref(), a.tier, a.slo_millionths), (Some("d"), 3, 990_000), "the defaults");
}

#[test]
fn entries_are_read_one_by_one() {
    let catalog = "datasets:\n\
                   \x20 - topics: [x]\n\
                   \x20 - urn: urn:dp:a:x\n\
                   \x20   topics: [ok, 'a(b']\n\
                   \x20   compliance_slo: 95\n\
                   \x20   tier: 9\n\
                   \x20   enabled: sometimes\n\
                   \x20   complance_slo: 0.9\n\
                   \x20   producer: ghost\n\
                   \x20 - nonsense\n\
                   \x20 - urn: urn:dp:a:x\n\
                   \x20   topics: [late]\n\
                   producers:\n\
                   \x20 - {id: p, aliases: [q]}\n\
                   \x20 - {id: q, aliases: [p, r]}\n\
                   \x20 - {id: s, aliases: [r]}\n\
                   assets:\n\
                   \x20 - {id: t, kind: TABEL}\n\
                   \x20 - {id: u, kind: TABLE, consumes: [nowhere, u], aliases: [v, 'urn:dp:a:x']}\n\
                   \x20 - {id: w, kind: TABLE, consumes: [v], aliases: [v]}\n\
                   extra: 1\n";
    let loaded = load(&[("catalog.yaml", catalog)]);
    assert_eq!(
        places(&loaded),
        [
            "c/catalog.yaml:2:5: error[catalog-missing-key]",
            "c/catalog.yaml:4:18: error[catalog-bad-topic]",
            "c/catalog.yaml:5:21: error[catalog-bad-slo]",
            "c/catalog.yaml:6:11: error[catalog-bad-tier]",
            "c/catalog.yaml:7:14: error[catalog-bad-rollout]",
            "c/catalog.yaml:8:5: error[catalog-unknown-key]",
            "c/catalog.yaml:9:15: error[catalog-unknown-producer]",
            "c/catalog.yaml:10:5: error[catalog-wrong-type]",
            "c/catalog.yaml:11:10: error[catalog-duplicate-id]",
            "c/catalog.yaml:14:23: error[catalog-alias-clash]",
            "c/catalog.yaml:15:23: error[catalog-alias-clash]",
            "c/catalog.yaml:16:23: error[catalog-alias-clash]",
            "c/catalog.yaml:18:13: error[catalog-unknown-kind]",
            "c/catalog.yaml:19:37: warning[catalog-unknown-consumes]",
            "c/catalog.yaml:19:46: error[catalog-consumes-itself]",
            "c/catalog.yaml:19:63: error[catalog-alias-clash]",
            "c/catalog.yaml:20:51: error[catalog-alias-clash]",
            "c/catalog.yaml:21:1: error[catalog-unknown-key]",
        ]
    );
    let typo = loaded.diagnostics.iter().find(|d| d.line == 8).unwrap();
    assert_eq!(typo.help.as_deref(), Some("did you mean 'compliance_slo'?"));
    let dataset = loaded.catalog.dataset_of_topic("ok").unwrap();
    assert_eq!((dataset.slo_millionths, dataset.tier, dataset.rollout), (990_000, 3, Rollout::Observe));
    assert_eq!(dataset.producers, ["ghost".into()]);
    assert_eq!(loaded.catalog.producer("r").unwrap().id.as_ref(), "q", "the first id wins");
    assert_eq!(loaded.catalog.assets().len(), 2);
    assert_eq!(loaded.catalog.alias("v").unwrap().as_str(), "u");
}

#[test]
fn a_topic_belongs_to_one_dataset() {
    let catalog = "datasets:\n\
                   \x20 - {urn: 'urn:dp:b:x', topics: [t, 'raw\\..*']}\n\
                   \x20 - {urn: 'urn:dp:a:x', topics: [t, raw.a, 'raw\\..*']}\n";
    let loaded = load(&[("catalog.yaml", catalog)]);
    assert_eq!(
        places(&loaded),
        ["c/catalog.yaml:2:34: error[catalog-topic-claimed]", "c/catalog.yaml:2:37: error[catalog-topic-claimed]"]
    );
    let urn = |topic: &str| loaded.catalog.dataset_of_topic(topic).map(|d| d.urn.to_string());
    assert_eq!(urn("t").as_deref(), Some("urn:dp:a:x"), "the first in URN order, not in the file");
    assert_eq!(urn("raw.b").as_deref(), Some("urn:dp:a:x"));
    assert_eq!(urn("unknown"), None);
}

#[test]
fn references_that_lead_nowhere() {
    let entry = |n: usize, rest: &str| format!("  - {{urn: 'urn:dp:d:{n}', topics: [t{n}], {rest}}}\n");
    let references = [
        "contract: 'dc:a:2'",
        "contract: orders",
        "schema: 'glue:s:1'",
        "schema: 'file:../../etc/passwd.json'",
        "schema: 'glue:bad:1'",
        "schema: 'glue:invalid:1'",
        "schema: 'confluent:avro-value:3'",
    ];
    let catalog: String = references.iter().enumerate().map(|(n, rest)| entry(n, rest)).collect();
    let catalog = format!("datasets:\n{catalog}");
    let loaded = load(&[
        ("catalog.yaml", &catalog),
        ("a.yaml", CONTRACT),
        ("notes.yaml", "hello: world\n"),
        ("schemas/bad/1.json", "{\n  \"type\": \"object\",\n}"),
        ("schemas/invalid/1.json", r#"{"type": "text"}"#),
        ("schemas/avro-value/3.avsc", r#"{"type": "record"}"#),
    ]);
    assert_eq!(
        places(&loaded),
        [
            "c/catalog.yaml:2:49: error[catalog-contract-not-found]",
            "c/catalog.yaml:3:49: error[catalog-bad-reference]",
            "c/catalog.yaml:4:47: error[catalog-schema-not-found]",
            "c/catalog.yaml:5:47: error[catalog-bad-reference]",
            "c/catalog.yaml:6:47: warning[catalog-broken-schema]",
            "c/catalog.yaml:7:47: warning[catalog-broken-schema]",
            "c/catalog.yaml:8:47: warning[catalog-broken-schema]",
            "c/notes.yaml: note[catalog-not-a-contract]",
            "c/schemas/avro-value/3.avsc: error[schema-invalid]",
            "c/schemas/bad/1.json:3:1: error[schema-syntax]",
            "c/schemas/invalid/1.json: error[schema-invalid]",
        ]
    );
    assert_eq!(loaded.diagnostics[0].help.as_deref(), Some("these versions are: 1.2.0"));
    let broken = |d: &std::sync::Arc<faultline_contracts::catalog::DatasetEntry>| {
        d.schema_state == GateState::Broken || d.contract_state == GateState::Broken
    };
    assert!(loaded.catalog.datasets().iter().all(broken), "resolved, and undecided");
    assert_eq!(loaded.catalog.datasets().len(), references.len());
}

#[test]
fn versions_are_exact_or_a_major() {
    let catalog = "datasets:\n\
                   \x20 - {urn: 'urn:dp:d:1', topics: [t1], contract: 'dc:a:1'}\n\
                   \x20 - {urn: 'urn:dp:d:2', topics: [t2], contract: 'dc:a:1.2.0'}\n";
    let newer = CONTRACT.replace("1.2.0", "1.10.0").replace("domain: d", "domain: newer");
    let loaded =
        load(&[("catalog.yaml", catalog), ("x/old.yaml", CONTRACT), ("x/new.yml", &newer), ("z.yaml", CONTRACT)]);
    assert_eq!(places(&loaded), ["c/z.yaml:3:1: error[catalog-duplicate-contract]"]);
    let domains: Vec<_> = loaded.catalog.datasets().iter().map(|d| d.domain.as_deref().unwrap().to_owned()).collect();
    assert_eq!(domains, ["newer", "d"], "the newest of a major, and the exact one");
}

#[test]
fn a_contract_of_several_objects_needs_one_about_the_topic() {
    let two = format!(
        "{CONTRACT}\x20 - name: other\n    physicalName: b.topic\n    properties: [{{name: n, required: true}}]\n"
    );
    let catalog = "datasets:\n\
                   \x20 - {urn: 'urn:dp:d:1', topics: ['b\\.[a-z]+'], contract: 'dc:a:1'}\n\
                   \x20 - {urn: 'urn:dp:d:2', topics: [elsewhere], contract: 'dc:a:1'}\n";
    let loaded = load(&[("catalog.yaml", catalog), ("two.yaml", &two)]);
    assert_eq!(places(&loaded), ["c/catalog.yaml:3:56: error[catalog-no-schema-object]"]);
    let states: Vec<_> = loaded.catalog.datasets().iter().map(|d| d.contract_state).collect();
    assert_eq!(states, [GateState::Ok, GateState::Broken]);
}

#[test]
fn a_catalog_that_is_none_is_empty() {
    for (text, expected) in [
        ("datasets: [", "c/catalog.yaml:1:"),
        ("- a", "c/catalog.yaml:1:1: error[catalog-wrong-type]"),
        ("datasets: 3", "c/catalog.yaml:1:11: error[catalog-wrong-type]"),
    ] {
        let loaded = load(&[("catalog.yaml", text)]);
        assert!(places(&loaded)[0].starts_with(expected), "{:?}", loaded.diagnostics);
        assert!(loaded.catalog.datasets().is_empty());
    }
    assert_eq!(places(&load(&[])), ["c/catalog.yaml: error[catalog-missing]"]);
    assert!(places(&load(&[("catalog.yaml", "# nothing yet\n")])).is_empty());
}

#[test]
fn the_version_is_that_of_the_contents() {
    let version = |text: &str| load(&[("catalog.yaml", text)]).catalog.version();
    assert_eq!(version("datasets: []\n"), version("datasets: []\r\n"));
    assert_ne!(version("datasets: []\n"), version("assets: []\n"));
}

#[test]
fn directories_are_read_with_their_folders() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &[u8]| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "catalog.yaml",
        b"datasets:\n  - {urn: 'urn:dp:a:x', topics: [a.topic], contract: 'dc:a:1', schema: 'glue:s:1'}\n",
    );
    write("team/deep/a.odcs.yaml", CONTRACT.replace("required: true", "required: true, unique: true").as_bytes());
    write("schemas/s/1.json", b"{}");
    write(".git/broken.odcs.yaml", b"[");
    write("latin.yaml", b"caf\xe9");
    let loaded = Catalog::load(dir.path());
    let codes: Vec<_> = loaded.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["catalog-unreadable"]);
    assert!(loaded.diagnostics[0].file.ends_with("latin.yaml"));
    let dataset = loaded.catalog.dataset_of_topic("a.topic").unwrap();
    assert_eq!((dataset.schema_state, dataset.contract_state), (GateState::Ok, GateState::Ok));
    let found = check(dir.path());
    assert_eq!(found.iter().filter(|d| d.severity == Severity::Note && d.code == "odcs-window-rule").count(), 1);
    assert_eq!(check(Path::new("/nowhere/at/all")).len(), 2, "unreadable, and no catalog.yaml");
}

#[test]
fn schemas_of_all_formats_are_judged() {
    let avro = r#"{"type": "record", "name": "A", "fields": []}"#;
    let entry = |name: &str, schema: &str| {
        format!("  - {{urn: 'urn:{name}', topics: [{name}], producer: p, schema: '{schema}'}}\n")
    };
    let datasets = [
        entry("avro", "glue:a:1"),
        entry("proto", "confluent:b:1"),
        entry("file", "file:c.avsc"),
        entry("fetched", "glue:gone:1"),
    ];
    let catalog = format!("datasets:\n{}producers: [{{id: p}}]\n", datasets.concat());
    let shared = "syntax = \"proto3\"; message S { int32 n = 1; }";
    let proto = "syntax = \"proto3\"; import \"shared/s.proto\"; message B { S s = 1; }";
    let mut files = CatalogFiles::of(
        "c",
        [
            ("catalog.yaml", catalog.as_str()),
            ("schemas/a/1.avsc", avro),
            ("schemas/b/1.proto", proto),
            ("schemas/shared/s.proto", shared),
            ("c.avsc", avro),
        ],
    );
    let version = Catalog::from_files(&files).catalog.version();
    let fetched = SchemaText {
        format: SchemaFormat::Avro,
        name: "gone".into(),
        version: Some("1".into()),
        text: avro.into(),
        other_names: Vec::new(),
        references: Vec::new(),
    };
    files.insert_schema(&SchemaRef::parse("glue:gone:1").unwrap(), fetched);
    let loaded = Catalog::from_files(&files);
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    assert_ne!(loaded.catalog.version(), version, "what a registry says is part of the catalog");
    for (topic, format) in [
        ("avro", SchemaFormat::Avro),
        ("proto", SchemaFormat::Protobuf),
        ("file", SchemaFormat::Avro),
        ("fetched", SchemaFormat::Avro),
    ] {
        let dataset = loaded.catalog.dataset_of_topic(topic).unwrap();
        assert_eq!(dataset.schema_state, GateState::Ok, "{topic}");
        assert_eq!(dataset.model.as_ref().map(|model| model.format()), Some(format), "{topic}");
        assert!(dataset.validator.is_none(), "no contract");
    }
}

proptest::proptest! {
    /// A catalog with lines lost, doubled, moved in or turned into noise is read or reported, and nothing panics.
    #[test]
    fn fuzz_mangled_catalogs(
        edits in proptest::collection::vec((0..200_usize, 0..5_u8, "[ -~]{0,12}"), 1..6),
    ) {
        let text = include_str!("../examples/orders/catalog.yaml");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (at, edit, noise) in edits {
            let at = at % lines.len();
            let key = lines[at].split(':').next().unwrap_or_default().to_owned();
            match edit {
                0 => _ = lines.remove(at),
                1 => lines.insert(at, lines[at].clone()),
                2 => lines[at].insert_str(0, "  "),
                3 => lines[at] = key + &noise,
                _ => lines[at] = format!("{key}: {noise}"),
            }
        }
        let loaded = load(&[("catalog.yaml", &lines.join("\n"))]);
        for dataset in loaded.catalog.datasets() {
            let found = loaded.catalog.dataset(dataset.urn.as_str()).map(|dataset| &dataset.urn);
            proptest::prop_assert_eq!(found, Some(&dataset.urn));
            proptest::prop_assert!((1..=4).contains(&dataset.tier) && dataset.slo_millionths <= 1_000_000);
        }
    }
}
