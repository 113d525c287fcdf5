//! Records that say by which schema they were written: behind the wire headers of both registries, in all three formats.

use std::sync::{Arc, LazyLock};

use faultline_contracts::{
    catalog::Catalog,
    document::Limits,
    evidence::{Gate, GateResult},
    record::{GateHeaders, RawRecord},
    registry::{RegisteredSchema, RegisteredSchemaError, SchemaFormat, SchemaId, SchemaText},
};
use faultline_operators::gates::{Carried, Gates};
use proptest::prelude::*;
use serde_json::json;

use crate::verdict::{Verdict, catalog, gates, judge, judge_by, record};

const UUID: [u8; 16] = [0xb7, 0xb4, 0xa7, 0xf0, 0x9c, 0x96, 0x4e, 0x4a, 0xa6, 0x87, 0xfb, 0x5d, 0xe9, 0xef, 0xc, 0x63];
pub const GLUE: SchemaId = SchemaId::Glue(UUID);
pub const CONFLUENT: SchemaId = SchemaId::Confluent(17);
const GUID: SchemaId = SchemaId::ConfluentGuid(UUID);

const AVRO: &str = r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": ["null", "string"]},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}, {"name": "qty", "type": "int"}]}"#;
const PROTO: &str = r#"syntax = "proto3"; message Other { string id = 1; }
    message Order { optional string id = 1; int64 at = 2; int32 qty = 3; }"#;
const JSON: &str = r#"{"type": "object", "required": ["qty"]}"#;

/// `id` is there; times are numbers in `counted`, and text elsewhere.
const CONTRACT: &str = "apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: 1.0.0\nstatus: active\nschema:\n  - name: a\n    properties:\n\
    \x20     - {name: id, logicalType: string, required: true}\n\
    \x20     - {name: qty, logicalType: integer, logicalTypeOptions: {minimum: 1}}\n";
const TIMED: &str = "      - {name: at, logicalType: timestamp}\n";
const COUNTED: &str = "      - {name: at, logicalType: timestamp, physicalType: timestamp-millis}\n";

/// The datasets: `json`, `avro` and `proto` have a schema of that format and the contract, `timed` and `counted` an Avro
/// schema and a contract that speaks of its time, `broken` a schema that is not there, `plain` the contract alone, `bare`
/// nothing.
pub fn orders() -> Arc<Catalog> {
    let timed = CONTRACT.replace("id: a\n", "id: timed\n") + TIMED;
    let counted = CONTRACT.replace("id: a\n", "id: counted\n") + COUNTED;
    let entry =
        |topic: &str, rest: &str| format!("  - {{urn: 'urn:dp:a:{topic}', topics: [{topic}], producer: p{rest}}}\n");
    let entries = [
        entry("json", ", contract: 'dc:a:1', schema: 'confluent:json:4'"),
        entry("avro", ", contract: 'dc:a:1', schema: 'glue:avro:4'"),
        entry("proto", ", contract: 'dc:a:1', schema: 'confluent:proto:4'"),
        entry("timed", ", contract: 'dc:timed:1', schema: 'glue:avro:4'"),
        entry("counted", ", contract: 'dc:counted:1', schema: 'glue:avro:4'"),
        entry("broken", ", schema: 'glue:gone:1'"),
        entry("plain", ", contract: 'dc:a:1'"),
        entry("bare", ""),
    ];
    let datasets = format!("datasets:\n{}producers: [{{id: p}}]\n", entries.concat());
    catalog(&[
        ("catalog.yaml", &datasets),
        ("a.odcs.yaml", CONTRACT),
        ("timed.odcs.yaml", &timed),
        ("counted.odcs.yaml", &counted),
        ("schemas/json/4.json", JSON),
        ("schemas/avro/4.avsc", AVRO),
        ("schemas/proto/4.proto", PROTO),
    ])
}

fn text(format: SchemaFormat, name: &str, version: &str, text: &str) -> SchemaText {
    let (name, version) = (name.to_owned(), Some(version.to_owned()));
    SchemaText { format, name, version, text: text.to_owned(), other_names: Vec::new(), references: Vec::new() }
}

pub fn known(id: SchemaId, format: SchemaFormat, name: &str, version: &str) -> Arc<RegisteredSchema> {
    let schema = match format {
        SchemaFormat::Json => JSON,
        SchemaFormat::Avro => AVRO,
        SchemaFormat::Protobuf => PROTO,
    };
    Arc::new(RegisteredSchema::compile(id, text(format, name, version, schema)).unwrap())
}

