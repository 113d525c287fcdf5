//! Arrays whose items are equal in other words, or many.

/// Values of which some are equal as JSON Schema has it.
const ALIKE: [&str; 30] = [
    "1",
    "1.0",
    "1e0",
    "10e-1",
    "0",
    "-0",
    "-0.0",
    "0e5",
    "true",
    "false",
    "null",
    "\"1\"",
    "\"a\"",
    "\"\\u0061\"",
    "\"A\"",
    "\"é\"",
    "\"e\\u0301\"",
    "[]",
    "{}",
    "[1]",
    "[1.0]",
    "[[]]",
    "{\"a\":1}",
    "{\"a\":1.0}",
    "{\"\\u0061\":1}",
    "{\"a\":2,\"a\":1}",
    "{\"a\":1,\"b\":2}",
    "{\"b\":2,\"a\":1}",
    "9007199254740992",
    "9007199254740993",
];

/// Pairs and triples of them, alone and among others; hash tables and nested loops take turns at 16 items.
pub fn alike() -> Vec<String> {
    let mut documents = Vec::new();
    let others: Vec<String> = (100..120).map(|other| other.to_string()).collect();
    for a in ALIKE {
        for b in ALIKE {
            documents.extend([format!("[{a},{b}]"), format!("[{a},\"x\",{b}]"), format!("[[{a},{b}],[{b},{a}]]")]);
            documents.push(format!("[{{\"a\":{a},\"b\":{b}}},{{\"b\":{b},\"a\":{a}}}]"));
            documents.push(format!("[{a},{},{b}]", others.join(",")));
        }
    }
    documents
}

/// Arrays and objects of many thousand parts.
pub fn big() -> Vec<String> {
    let list = |items: Vec<String>| format!("[{}]", items.join(","));
    let count = 20_000;
    let different: Vec<String> = (0..count).map(|item| item.to_string()).collect();
    let mut last_again = different.clone();
    last_again.push("19999.0".into());
    let members: Vec<String> = (0..count).map(|item| format!("\"k{item}\":{item}")).collect();
    let same_name: Vec<String> = (0..count).map(|item| format!("\"a\":{item}")).collect();
    vec![
        list(different),
        list(last_again),
        list(vec!["0".into(); count]),
        list(vec!["[]".into(); count]),
        list((0..count).map(|item| format!("{{\"a\":{item}}}")).collect()),
        list((0..count).map(|item| format!("\"{item}\"")).collect()),
        list((0..200).map(|_| list((0..100).map(|item| item.to_string()).collect())).collect()),
        format!("{{{}}}", members.join(",")),
        format!("{{{}}}", same_name.join(",")),
        format!("{{{},\"a\":\"x\"}}", same_name.join(",")),
    ]
}
