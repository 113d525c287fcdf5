//! Bytes that are no UTF-8, by the ways in which they are not, and the ones right beside them that are.

const BROKEN: [&[u8]; 44] = [
    // A continuation without a start.
    b"\x80",
    b"\xbf",
    b"a\x80",
    b"\xc3\xa9\x80",
    // A start without enough continuations.
    b"\xc3",
    b"\xe2\x82",
    b"\xe2",
    b"\xf0\x9f\x92",
    b"\xf0\x9f",
    b"\xf0",
    b"\xc3\xc3\xa9",
    b"\xe2\x82\x41",
    b"\xf0\x9f\x92\x22",
    // Longer than needed.
    b"\xc0\x80",
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xc0\xa2",
    b"\xc1\x9c",
    b"\xe0\x80\x80",
    b"\xe0\x80\xa2",
    b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x80\x80\xa2",
    b"\xf0\x8f\xbf\xbf",
    // Surrogates, alone and as the pair of CESU-8.
    b"\xed\xa0\x80",
    b"\xed\xaf\xbf",
    b"\xed\xb0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\xbd\xed\xb8\x80",
    // Beyond U+10FFFF.
    b"\xf4\x90\x80\x80",
    b"\xf4\xbf\xbf\xbf",
    b"\xf5\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    // Five and six bytes, and what never occurs.
    b"\xf8\x88\x80\x80\x80",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfd\xbf\xbf\xbf\xbf\xbf",
    b"\xfe",
    b"\xff",
    b"\xfe\xff",
    b"\xff\xfe",
    // Latin-1 and Windows-1252.
    b"caf\xe9",
    b"\x93quoted\x94",
    b"\xa0",
];

/// The first and last of each length, and the neighbours of the surrogates.
const WHOLE: [&[u8]; 12] = [
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbb\xbf",
    b"\xef\xbf\xbe",
    b"\xef\xbf\xbf",
    b"\xf0\x90\x80\x80",
    b"\xf4\x8f\xbf\xbf",
];

/// Each of them bare, in strings behind 0 to 16 other bytes, in names, behind an escape and between tokens.
pub fn documents() -> Vec<Vec<u8>> {
    let mut documents = Vec::new();
    for bytes in BROKEN.iter().chain(&WHOLE) {
        let mut around = |before: &[u8], after: &[u8]| documents.push([before, bytes, after].concat());
        (0..=16).for_each(|count| around(&[b"\"", "a".repeat(count).as_bytes()].concat(), b"\""));
        (0..=9).for_each(|count| around(b"\"", &["a".repeat(count).as_bytes(), b"\""].concat()));
        for (before, after) in [
            ("", ""),
            ("", "{}"),
            ("{}", ""),
            ("[", "]"),
            ("[1,", "2]"),
            ("{\"", "\":1}"),
            ("{\"a", "a\":1}"),
            ("{", "\"a\":1}"),
            ("{\"a\":", "1}"),
            ("{\"a\"", ":1}"),
            ("\"\\", "\""),
            ("\"\\u00", "\""),
            ("\"\\n", "\\n\""),
            ("1", ""),
            ("1.", "5"),
            ("tru", "e"),
            ("\"", ""),
        ] {
            around(before.as_bytes(), after.as_bytes());
        }
    }
    for byte in 0..=255_u8 {
        documents.extend([vec![byte], vec![b'"', byte, b'"'], vec![byte, b'{', b'}'], vec![b'{', b'}', byte]]);
        documents.extend((0..=255).map(|second| vec![b'"', byte, second, b'"']));
    }
    documents.extend(other_encodings());
    documents
}

/// Whole documents with a byte-order mark, in UTF-16 and UTF-32.
fn other_encodings() -> Vec<Vec<u8>> {
    let mut documents = Vec::new();
    for text in ["{}", "{\"a\": 1}", "[\"é😀\"]", "1"] {
        for marked in [text.to_owned(), format!("\u{feff}{text}")] {
            let (units, points) = (marked.encode_utf16(), marked.chars().map(u32::from));
            documents.push(marked.clone().into_bytes());
            documents.push(units.clone().flat_map(u16::to_le_bytes).collect());
            documents.push(units.flat_map(u16::to_be_bytes).collect());
            documents.push(points.clone().flat_map(u32::to_le_bytes).collect());
            documents.push(points.flat_map(u32::to_be_bytes).collect());
        }
        documents.push(format!("{text}\u{feff}").into_bytes());
        documents.push(format!("\u{feff}\u{feff}{text}").into_bytes());
    }
    documents
}
