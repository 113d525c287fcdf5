//! Strings as they are written: escapes, surrogates, backslashes before quotes, and the borders of words.

/// Code units at the borders of what UTF-16 and UTF-8 treat alike.
const UNITS: [&str; 20] = [
    "0000", "0001", "001f", "0022", "002F", "005c", "007f", "0080", "07ff", "0800", "2028", "2029", "d7ff", "d800",
    "DBFF", "dc00", "dfFF", "e000", "feff", "ffff",
];

/// Strings in quotes; those with broken escapes and surrogates are no JSON.
pub fn escapes() -> Vec<String> {
    let quoted = |inner: String| format!("\"{inner}\"");
    let mut strings: Vec<String> = (0..=127_u8).map(|byte| quoted(format!("\\{}", char::from(byte)))).collect();
    for unit in UNITS {
        strings.push(quoted(format!("\\u{unit}")));
        strings.extend(UNITS.map(|second| quoted(format!("\\u{unit}\\u{second}"))));
        strings.extend(
            ["x", "\\n", "\\\\u0041", "\\", "\\u", " \\udc00", "😀"].map(|tail| quoted(format!("\\u{unit}{tail}"))),
        );
        strings.extend((0..4).map(|digits| quoted(format!("\\u{}", &unit[..digits]))));
        strings.extend((0..6).map(|length| quoted(format!("\\ud83d{}", &format!("\\u{unit}")[..length]))));
    }
    strings.extend(
        [
            "\\u12G4", "\\u+123", "\\u-123", "\\u 123", "\\u0x41", "\\u{41}", "\\U0041", "\\x41", "\\101", "\\a",
            "\\v", "\\0", "\\'",
        ]
        .map(|inner| quoted(inner.to_owned())),
    );
    strings.extend(["\\é", "\\😀", "\\u００４１", "\\u004é", "\\ud83d\\ude0é"].map(|inner| quoted(inner.to_owned())));
    strings
}

/// Strings whose end takes counting: an odd number of backslashes escapes the quote, an even one does not.
pub fn runs() -> Vec<String> {
    let mut strings = Vec::new();
    for count in 0..=20 {
        let (backslashes, quotes) = ("\\".repeat(count), "\"".repeat(count));
        for before in 0..=9 {
            let before = "x".repeat(before);
            strings.push(format!("\"{before}{backslashes}\""));
            strings.push(format!("\"{before}{backslashes}\"\""));
            strings.push(format!("[\"{before}{backslashes}\",\"{backslashes}\"]"));
            strings.push(format!("{{\"{before}{backslashes}\":\"{backslashes}n\"}}"));
        }
        strings.extend([quotes.clone(), format!("[{quotes}]"), format!("\"{quotes}\""), format!("\"\\{quotes}\"")]);
    }
    strings
}

/// Characters that a JSON string holds as they are, or must not: controls, and those that only look like space or like
/// the end of a line.
pub fn raw_characters() -> Vec<String> {
    let borders = "\u{7f}\u{80}\u{85}\u{a0}\u{ad}\u{200b}\u{200d}\u{2028}\u{2029}\u{202e}\u{feff}\u{fffd}\u{ffff}\u{1f600}\u{10ffff}";
    let characters = (0..0x30_u8).map(char::from).chain(borders.chars()).chain("é本ßİıǅ़".chars());
    characters.flat_map(|c| [format!("\"{c}\""), format!("\"a{c}b\""), format!("[\"{c}\", \"{c}{c}\"]")]).collect()
}

/// Bytes that a search in words could take for others: the ends of strings, their neighbours, the same with the high bit
/// set, and characters of several bytes.
const SPECIAL: [&[u8]; 21] = [
    b"\\\"",
    b"\\\\",
    b"\\n",
    b"\\u00e9",
    b"\\ud83d\\ude00",
    b"\\x",
    b"\"",
    b"\\",
    b"\n",
    b"\x00",
    b"\x1f",
    b"\x20",
    b"\x21",
    b"\x23",
    b"\x5b",
    b"\x5d",
    b"\x7f",
    b"\xa2",
    b"\xdc",
    "é".as_bytes(),
    "😀".as_bytes(),
];

/// Strings of up to 80 bytes with something special at each place, and as many bytes behind them as their length says,
/// so that they end at all places of a word.
pub fn at_word_borders(mut each: impl FnMut(&[u8])) {
    let mut document = Vec::new();
    for length in 0..=80 {
        for place in 0..=length {
            for special in SPECIAL {
                document.clear();
                document.push(b'"');
                document.resize(1 + place, b'a');
                document.extend_from_slice(special);
                document.resize(1 + length + special.len(), b'b');
                document.push(b'"');
                document.resize(document.len() + length % 9, b' ');
                each(&document);
            }
        }
    }
}

/// What tells characters from bytes and from UTF-16 units: combining marks, characters beyond U+FFFF, families of them.
pub fn lengths() -> Vec<String> {
    let characters = [
        "a",
        "é",
        "e\u{301}",
        "本",
        "😀",
        "👨\u{200d}👩\u{200d}👧",
        "\u{10ffff}",
        "🇩🇪",
        "\\u0000",
        "\\ud83d\\ude00",
        "\\\\",
    ];
    let mut strings = Vec::new();
    for character in characters {
        strings.extend((0..=20).map(|count| format!("\"{}\"", character.repeat(count))));
        strings.extend((0..=20).map(|count| format!("\"{}a\"", character.repeat(count))));
    }
    strings.extend([1_000, 65_535, 65_536, 100_000].map(|count| format!("\"{}\"", "é".repeat(count))));
    strings
}

/// Words that patterns and enums of the schemas are close to.
pub fn words() -> Vec<String> {
    let words = [
        "abcd",
        "abd",
        "ab",
        "a",
        "A",
        "word",
        "a word.",
        "words",
        "sword",
        "1",
        "12",
        "١",
        "１",
        "١2",
        "true",
        "null",
        "10115",
        "APPROVED",
        "approved",
        "APPROVED ",
        "seventeen-letters",
        "seventeen-letterz",
        "seventeen-letter",
        "Seventeen-letters",
        "seventeen-Letters",
        "seventeen_letters",
        "É",
        "é",
        "e\u{301}",
        "ǅ",
        "ß",
        "0",
        "-0",
        "K",
        "ſ",
    ];
    let mut strings: Vec<String> = words.map(|word| format!("\"{word}\"")).into();
    strings.extend([10, 30, 1_000, 50_000].map(|count| format!("\"{}!\"", "a".repeat(count))));
    strings
}
