//! Names of members: twice, in other words, empty, long, and alike but for a byte.

use serde_json::{Map, Value, json};

/// A name as JSON may write it: plain, each character escaped, the first one, the last one, in upper case.
pub fn spellings(name: &str) -> Vec<String> {
    let escaped = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
    let plain = |text: &str| {
        let quoted = Value::from(text).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    };
    let all: String = name.chars().map(escaped).collect();
    let mut spellings = vec![plain(name), all.to_uppercase().replace("\\U", "\\u"), all];
    if let (Some(first), Some(last)) = (name.chars().next(), name.chars().next_back()) {
        spellings.push(format!("{}{}", escaped(first), plain(&name[first.len_utf8()..])));
        spellings.push(format!("{}{}", plain(&name[..name.len() - last.len_utf8()]), escaped(last)));
    }
    spellings
}

/// Objects with members of the names that the schemas declare, each twice with values of two types, in all spellings.
pub fn duplicates() -> Vec<String> {
    let values = ["1", "\"x\"", "null", "{\"a\":{\"a\":1}}", "[1]", "{\"a\":1,\"\\u0061\":\"x\"}"];
    let mut documents = Vec::new();
    for name in ["a", "b", "", "é", "e\u{301}", "\u{0}", "😀", "abc", "\"", "\\"] {
        let spellings = spellings(name);
        for first in &spellings {
            documents.extend(values.map(|value| format!("{{\"{first}\":{value}}}")));
            for second in &spellings {
                for (place, value) in values.iter().enumerate() {
                    let other = values[(place + 1) % values.len()];
                    documents.push(format!("{{\"{first}\":{value},\"{second}\":{other}}}"));
                    documents.push(format!("{{\"{first}\":{value},\"b\":2,\"{second}\":{other},\"{first}\":{value}}}"));
                    documents.push(format!("[{{\"{first}\":{value},\"{second}\":{value}}},{{\"{second}\":{value}}}]"));
                }
            }
        }
    }
    documents
}

/// Closed, with a name of each length up to 40 and families that differ in a byte, so that names are found by their first
/// and last words and by what lies between them.
pub fn long_names_schema() -> Value {
    let mut properties = Map::new();
    for length in 0..=40 {
        properties.insert("k".repeat(length), json!({"type": "integer"}));
    }
    for length in [3, 7, 8, 9, 15, 16, 17, 24, 33] {
        for place in 0..length {
            properties.insert(changed(length, place, 'X'), json!({"type": "string"}));
        }
    }
    json!({"properties": properties, "additionalProperties": false, "required": ["k".repeat(17)]})
}

/// `kkkkk` of a length, with another character at a place.
fn changed(length: usize, place: usize, character: char) -> String {
    format!("{}{character}{}", "k".repeat(place), "k".repeat(length - place - 1))
}

/// Objects with those names and with some that are like them.
pub fn long_names() -> Vec<String> {
    let required = "k".repeat(17);
    let mut documents = vec!["{}".to_owned(), format!("{{\"{required}\":1.5}}"), format!("{{\"{required}\":\"\"}}")];
    let mut add = |name: &str| {
        for (spelled, value) in
            [(name, "1"), (name, "\"x\""), (name, "null"), (&spellings(name)[1], "1"), (&spellings(name)[2], "\"x\"")]
        {
            documents.push(format!("{{\"{required}\":1,\"{spelled}\":{value}}}"));
            documents.push(format!("{{\"{spelled}\":{value},\"{spelled}\":1,\"{required}\":2}}"));
        }
    };
    for length in 0..=44 {
        add(&"k".repeat(length));
        for place in 0..length {
            ['X', 'Y', 'K', 'é', '\u{0}'].iter().for_each(|character| add(&changed(length, place, *character)));
        }
    }
    documents.push(format!("{{\"{}\":1,\"{required}\":1}}", "k".repeat(100_000)));
    documents
}