pub fn behind_confluent(body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, 17][..], body].concat()
}

pub fn behind_glue(body: &[u8]) -> Vec<u8> {
    [&[3, 0][..], &UUID, body].concat()
}

/// With one stored block, which is zlib without compression: RFC 1950 and 1951.
fn behind_deflated_glue(body: &[u8]) -> Vec<u8> {
    let length = body.len() as u16;
    let (a, b) = body.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    let mut zlib = vec![0x78, 0x01, 0x01];
    zlib.extend(length.to_le_bytes());
    zlib.extend((!length).to_le_bytes());
    zlib.extend(body);
    zlib.extend((b << 16 | a).to_be_bytes());
    [&[3, 5][..], &UUID, &zlib].concat()
}

/// An order of this id and quantity, at one second past the epoch.
pub fn avro(id: Option<&str>, qty: i8) -> Vec<u8> {
    let mut body = vec![if id.is_some() { 2 } else { 0 }];
    if let Some(id) = id {
        body.push(id.len() as u8 * 2);
        body.extend(id.as_bytes());
    }
    body.extend([0xd0, 0x0f, (qty << 1 ^ qty >> 7) as u8]);
    body
}

pub fn proto(id: Option<&str>, qty: u8) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some(id) = id {
        body.extend([0x0a, id.len() as u8]);
        body.extend(id.as_bytes());
    }
    body.extend([0x10, 0xe8, 0x07, 0x18, qty]);
    body
}

