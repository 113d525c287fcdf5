//! Literals against the readers they are written for: Groovy of a real server, and the grammar that Neptune follows.
//! `PROPTEST_CASES` says how many texts; many share a request.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use faultline_sinks::gremlin::literal;
use faultline_tests::servers::GremlinServer;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

const TEXTS_OF_A_REQUEST: usize = 400;
/// Without `PROPTEST_CASES`.
const TEXTS: u32 = 4_000;

/// Texts of any characters, of those that mean something to a reader, and of both.
fn texts() -> impl Strategy<Value = String> {
    let special = prop_oneof![
        proptest::sample::select(vec![
            "\\",
            "'",
            "\"",
            "$",
            "{",
            "}",
            "${",
            "'''",
            "\"\"\"",
            "/",
            "$/",
            "/*",
            "//",
            "\\u",
            "\\u0027",
            "\\\\u0024",
            "\\x41",
            "\\101",
            "\\7",
            "u",
            "0",
            "7",
            "n",
            "\n",
            "\r",
            "\t",
            "\0",
            "\u{8}",
            "\u{c}",
            "\u{1b}",
            "\u{7f}",
            "\u{85}",
            "\u{a0}",
            "\u{2028}",
            "\u{2029}",
            "\u{feff}",
            "\u{ffff}",
            "\u{d7ff}",
            "\u{e000}",
            "😀",
            "\u{10ffff}",
            "'); g.V().drop(); ('",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop_oneof![
        proptest::collection::vec(special, 0..12).prop_map(|parts| parts.concat()),
        any::<String>(),
        r#"[\\'"$u0-9a-f]{0,16}"#,
    ]
}

#[test]
fn fuzz_every_text_is_read_as_it_was_written() {
    let server = GremlinServer::shared().unwrap();
    let asked = std::env::var_os("PROPTEST_CASES").map(|_| Config::default().cases);
    let cases = asked.unwrap_or(TEXTS);
    let (mut runner, texts) = (TestRunner::new(Config::default()), texts());
    let mut left = cases as usize;
    while left > 0 {
        let batch: Vec<String> =
            (0..left.min(TEXTS_OF_A_REQUEST)).map(|_| texts.new_tree(&mut runner).unwrap().current()).collect();
        left -= batch.len();
        let literals: Vec<_> = batch.iter().map(|text| literal(text)).collect();
        let traversal = format!("g.inject([{}])", literals.join(","));
        for language in ["gremlin-groovy", "gremlin-lang"] {
            let answer = server.ask_in(language, &traversal).unwrap();
            let read = answer[0].as_array().unwrap();
            assert_eq!(read.len(), batch.len(), "{language}");
            for ((text, literal), read) in batch.iter().zip(&literals).zip(read) {
                assert_eq!(read.as_str(), Some(text.as_str()), "{language} reads {literal}");
            }
        }
    }
    println!("{cases} texts, each read by two readers");
}
