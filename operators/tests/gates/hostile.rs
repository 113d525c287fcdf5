//! Inputs that must not hurt: each gives evidence with a bounded reason, or is refused by its reader.

use std::fmt::Write as _;

use faultline_contracts::{
    document::Limits,
    evidence::{Confidence, Gate, GateResult},
    validator::Findings,
};
use faultline_operators::{
    decode::kcat::{self, MAX_HEADERS},
    gates::Gates,
};

use crate::verdict::{catalog, example, gates, judge, record};

const ORDERS: &str = "raw.orders.events";

/// A dataset whose contract bounds integers where floats lose them, and one whose schema does.
fn bounds() -> Gates {
    let contract = "apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: 1.0.0\nstatus: active\nschema:\n  - name: a\n\
        \x20   properties:\n\
        \x20     - {name: n, logicalType: number, logicalTypeOptions: {minimum: -9007199254740993, maximum: 9007199254740993}}\n\
        \x20     - {name: i, logicalType: integer, logicalTypeOptions: {format: i64}}\n\
        \x20     - {name: u, logicalType: integer, logicalTypeOptions: {format: u128}}\n";
    let schema = r#"{"properties": {"n": {"minimum": -9223372036854775808, "maximum": 18446744073709551615}}}"#;
    let datasets = "datasets:\n  - {urn: 'urn:dp:a:c', topics: [contracted], producer: p, contract: 'dc:a:1'}\n\
        \x20 - {urn: 'urn:dp:a:s', topics: [schemed], producer: p, schema: 'file:s.json'}\n";
    gates(&catalog(&[("catalog.yaml", datasets), ("a.odcs.yaml", contract), ("s.json", schema)]))
}

#[test]
fn bytes_that_are_no_json() {
    let mut gates = gates(&example("orders"));
    let truncated = br#"{"order_id":"O-1","customer_id":"C-1","tot"#;
    let payloads: [&[u8]; 17] = [
        b"",
        b" \n\t",
        b"hello",
        truncated,
        b"\xef\xbb\xbf{}",
        b"{\"order_id\":\"\xff\"}",
        b"\xed\xa0\x80",
        b"{\"order_id\":\"\\ud800\"}",
        b"{\"order_id\":NaN}",
        b"{\"total_amount\":Infinity}",
        b"{\"total_amount\":01}",
        b"{\"order_id\":\"a\x00b\"}",
        b"{,}",
        b"[1,]",
        b"\x00\x00\x00\x01",
        b"\x00\x00\x00\x00\x01{},",
        b"{}{}",
    ];
    for payload in payloads {
        let verdict = judge(&mut gates, &record(ORDERS, payload));
        assert_eq!(
            verdict.told(),
            (GateResult::Fail, &[Gate::Schema][..], vec!["UNPARSEABLE"]),
            "{:?}",
            payload.escape_ascii().to_string()
        );
        assert_eq!(verdict.details.len(), 1, "and says where");
        assert!(!verdict.details[0].contains("order_id"), "in words of ours: {:?}", verdict.details);
    }
}

#[test]
fn every_beginning_of_a_record_is_no_record() {
    let mut gates = gates(&example("orders"));
    let order = r#"{"order_id":"O-\u0031","customer_id":"é","total_amount":1.5e0,"currency":"EUR","items":[{"sku":"A","qty":1,"price":2}]}"#;
    assert_eq!(judge(&mut gates, &record(ORDERS, order)).result, GateResult::Pass);
    for end in 0..order.len() {
        let verdict = judge(&mut gates, &record(ORDERS, &order.as_bytes()[..end]));
        assert_eq!(verdict.codes, ["UNPARSEABLE"], "{end}");
    }
}

