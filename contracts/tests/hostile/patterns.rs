//! Patterns as ECMA-262 has them, on strings that engines of other languages read in other ways. The `jsonschema` crate is
//! no witness here: its translation of patterns is ours.

use faultline_contracts::document::{Limits, Parser};
use serde_json::{Value, json};

use crate::judges::Judged;

/// A pattern, strings in which it is found, and strings in which it is not.
const PATTERNS: [(&str, &[&str], &[&str]); 11] = [
    ("^.$", &["a", "é", "😀", "\0", "\u{b}", "\u{85}"], &["", "\n", "\r", "\u{2028}", "\u{2029}", "ab", "e\u{301}"]),
    ("^a$", &["a"], &["a\n", "\na", "a\r", "b\na"]),
    ("^\\d$", &["0", "9"], &["\u{661}", "\u{ff11}", "²"]),
    ("^\\w$", &["a", "Z", "_", "0"], &["é", "ſ", "\u{212a}", "本", "-"]),
    (
        "^\\s$",
        &[" ", "\t", "\n", "\u{b}", "\u{c}", "\r", "\u{a0}", "\u{feff}", "\u{2028}", "\u{3000}"],
        &["", "\u{85}", "\u{200b}", "\0"],
    ),
    ("^\\S$", &["a", "\u{85}", "\u{200b}"], &[" ", "\u{a0}", "\u{feff}"]),
    ("\\bx\\b", &["x", "a x."], &["ax", "x_", "xx"]),
    ("^[^a]$", &["\n", "\u{2028}", "😀", "\0"], &["a", ""]),
    ("^\\u0000\\x41$", &["\0A"], &["A", "\\u0000A"]),
    ("^(a+)+$", &["a", "aaaa"], &["", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"]),
    ("^k$", &["k"], &["K", "\u{212a}"]),
];

#[test]
fn patterns_are_those_of_ecma_262() {
    let mut parser = Parser::new(Limits::default());
    for (pattern, found, not_found) in PATTERNS {
        let schema = Judged::new(&json!({"pattern": pattern}));
        for (texts, expected) in [(found, true), (not_found, false)] {
            for text in texts {
                let document = Value::from(*text).to_string();
                assert_eq!(schema.our_verdict(&mut parser, &document), expected, "{pattern} in {document}");
            }
        }
    }
}

/// Not as ECMA-262 has it, for which only ASCII letters make words: the translation leaves `\b` to the engine, for which
/// all letters do. `\B` between ASCII letters has no equal in an engine that keeps to whole characters.
#[test]
fn words_end_where_the_engine_has_it() {
    let schema = json!({"pattern": "\\bx\\b"});
    assert!(!Judged::new(&schema).our_verdict(&mut Parser::new(Limits::default()), "\"éx\""));
    assert!(!jsonschema::is_valid(&schema, &json!("éx")));
}
