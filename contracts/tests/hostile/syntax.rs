//! What other formats allow and JSON does not, and what JSON allows and some readers do not.

const FRAGMENTS: [&str; 72] = [
    // Nothing.
    "",
    " ",
    "\t\n\r ",
    "\u{0}",
    "\u{feff}",
    // Comments.
    "// c\n{}",
    "{} // c",
    "/* c */{}",
    "{/**/}",
    "{\"a\":1/*c*/}",
    "# c\n{}",
    "<!-- c -->{}",
    "-- c\n1",
    "[1,//\n2]",
    // Commas and colons.
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "{\"a\":1,}",
    "{,\"a\":1}",
    "{,}",
    "{\"a\":1,,\"b\":2}",
    "{\"a\":1 \"b\":2}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\",1}",
    "{\"a\"=1}",
    "{\"a\"=>1}",
    "{\"a\"::1}",
    "{:1}",
    "[1;2]",
    "[1:2]",
    "{\"a\":1;\"b\":2}",
    "[\"a\":1]",
    // Quotes.
    "{a:1}",
    "{'a':1}",
    "'a'",
    "`a`",
    "“a”",
    "\"a'",
    "{\"a\":'b'}",
    "{1:2}",
    "{null:1}",
    "{[]:1}",
    "{\"a\":b}",
    "\"\"\"a\"\"\"",
    // Brackets.
    "[}",
    "{]",
    "[1}",
    "{\"a\":1]",
    "]",
    "}",
    "[1]]",
    "{}}",
    "[[1]",
    "(1)",
    "<1>",
    "[1",
    "{\"a\":1",
    "{\"a\":",
    "{\"a\"",
    "{",
    // Several documents, and what is behind one.
    "{} {}",
    "{}{}",
    "1 2",
    "{},{}",
    "[]\n[]",
    "{}\u{0}",
    "\u{1e}{}\n",
    "{};",
    "null null",
];

/// Words of which JSON knows three.
const LITERALS: [&str; 22] = [
    "true",
    "false",
    "null",
    "True",
    "FALSE",
    "Null",
    "tru",
    "truee",
    "falsey",
    "nul",
    "nulll",
    "undefined",
    "None",
    "nil",
    "yes",
    "on",
    "t",
    "f",
    "n",
    "truefalse",
    "null,",
    "nan",
];

/// Space of JSON first, then what is space elsewhere.
const SPACES: [&str; 24] = [
    " ", "\t", "\n", "\r", "\r\n", "", "\u{b}", "\u{c}", "\u{0}", "\u{8}", "\u{1c}", "\u{1f}", "\u{7f}", "\u{85}",
    "\u{a0}", "\u{1680}", "\u{2000}", "\u{200b}", "\u{2028}", "\u{2029}", "\u{202f}", "\u{3000}", "\u{feff}", "\\n",
];

pub fn documents() -> Vec<String> {
    let mut documents: Vec<String> = FRAGMENTS.map(str::to_owned).into();
    for literal in LITERALS {
        documents.extend([
            literal.to_owned(),
            format!("[{literal}]"),
            format!("{{\"a\":{literal}}}"),
            format!("{{{literal}:1}}"),
        ]);
        documents.extend((0..literal.len()).map(|end| format!("[{}", &literal[..end])));
    }
    for space in SPACES {
        let tokens = ["{", "\"a\"", ":", "[", "1", ",", "\"b\"", ",", "null", "]", ",", "\"c\"", ":", "{", "}", "}"];
        for place in 0..=tokens.len() {
            documents.push([&tokens[..place], &[space], &tokens[place..]].concat().concat());
            documents.push([&tokens[..place], &[space; 9], &tokens[place..]].concat().concat());
        }
        documents.push(space.repeat(1_000));
        documents.extend(["-1", "1.5e3", "true"].iter().flat_map(|token| {
            (0..=token.len()).map(move |place| format!("{}{space}{}", &token[..place], &token[place..]))
        }));
    }
    // All short texts of the characters that make up JSON.
    let alphabet = ["{", "}", "[", "]", ",", ":", "\"a\"", "1", " "];
    let mut short = vec![String::new()];
    for _ in 0..4 {
        short = short.iter().flat_map(|text| alphabet.map(|next| format!("{text}{next}"))).collect();
        documents.extend(short.iter().cloned());
    }
    documents
}