#[test]
fn nesting() {
    let mut strict = gates(&example("orders"));
    let mut lenient =
        Gates::new(example("orders"), Limits { max_bytes: usize::MAX, max_depth: usize::MAX }, Findings::MAX_REASONS);
    let nested = |open: &str, close: &str, depth: usize| {
        let order = r#"{"order_id":"O-1","customer_id":"C-1","total_amount":1,"currency":"EUR","extra":"#;
        format!("{order}{}0{}}}", open.repeat(depth), close.repeat(depth))
    };
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let verdict = |gates: &mut Gates, depth| judge(gates, &record(ORDERS, &nested(open, close, depth))).codes;
        assert!(verdict(&mut strict, 63).is_empty(), "the record itself is the 64th");
        assert_eq!(verdict(&mut strict, 64), ["TOO_DEEP"]);
        assert_eq!(verdict(&mut strict, 100), ["TOO_DEEP"]);
        assert!(verdict(&mut lenient, 100).is_empty());
        assert_eq!(verdict(&mut lenient, 1_000_000), ["TOO_DEEP"], "no setting lets a stack overflow");
    }
    assert_eq!(judge(&mut lenient, &record(ORDERS, &"[".repeat(1_000_000))).codes, ["TOO_DEEP"]);
    assert_eq!(judge(&mut lenient, &record(ORDERS, &"[".repeat(100))).codes, ["UNPARSEABLE"]);
}

