use proptest::prelude::*;

use super::*;

/// As kcat 1.7 writes it.
const LINE: &str = r#"{"topic":"raw.orders.events","partition":4,"offset":9918273,"tstype":"create","ts":1698400681950,"broker":1,"headers":["x-obs-producer-service","orders-svc","traceparent","00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","empty",null],"key":"o-1","payload":"{\"order_id\":\"1\"}"}"#;

fn payload(line: &str) -> Option<Vec<u8>> {
    decode(line.as_bytes()).unwrap().payload.map(Cow::into_owned)
}

/// A line with these members besides where it was.
fn line(members: &str) -> String {
    format!(r#"{{"topic":"t","partition":0,"offset":1{members}}}"#)
}

#[test]
fn a_line_of_kcat_is_a_record() {
    let record = decode(LINE.as_bytes()).unwrap();
    assert_eq!(record.head, locate(LINE.as_bytes()).unwrap());
    assert_eq!(record.head.ts, Some(UnixMillis(1_698_400_681_950)));
    assert_eq!(record.headers[2], ("empty".into(), None));
    assert_eq!(record.headers_omitted, 0);
    let raw = record.as_raw();
    assert_eq!(raw.at, RecordCoordinates { topic: "raw.orders.events", partition: 4, offset: 9_918_273 });
    assert_eq!(raw.headers.producer_service, Some(&b"orders-svc"[..]));
    assert_eq!(raw.headers.traceparent, Some(&b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"[..]));
    assert_eq!(raw.headers.dag_run_id, None);
    assert!(raw.has_key);
    assert_eq!(raw.payload, Some(&br#"{"order_id":"1"}"#[..]));
    assert_eq!(
        crate::decode::Headers(&record.header_slices()).last("x-obs-producer-service"),
        Some(&b"orders-svc"[..])
    );
}

#[test]
fn what_is_not_escaped_is_borrowed() {
    let record = decode(LINE.as_bytes()).unwrap();
    assert!(matches!(record.head.topic, Cow::Borrowed(_)));
    assert!(matches!(record.key, Some(Cow::Borrowed(_))));
    assert!(matches!(record.headers[0], (Cow::Borrowed(_), Some(Cow::Borrowed(_)))));
    let plain = line(r#","payload":{"a": 1}"#);
    assert!(matches!(decode(plain.as_bytes()).unwrap().payload, Some(Cow::Borrowed(b"{\"a\": 1}"))));
}

#[test]
fn timestamps_may_be_absent() {
    for (members, ts) in [
        (r#","tstype":"create","ts":5"#, Some(5)),
        (r#","tstype":"logappend","ts":5"#, Some(5)),
        (r#","ts":5"#, Some(5)),
        (r#","tstype":"unknown","ts":5"#, None),
        (r#","tstype":"create","ts":-1"#, None),
        (r#","tstype":"create","ts":null"#, None),
        ("", None),
    ] {
        let line = line(members);
        assert_eq!(locate(line.as_bytes()).unwrap().ts, ts.map(UnixMillis), "{members}");
        assert_eq!(decode(line.as_bytes()).unwrap().head.ts, ts.map(UnixMillis), "{members}");
    }
}

#[test]
fn payloads_are_text_bytes_or_any_value() {
    for (members, expected) in [
        ("", None),
        (r#","payload":null"#, None),
        (r#","payload":"""#, Some(&b""[..])),
        (r#","payload":"a\u0000\n\"\u00e9\ud83d\ude00""#, Some("a\0\n\"é😀".as_bytes())),
        (r#","payload":{"b": 2.50, "a":[null]}"#, Some(br#"{"b": 2.50, "a":[null]}"#)),
        (r#","payload":[1,2]"#, Some(b"[1,2]")),
        (r#","payload": 17"#, Some(b"17")),
        (r#","payload_base64":"AAEC/w==""#, Some(b"\x00\x01\x02\xff")),
        (r#","payload_base64":"AAEC/w","payload":null"#, Some(b"\x00\x01\x02\xff")),
    ] {
        assert_eq!(payload(&line(members)).as_deref(), expected, "{members}");
    }
}

#[test]
fn a_key_may_be_any_value_too() {
    let line = line(r#","key":{"id": 7},"payload":"x\"y""#);
    let record = decode(line.as_bytes()).unwrap();
    assert_eq!(record.key.as_deref(), Some(&br#"{"id": 7}"#[..]));
    assert_eq!(record.payload.as_deref(), Some(&b"x\"y"[..]));
}

#[test]
fn bytes_that_are_not_utf8_are_read_as_kcat_writes_them() {
    let mut bytes = br#"{"topic":"t","partition":0,"offset":1,"headers":["h"#.to_vec();
    bytes.extend_from_slice(b"\xff\",\"\xfe\"],\"key\":\"\x80\",\"payload\":\"\\u0000\xc3\\\"\"}");
    let record = decode(&bytes).unwrap();
    assert_eq!(record.headers, [("h\u{fffd}".into(), Some(b"\xfe"[..].into()))]);
    assert_eq!(record.key.as_deref(), Some(&b"\x80"[..]));
    assert_eq!(record.payload.as_deref(), Some(&b"\0\xc3\""[..]));
    assert_eq!(locate(&bytes).unwrap(), record.head);
}

#[test]
fn headers_are_limited_and_the_rest_is_counted() {
    let headers: Vec<_> = (0..MAX_HEADERS + 3).map(|n| format!(r#""k{n}","v""#)).collect();
    let line = line(&format!(r#","headers":[{}]"#, headers.join(",")));
    let record = decode(line.as_bytes()).unwrap();
    assert_eq!((record.headers.len(), record.headers_omitted), (MAX_HEADERS, 3));
    assert_eq!(record.headers[MAX_HEADERS - 1].0, format!("k{}", MAX_HEADERS - 1));
}

#[test]
fn what_is_no_envelope_is_refused_with_a_reason() {
    for (line, reason) in [
        (String::new(), "not a kcat envelope"),
        ("{".to_owned(), "not a kcat envelope"),
        (r#"{"order_id":1}"#.to_owned(), "not a kcat envelope: missing field `topic`"),
        (r#"{"topic":"","partition":0,"offset":0}"#.to_owned(), "topic cannot be used: it is empty"),
        (r#"{"topic":"t","partition":-1,"offset":0}"#.to_owned(), "partition cannot be used: it is negative"),
        (r#"{"topic":"t","partition":0,"offset":-1}"#.to_owned(), "offset cannot be used: it is negative"),
        (r#"{"topic":"t","partition":4294967296,"offset":0}"#.to_owned(), "not a kcat envelope"),
        (r#"{"topic":"t","partition":0}"#.to_owned(), "not a kcat envelope: missing field `offset`"),
        (line(",\"payload\":\"\n\""), "not a kcat envelope: control character"),
        (line(r#","offset":2"#), "not a kcat envelope: duplicate field `offset`"),
    ] {
        for error in [locate(line.as_bytes()).unwrap_err(), decode(line.as_bytes()).unwrap_err()] {
            assert!(error.to_string().starts_with(reason), "{line}: {error}");
        }
    }
    for (members, reason) in [
        (r#","headers":["k"]"#, "the last header has a key and no value"),
        (r#","headers":["k",1]"#, "expected a string"),
        (r#","headers":"k=v""#, "expected a list of header keys and values"),
        (r#","payload_base64":"*""#, "payload_base64 cannot be used"),
        (r#","payload_base64":"","payload":"""#, "there is a payload besides"),
        (r#","payload_base64":"","payload":{}"#, "there is a payload besides"),
    ] {
        let error = decode(line(members).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason), "{members}: {error}");
    }
}

fn text() -> BoxedStrategy<Vec<u8>> {
    any::<String>().prop_map(String::into_bytes).boxed()
}

fn bytes() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![text(), prop::collection::vec(any::<u8>(), 0..40)].boxed()
}

prop_compose! {
    fn record(content: BoxedStrategy<Vec<u8>>)(
        topic in "[a-zA-Z0-9._-]{1,40}",
        partition in 0..=i32::MAX,
        offset in 0..=i64::MAX,
        ts in prop::option::of((0..=i64::MAX).prop_map(UnixMillis)),
        headers in prop::collection::vec((any::<String>(), prop::option::of(content.clone())), 0..6),
        key in prop::option::of(content),
        payload in prop::option::of(bytes()),
    ) -> KcatRecord<'static> {
        let headers = headers.into_iter().map(|(key, value)| (key.into(), value.map(Cow::from))).collect();
        KcatRecord {
            head: RecordHead { topic: topic.into(), partition, offset, ts },
            headers,
            headers_omitted: 0,
            key: key.map(Cow::from),
            payload: payload.map(Cow::from),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_record_comes_back_from_its_line(record in record(bytes())) {
        let line = record.to_line();
        prop_assert!(!line.contains(&b'\n'), "one line");
        prop_assert_eq!(&locate(&line).unwrap(), &record.head);
        prop_assert_eq!(&decode(&line).unwrap(), &record);
    }

    #[test]
    fn the_line_of_a_record_with_text_is_json(record in record(text())) {
        let value: serde_json::Value = serde_json::from_slice(&record.to_line()).unwrap();
        prop_assert_eq!(value["offset"].as_i64(), Some(record.head.offset));
        prop_assert_eq!(value["key"].as_str().map(str::as_bytes), record.key.as_deref());
    }
}
