//! Documents by chance, of hostile parts.

use proptest::prelude::*;

use crate::{names, numbers, strings};

/// Values without parts, as texts; one in twenty is no JSON.
fn leaf() -> impl Strategy<Value = String> {
    let broken = [numbers::not_numbers(), strings::runs()].concat();
    prop_oneof![
        8 => prop::sample::select(numbers::numbers()),
        4 => prop::sample::select(strings::lengths().into_iter().filter(|text| text.len() < 1_000).collect::<Vec<_>>()),
        4 => prop::sample::select(strings::words().into_iter().filter(|text| text.len() < 1_000).collect::<Vec<_>>()),
        2 => any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        2 => prop::sample::select(&["null", "true", "false", "[]", "{}", "1", "\"a\""][..]).prop_map(str::to_owned),
        1 => prop::sample::select(broken),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let known = ["a", "b", "", "é", "\u{0}", "😀", "abc", "items", "\"\\"];
    prop::sample::select(known.iter().flat_map(|name| names::spellings(name)).collect::<Vec<_>>())
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![8 => Just(""), 2 => Just(" "), 1 => Just("\r\n\t "), 1 => Just("        \n")].prop_map(str::to_owned)
}

/// A text that is mostly a document.
pub fn document() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 24, 5, |inner| {
        let item = (space(), inner.clone(), space()).prop_map(|(before, item, after)| before + &item + &after);
        let member = (space(), name(), space(), inner)
            .prop_map(|(before, name, after, value)| format!("{before}\"{name}\"{after}:{before}{value}{after}"));
        prop_oneof![
            prop::collection::vec(item, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}
