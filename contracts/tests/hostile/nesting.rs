//! Containers in containers, up to and beyond what readers follow.

/// Ways to go one level down: how it opens and closes.
const LEVELS: [(&str, &str); 5] = [
    ("[", "]"),
    ("{\"a\":", "}"),
    (" [ ", " ] "),
    ("[1,", ",[]]"),
    ("{\"\\u0061\":{},\"b\":[],\"a\":", ",\"c\":{\"a\":null}}"),
];

/// A document of `depth` levels around `core`.
pub fn nested(level: (&str, &str), depth: usize, core: &str) -> String {
    format!("{}{core}{}", level.0.repeat(depth), level.1.repeat(depth))
}

/// Of each depth up to `deepest`: whole, with another core, without its end, with a wrong end, with too many.
pub fn documents(deepest: usize) -> Vec<String> {
    let mut documents = Vec::new();
    for level in LEVELS {
        for depth in 0..=deepest {
            documents.extend(
                ["1", "\"a\"", "[]", "{}", "", "]", "{\"a\":1,\"a\":[]}"].map(|core| nested(level, depth, core)),
            );
            let whole = nested(level, depth, "0");
            documents.extend([
                format!("{whole}]"),
                format!("{whole}}}"),
                format!("[{whole}"),
                format!("[{whole},{whole}]"),
            ]);
            documents.extend([level.0.repeat(depth), level.1.repeat(depth), whole.replacen(level.1, ")", 1)]);
        }
    }
    for depth in 0..=deepest {
        let mixed: String = (0..depth).map(|level| ["[", "{\"a\":"][level % 2]).collect();
        let ends: String = (0..depth).rev().map(|level| ["]", "}"][level % 2]).collect();
        documents.extend([
            format!("{mixed}null{ends}"),
            format!("{mixed}{ends}"),
            format!("{mixed}1{}", ends.replace(']', "}")),
        ]);
    }
    documents
}
