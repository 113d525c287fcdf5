//! Documents as hostile producers send them.

#![allow(clippy::unwrap_used)]

use faultline_contracts::document::{Content, Limits, ParseError, Parser};
use proptest::prelude::*;

fn parser() -> Parser {
    Parser::new(Limits::default())
}

fn json(text: &str) -> serde_json::Value {
    parser().parse(text.as_bytes()).unwrap().root().to_json()
}

#[track_caller]
fn assert_unparseable(bytes: &[u8]) {
    let result = parser().parse(bytes).map(|document| document.root().to_json());
    assert!(matches!(result, Err(ParseError::Unparseable { .. })), "{:?}: {result:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn what_is_not_json() {
    for text in [
        "",
        " ",
        "\u{feff}{}",
        "hello",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "[}",
        "{]",
        "]",
        "}",
        "\"a",
        "\"a\\",
        "\"a\\\"",
        "\"a\nb\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "tru",
        "truE",
        "nul",
        "falsey",
        "NaN",
        "Infinity",
        "-Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "{} {}",
        "1 2",
        "{}x",
        "[1]]",
        "// c\n1",
        "/**/1",
        "\u{a0}1",
        "[1\u{b}]",
    ] {
        assert_unparseable(text.as_bytes());
    }
}

#[test]
fn text_that_is_no_unicode() {
    for bytes in [
        &b"\"\xff\""[..],
        b"\"\xc0\x80\"",
        b"\"\xed\xa0\x80\"",
        b"\xef\xbb",
        b"{\"a\": \"\xf0\x9f\x92\"}",
        br#""\ud800""#,
        br#""\udc00""#,
        br#""\ud800\ud800""#,
        br#""\ud800\u0041""#,
        br#""\ud800x""#,
        br#""\ud83d\n""#,
    ] {
        assert_unparseable(bytes);
    }
}

#[test]
fn every_prefix_of_an_object_is_unparseable() {
    let text = r#"{"a\u00e9": [1.5e3, -0, true, null, {"b": "\ud83d\ude00"}], "c": "plain text of some length"}"#;
    assert!(parser().parse(text.as_bytes()).is_ok());
    for end in 0..text.len() {
        assert_unparseable(&text.as_bytes()[..end]);
    }
}

#[test]
fn depth_is_told_apart_from_syntax() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let mut parser = parser();
    assert!(parser.parse(nested(64).as_bytes()).is_ok());
    for depth in [65, 100, 1_000_000] {
        let error = parser.parse(nested(depth).as_bytes()).unwrap_err();
        assert_eq!(error, ParseError::TooDeep { limit: 64 }, "{depth}");
    }
    let objects = r#"{"a":"#.repeat(1_000_000);
    let mut wide = Parser::new(Limits { max_bytes: usize::MAX, max_depth: usize::MAX });
    assert_eq!(wide.parse(objects.as_bytes()).unwrap_err(), ParseError::TooDeep { limit: Limits::MOST_DEPTH });
    // As deep as can be is still converted and dropped without a deep stack.
    let deepest = nested(Limits::MOST_DEPTH);
    assert!(wide.parse(deepest.as_bytes()).unwrap().root().to_json().is_array());
    // Siblings are not depth.
    assert!(parser.parse(format!("[{}[]]", "[],".repeat(1_000)).as_bytes()).is_ok());
}

#[test]
fn size_is_checked_before_anything_else() {
    let mut parser = parser();
    let bytes = vec![0xff; 10 << 20];
    assert_eq!(parser.parse(&bytes).unwrap_err(), ParseError::TooLarge { bytes: 10 << 20, limit: 4 << 20 });
    let mut wide = Parser::new(Limits { max_bytes: 11 << 20, max_depth: 64 });
    let text = format!("[{}0]", "12345678, ".repeat(1 << 20));
    let document = wide.parse(text.as_bytes()).unwrap();
    let Content::Array(array) = document.root().content() else { panic!() };
    assert_eq!((array.len(), array.iter().count()), ((1 << 20) + 1, (1 << 20) + 1));
}

#[test]
fn numbers_keep_their_text() {
    for text in ["123456789012345678901234567890", "-0", "1e999", "0.10", "1E-7", "9007199254740993"] {
        let mut parser = parser();
        let document = parser.parse(text.as_bytes()).unwrap();
        let Content::Number(number) = document.root().content() else { panic!("{text}") };
        assert_eq!(number.text(), text);
    }
    let mut parser = parser();
    let document = parser.parse(b"1e999").unwrap();
    let Content::Number(number) = document.root().content() else { panic!() };
    assert!(number.as_f64().is_infinite() && number.as_i64().is_none());
    assert_eq!(number.to_json().as_f64(), Some(f64::MAX));
    assert_eq!(json("9007199254740993").as_i64(), Some(9_007_199_254_740_993));
    assert_eq!(json("18446744073709551615").as_u64(), Some(u64::MAX));
}

#[test]
fn of_members_with_the_same_name_the_last_one_counts() {
    let text = r#"{"a": 1, "b": {"a": 2}, "\u0061": [3, {"x": 1, "x": 2}]}"#;
    assert_eq!(json(text), serde_json::from_str::<serde_json::Value>(text).unwrap());
    let mut parser = parser();
    let document = parser.parse(text.as_bytes()).unwrap();
    let Content::Object(object) = document.root().content() else { panic!() };
    assert_eq!((object.written_len(), object.len()), (3, 2));
    assert_eq!(object.get("a").unwrap().to_json()[0], 3);
    assert!(object.get("c").is_none());
}

#[test]
fn a_parser_forgets_the_document_before() {
    let mut parser = parser();
    assert!(parser.parse(br#"{"a\n": ["b\t"]}"#).is_ok());
    assert!(parser.parse(b"[[[").is_err());
    assert_eq!(parser.parse(br#"["\n"]"#).unwrap().root().to_json(), serde_json::json!(["\n"]));
}

/// JSON values without floats, whose text may differ.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[ -~]{0,40}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn fuzz_documents_read_as_serde_json_reads_them(value in value(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(json(&text), value);
    }

    /// A document with one byte changed is accepted by both readers or by none, and then the same.
    #[test]
    fn fuzz_damaged_documents_are_judged_as_serde_json_does(value in value(), place: prop::sample::Index, byte: u8) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let mut parser = parser();
        let ours = parser.parse(&bytes).map(|document| document.root().to_json());
        match (ours, serde_json::from_slice::<serde_json::Value>(&bytes)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(_), Err(_)) => {}
            // Numbers beyond floats are numbers for us alone.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("number out of range"), "{}", error),
            (Err(error), Ok(_)) => prop_assert!(false, "{}", error),
        }
    }
}