#[test]
fn large_records() {
    const TEN_MB: usize = 10_000_000;
    let mut strict = gates(&example("payments"));
    let mut lenient =
        Gates::new(example("payments"), Limits { max_bytes: 64 << 20, max_depth: 64 }, Findings::MAX_REASONS);
    let settlement = |rest: &str| {
        format!(
            r#"{{"settlement_id":"s","payment_id":"0b5a7ad1-6b0e-4a8f-9d9b-1f6e2c3d4e5f","acquirer":"nets","gross":1,"value_date":"2024-02-29"{rest}}}"#
        )
    };
    let long = settlement("").replace("\"s\"", &format!("\"{}\"", "s".repeat(TEN_MB)));
    let mut many = String::with_capacity(TEN_MB + 20);
    for n in 0..TEN_MB / 20 {
        _ = write!(many, ",\"undeclared{n:07}\":0");
    }
    let many = settlement(&many);
    for (payload, codes) in [(&long, &[][..]), (&many, &["UNDECLARED_FIELD"][..])] {
        let refused = judge(&mut strict, &record("payments.settlements", payload));
        assert_eq!(refused.told(), (GateResult::Fail, &[Gate::Schema][..], vec!["TOO_LARGE"]));
        assert_eq!(refused.details, [format!("{} bytes, and 4194304 are allowed", payload.len())]);
        let read = judge(&mut lenient, &record("payments.settlements", payload));
        assert_eq!(read.codes, codes);
        assert!(read.json.len() < 2_000, "evidence stays small: {}", read.json.len());
    }
    assert_eq!(judge(&mut lenient, &record("payments.settlements", &many)).details.len(), Findings::MAX_DETAILS);
    let mut list = String::with_capacity(TEN_MB);
    for n in 0..TEN_MB / 10 {
        _ = write!(list, "\"{n:07}\",");
    }
    let payload = format!(r#"{{"decline_reasons":[{list}"again","again"]}}"#);
    let codes = judge(&mut lenient, &record("payments.authorizations.v2", &payload)).codes;
    assert!(codes.contains(&"ITEMS_VIOLATION:decline_reasons".to_owned()), "{codes:?}");
}

#[test]
fn the_limit_of_bytes_is_exact() {
    let mut gates = Gates::new(example("orders"), Limits { max_bytes: 100, max_depth: 64 }, 8);
    let codes = |gates: &mut Gates, len: usize| judge(gates, &record(ORDERS, &format!("{:<len$}", "{}"))).codes;
    assert!(!codes(&mut gates, 100).contains(&"TOO_LARGE".to_owned()));
    assert_eq!(codes(&mut gates, 101), ["TOO_LARGE"]);
}

#[test]
fn of_members_with_one_name_the_last_counts() {
    let mut gates = gates(&example("orders"));
    let rest = r#""total_amount":1,"currency":"EUR""#;
    for (members, codes) in [
        (r#""order_id":7,"order_id":"O-1","customer_id":"C""#, &[][..]),
        (r#""order_id":"O-1","customer_id":"C","customer_id":null"#, &["NULL_FIELD:customer_id"][..]),
        (r#""order_id":"O-1","customer_id":"C","order\u005fid":7"#, &["TYPE_MISMATCH:order_id"][..]),
    ] {
        let verdict = judge(&mut gates, &record(ORDERS, &format!("{{{members},{rest}}}")));
        assert_eq!(verdict.codes, codes, "{members}");
    }
}

#[test]
fn no_digit_is_lost() {
    let mut gates = bounds();
    let digits = format!("1{}", "0".repeat(100_000));
    for (topic, field, number, code) in [
        ("contracted", "n", "9007199254740993", None),
        ("contracted", "n", "9007199254740993.000", None),
        ("contracted", "n", "9007199254740994", Some("OUT_OF_RANGE")),
        ("contracted", "n", "9007199254740993.00000000000000000001", Some("OUT_OF_RANGE")),
        ("contracted", "n", "-9007199254740993", None),
        ("contracted", "n", "-9007199254740994", Some("OUT_OF_RANGE")),
        ("contracted", "n", "9.007199254740993e15", None),
        ("contracted", "n", "1e999", Some("OUT_OF_RANGE")),
        ("contracted", "n", "-1e999", Some("OUT_OF_RANGE")),
        ("contracted", "n", "1e-999", None),
        ("contracted", "n", "1e99999999999999999999", Some("OUT_OF_RANGE")),
        ("contracted", "n", "0e99999999999999999999", None),
        ("contracted", "n", &digits, Some("OUT_OF_RANGE")),
        ("contracted", "i", "9223372036854775807", None),
        ("contracted", "i", "9223372036854775808", Some("FORMAT_MISMATCH")),
        ("contracted", "i", "-9223372036854775808", None),
        ("contracted", "i", "-9223372036854775809", Some("FORMAT_MISMATCH")),
        ("contracted", "i", "1e999", Some("FORMAT_MISMATCH")),
        ("contracted", "i", "1.0", None),
        ("contracted", "u", "340282366920938463463374607431768211455", None),
        ("contracted", "u", "340282366920938463463374607431768211456", Some("FORMAT_MISMATCH")),
        ("schemed", "n", "18446744073709551615", None),
        ("schemed", "n", "18446744073709551615.5", Some("OUT_OF_RANGE")),
        ("schemed", "n", "18446744073709551616", Some("OUT_OF_RANGE")),
        ("schemed", "n", "-9223372036854775808", None),
        ("schemed", "n", "-9223372036854775809", Some("OUT_OF_RANGE")),
    ] {
        let verdict = judge(&mut gates, &record(topic, &format!(r#"{{"{field}":{number}}}"#)));
        let expected: Vec<String> = code.iter().map(|code| format!("{code}:{field}")).collect();
        assert_eq!(verdict.codes, expected, "{field} {}", &number[..number.len().min(60)]);
    }
}

#[test]
fn a_header_bomb_is_cut_and_counted() {
    let mut line = r#"{"topic":"raw.orders.events","partition":0,"offset":7,"tstype":"create","ts":1698400681950,
        "headers":["x-obs-producer-service","orders""#
        .replace('\n', "");
    for n in 0..100_000 {
        _ = write!(line, ",\"x{n}\",\"{n}\"");
    }
    line += r#","x-obs-producer-service","somebody else"],"key":"k","payload":"{}"}"#;
    let envelope = kcat::decode(line.as_bytes()).unwrap();
    assert_eq!((envelope.headers.len(), envelope.headers_omitted), (MAX_HEADERS, 100_002 - MAX_HEADERS));
    let mut gates = gates(&example("orders"));
    let judgement = gates.judge(&envelope.as_raw());
    assert_eq!((&*judgement.producer.id, judgement.producer.confidence), ("orders-svc", Confidence::High));
    assert_eq!(judgement.result, GateResult::Fail);
    let odd = line.replace(r#","somebody else"]"#, "]");
    assert!(kcat::decode(odd.as_bytes()).is_err(), "a key without a value is refused however far behind");
}

#[test]
fn more_topics_than_are_remembered() {
    let files = [("catalog.yaml", r"datasets: [{urn: 'urn:dp:a:x', topics: ['t\..+'], producer: p}]")];
    let mut gates = gates(&catalog(&files));
    for n in 0..70_000 {
        for (topic, found) in [(format!("t.{n}"), true), (format!("stray.{n}"), false)] {
            assert_eq!(gates.judge(&record(&topic, "1")).dataset.is_some(), found, "{topic}");
        }
    }
    let long = format!("t.{}", "x".repeat(1_000_000));
    for _ in 0..2 {
        assert_eq!(judge(&mut gates, &record(&long, "1")).result, GateResult::Pass);
    }
}