/// Each format behind each header: a record that passes, one that breaks the contract, one that breaks the schema.
#[test]
fn each_format_behind_each_header() {
    let catalog = orders();
    let mut gates = gates(&catalog);
    let indexed = |index: &[u8], body: Vec<u8>| [index, &body].concat();
    let (confluent, glue): (&[u8], &[u8]) = (b"\x02\x02", b"\x00");
    for (format, topic, name, bodies, broken) in [
        (
            SchemaFormat::Json,
            "json",
            "json",
            [br#"{"id":"1","qty":1}"#.to_vec(), br#"{"qty":0}"#.to_vec(), br#"{"id":"1"}"#.to_vec()],
            "MISSING_FIELD:qty",
        ),
        (SchemaFormat::Avro, "avro", "avro", [avro(Some("1"), 1), avro(None, 0), b"\x02\x02".to_vec()], "UNPARSEABLE"),
        (
            SchemaFormat::Protobuf,
            "proto",
            "proto",
            [proto(Some("1"), 1), proto(None, 0), b"\x0a\x05x".to_vec()],
            "UNPARSEABLE",
        ),
    ] {
        for (id, frame, index) in [
            (CONFLUENT, behind_confluent as fn(&[u8]) -> Vec<u8>, confluent),
            (GLUE, behind_glue, glue),
            (GLUE, behind_deflated_glue, glue),
        ] {
            let index = if format == SchemaFormat::Protobuf { index } else { b"" };
            let schema = known(id, format, name, "4");
            let payloads = bodies.each_ref().map(|body| frame(&indexed(index, body.clone())));
            let null = if format == SchemaFormat::Avro { "NULL_FIELD:id" } else { "MISSING_FIELD:id" };
            let expected = [
                (GateResult::Pass, &[][..], vec![]),
                (GateResult::Fail, &[Gate::Contract][..], vec![null, "OUT_OF_RANGE:qty"]),
                (GateResult::Fail, &[Gate::Schema][..], vec![broken]),
            ];
            for (payload, expected) in payloads.iter().zip(expected) {
                let judged = record(topic, payload);
                assert_eq!(gates.schema_id(&judged), Some(id));
                let verdict = judge_by(&mut gates, &judged, Carried::Known(&schema));
                assert_eq!(verdict.told(), expected, "{format} {id} {:?}", verdict.details);
                assert_eq!(verdict.evidence()["schema"], schema.reference());
                assert_eq!(verdict.details.len(), usize::from(broken == "UNPARSEABLE" && verdict.codes == [broken]));
            }
        }
    }
}

#[test]
fn the_id_in_a_kafka_header() {
    let mut gates = gates(&orders());
    let header = [&[1][..], &UUID, b"\x02\x02"].concat();
    let headers = GateHeaders { schema_id: Some(&header), ..GateHeaders::default() };
    let schema = known(GUID, SchemaFormat::Protobuf, "proto", "4");
    let order = proto(Some("1"), 1);
    let judged = RawRecord { headers, ..record("proto", &order) };
    assert_eq!(gates.schema_id(&judged), Some(GUID));
    assert_eq!(judge_by(&mut gates, &judged, Carried::Known(&schema)).result, GateResult::Pass);
    let headers = GateHeaders { schema_id: Some(b"17"), ..GateHeaders::default() };
    let Verdict { codes, details, .. } = judge(&mut gates, &RawRecord { headers, ..record("json", "{}") });
    assert_eq!(
        (codes, details),
        (vec!["UNPARSEABLE".to_owned()], vec!["the header __value_schema_id holds no schema id".to_owned()])
    );
}

#[test]
fn the_id_in_the_record_wins_over_the_catalogs() {
    let mut gates = gates(&orders());
    let strict = r#"{"required": ["total"]}"#;
    let newer = Arc::new(RegisteredSchema::compile(CONFLUENT, text(SchemaFormat::Json, "json", "5", strict)).unwrap());
    let payload = behind_confluent(br#"{"id":"1"}"#);
    let verdict = judge_by(&mut gates, &record("json", &payload), Carried::Known(&newer));
    assert_eq!(verdict.told(), (GateResult::Fail, &[Gate::Schema][..], vec!["MISSING_FIELD:total"]));
    let evidence = verdict.evidence();
    assert_eq!(evidence["schema"], "confluent:json:5");
    assert_eq!(evidence["schema_drift"], json!({"catalog": "confluent:json:4", "record": "confluent:json:5"}));

    // Another format than the catalog's is one more difference, and no obstacle.
    let other = known(GLUE, SchemaFormat::Avro, "orders", "1");
    let verdict = judge_by(&mut gates, &record("json", &behind_glue(&avro(Some("1"), 1))), Carried::Known(&other));
    assert_eq!(
        (verdict.result, &verdict.evidence()["schema_drift"]["record"]),
        (GateResult::Pass, &json!("glue:orders:1"))
    );

    let same = known(SchemaId::Confluent(16), SchemaFormat::Json, "json", "4");
    let payload = behind_confluent(br#"{"id":"1","qty":1}"#);
    for (topic, carried) in
        [("json", Carried::Known(&same)), ("bare", Carried::Known(&newer)), ("json", Carried::Unasked)]
    {
        let verdict = judge_by(&mut gates, &record(topic, &payload), carried);
        assert_eq!(verdict.evidence().get("schema_drift"), None, "{topic}");
    }
    // A schema that the catalog does not have does not matter where the record brings its own.
    let verdict = judge_by(&mut gates, &record("broken", &payload), Carried::Known(&same));
    assert_eq!(verdict.told(), (GateResult::Pass, &[][..], vec![]));
}

#[test]
fn schemas_that_nobody_has() {
    let mut gates = gates(&orders());
    let payload = behind_confluent(b"\x02\x02whatever");
    let told = |gates: &mut Gates, topic: &str, carried: Carried<'_>| {
        let verdict = judge_by(gates, &record(topic, &payload), carried);
        let schema = verdict.evidence()["schema"].as_str().map(str::to_owned);
        (verdict.result, verdict.failed_gates, verdict.codes, schema)
    };
    let confluent = Some("confluent:17".to_owned());
    for topic in ["json", "avro", "proto", "plain", "bare", "broken"] {
        assert_eq!(
            told(&mut gates, topic, Carried::Unknown),
            (GateResult::Fail, vec![Gate::Schema], vec!["UNKNOWN_SCHEMA:confluent:17".into()], confluent.clone())
        );
        assert_eq!(
            told(&mut gates, topic, Carried::Unavailable),
            (GateResult::Warn, vec![], vec!["REGISTRY_UNAVAILABLE".into()], confluent.clone()),
            "never a failure"
        );
    }
    let broken = |format| -> Arc<RegisteredSchemaError> {
        Arc::new(RegisteredSchema::compile(CONFLUENT, text(format, "orders-value", "9", "{")).unwrap_err())
    };
    let unknown = vec!["UNKNOWN_SCHEMA:confluent:orders-value:9".to_owned()];
    let avro = broken(SchemaFormat::Avro);
    assert_eq!(
        told(&mut gates, "avro", Carried::Broken(&avro)),
        (GateResult::Warn, vec![], unknown.clone(), Some("confluent:orders-value:9".into()))
    );
    let json = broken(SchemaFormat::Json);
    for (body, result, codes) in [
        (r#"{"id":"1"}"#, GateResult::Warn, unknown.clone()),
        (r#"{"id":"1","qty":0}"#, GateResult::Fail, [vec!["OUT_OF_RANGE:qty".to_owned()], unknown].concat()),
    ] {
        let verdict = judge_by(&mut gates, &record("json", &behind_confluent(body.as_bytes())), Carried::Broken(&json));
        assert_eq!((verdict.result, verdict.codes), (result, codes), "the contract is judged all the same");
    }
}

#[test]
fn without_a_registry_the_catalogs_schema_stands_in() {
    let mut gates = gates(&orders());
    let indexed = [b"\x02\x02", &proto(Some("1"), 1)[..]].concat();
    for (topic, body) in [
        ("json", br#"{"id":"1","qty":1}"#.to_vec()),
        ("avro", avro(Some("1"), 1)),
        ("proto", indexed),
        ("plain", br#"{"id":"1"}"#.to_vec()),
    ] {
        let verdict = judge(&mut gates, &record(topic, &behind_confluent(&body)));
        assert_eq!(verdict.told(), (GateResult::Pass, &[][..], vec![]), "{topic} {:?}", verdict.details);
    }
    let verdict = judge(&mut gates, &record("avro", &behind_glue(&avro(None, 1))));
    assert_eq!((verdict.told().2, &verdict.evidence()["schema"]), (vec!["NULL_FIELD:id"], &json!("glue:avro:4")));
    for topic in ["plain", "bare"] {
        let verdict = judge(&mut gates, &record(topic, &behind_confluent(b"\x02\x02x")));
        assert_eq!(verdict.told(), (GateResult::Warn, &[][..], vec!["REGISTRY_UNAVAILABLE"]), "it may be sound Avro");
    }
    let verdict = judge(&mut gates, &record("broken", &behind_confluent(b"\x02\x02x")));
    assert_eq!(verdict.told(), (GateResult::Warn, &[][..], vec!["UNKNOWN_SCHEMA:glue:gone:1"]));
    let verdict = judge(&mut gates, &record("json", &behind_confluent(b"\x02\x02x")));
    assert_eq!(verdict.told(), (GateResult::Fail, &[Gate::Schema][..], vec!["UNPARSEABLE"]));
}

#[test]
fn records_in_binary_formats_have_a_header() {
    let mut gates = gates(&orders());
    for (topic, payload) in [("avro", &br#"{"id":"1","qty":1}"#[..]), ("proto", b"\x0a\x01x"), ("avro", b"\x04")] {
        let verdict = judge(&mut gates, &record(topic, payload));
        assert_eq!(verdict.told(), (GateResult::Fail, &[Gate::Schema][..], vec!["UNPARSEABLE"]));
        assert!(verdict.details[0].contains("wire header, and this has none"), "{:?}", verdict.details);
    }
    for (topic, payload) in [("json", &b"\0\0\0"[..]), ("plain", b"\x03\x07"), ("bare", b"\x01")] {
        let verdict = judge(&mut gates, &record(topic, payload));
        assert_eq!(verdict.told(), (GateResult::Fail, &[Gate::Schema][..], vec!["UNPARSEABLE"]));
        assert!(verdict.details[0].contains("wire header"), "{:?}", verdict.details);
    }
}

#[test]
fn times_are_what_the_contract_speaks_of() {
    let mut gates = gates(&orders());
    let payload = behind_glue(&avro(Some("1"), 1));
    for (format, topic) in [(SchemaFormat::Avro, "timed"), (SchemaFormat::Avro, "counted")] {
        let schema = known(GLUE, format, "avro", "4");
        for carried in [Carried::Unasked, Carried::Known(&schema)] {
            let verdict = judge_by(&mut gates, &record(topic, &payload), carried);
            assert_eq!(verdict.told(), (GateResult::Pass, &[][..], vec![]), "{topic}");
        }
    }
}

#[test]
fn limits_hold_for_what_records_become() {
    let catalog = orders();
    let small = Limits { max_bytes: 64, max_depth: 8 };
    let schema = known(GLUE, SchemaFormat::Avro, "avro", "4");
    let order = avro(Some("a long id, which takes its place in the text"), 1);
    let codes =
        |gates: &mut Gates, payload: &[u8]| judge_by(gates, &record("avro", payload), Carried::Known(&schema)).codes;
    let mut gates = Gates::new(catalog.clone(), small, 8);
    assert!(codes(&mut gates, &behind_glue(&order)).is_empty(), "the text may be longer than the record");
    assert_eq!(codes(&mut gates, &behind_deflated_glue(&[0; 65])), ["TOO_LARGE"]);
    let mut gates = Gates::new(catalog, small, 8).with_decoded_bytes(80);
    assert_eq!(codes(&mut gates, &behind_glue(&order)), ["TOO_LARGE"]);
}

#[test]
fn what_has_no_part_in_judging_is_not_asked_for() {
    let mut gates = gates(&orders());
    let framed = behind_confluent(b"{}");
    assert_eq!(gates.schema_id(&record("nobody's", &framed)), None, "strangers cannot have ids looked up");
    assert_eq!(gates.schema_id(&record("json", "{}")), None);
    assert_eq!(gates.schema_id(&RawRecord { payload: None, ..record("json", "") }), None);
    assert_eq!(gates.schema_id(&record("json", &[0, 0, 0])), None);
    let tombstone = RawRecord { payload: None, ..record("avro", "") };
    assert_eq!(judge(&mut gates, &tombstone).result, GateResult::Pass);
}

#[test]
fn another_catalog_forgets_what_was_compiled_for_the_one_before() {
    let mut gates = gates(&orders());
    let schema = known(CONFLUENT, SchemaFormat::Json, "json", "4");
    let payload = behind_confluent(br#"{"qty":1}"#);
    let codes = |gates: &mut Gates| judge_by(gates, &record("json", &payload), Carried::Known(&schema)).codes;
    assert_eq!(codes(&mut gates), ["MISSING_FIELD:id"]);
    let lenient = CONTRACT.replace("required: true", "required: false");
    let datasets = "datasets: [{urn: 'urn:dp:a:json', topics: [json], producer: p, contract: 'dc:a:1'}]";
    gates.set_catalog(catalog(&[("catalog.yaml", datasets), ("a.odcs.yaml", &lenient)]));
    assert!(codes(&mut gates).is_empty());
}

static ORDERS: LazyLock<Arc<Catalog>> = LazyLock::new(orders);

/// A schema of each format, and a broken one.
static SCHEMAS: LazyLock<[(Arc<RegisteredSchema>, Arc<RegisteredSchemaError>); 3]> = LazyLock::new(|| {
    [SchemaFormat::Json, SchemaFormat::Avro, SchemaFormat::Protobuf].map(|format| {
        let broken = RegisteredSchema::compile(CONFLUENT, text(format, "any", "1", "{")).unwrap_err();
        (known(CONFLUENT, format, "any", "1"), Arc::new(broken))
    })
});

proptest! {
    /// Whatever stands behind a header, it is judged, alike each time, and its evidence stays small.
    #[test]
    fn fuzz_framed_records(
        topic in proptest::sample::select(vec!["json", "avro", "proto", "timed", "counted", "broken", "plain", "bare"]),
        frame in 0..5,
        body in proptest::collection::vec(prop_oneof![3 => 0_u8..24, 1 => any::<u8>()], 0..60),
        kind in 0..7_usize,
    ) {
        let mut gates = Gates::new(ORDERS.clone(), Limits { max_bytes: 600, max_depth: 6 }, 8).with_decoded_bytes(1_000);
        let payload = match frame {
            0 => behind_confluent(&body),
            1 => behind_glue(&body),
            2 => behind_deflated_glue(&body),
            3 => [&[3, 5][..], &UUID, &body].concat(),
            _ => body,
        };
        let judged = record(topic, &payload);
        let Some(id) = gates.schema_id(&judged) else {
            judge(&mut gates, &judged);
            return Ok(());
        };
        prop_assert!(id == CONFLUENT || id == GLUE || frame == 4);
        let (schema, broken) = &SCHEMAS[kind % 3];
        let carried = match kind {
            0..3 => Carried::Known(schema),
            3 => Carried::Broken(broken),
            4 => Carried::Unknown,
            5 => Carried::Unavailable,
            _ => Carried::Unasked,
        };
        let verdict = judge_by(&mut gates, &judged, carried);
        prop_assert_eq!(&judge_by(&mut gates, &judged, carried), &verdict);
        prop_assert!(verdict.json.len() < 4_000);
        prop_assert!(kind != 5 || verdict.result == GateResult::Warn);
        prop_assert!(kind != 4 || verdict.result == GateResult::Fail);
    }
}
