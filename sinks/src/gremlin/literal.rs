//! Any text as a literal of a Gremlin statement.
//!
//! Two readers must agree on it: Groovy, which Gremlin Server evaluates, and the grammar of `gremlin-language`, which
//! Neptune follows. Both read a text in single quotes without interpolation, so that `$` means itself, and both know the
//! escapes used here. Whatever is not printable ASCII is written as `\uXXXX`, by UTF-16 code unit, as both count; so a
//! statement is plain ASCII on one line, whatever the text holds, and no step between here and the reader can change it.

use std::fmt::Write as _;

/// `text` as a literal, quotes included.
///
/// ```
/// use faultline_sinks::gremlin::literal;
/// assert_eq!(literal("it's ${1}\n"), r"'it\'s ${1}\n'");
/// assert_eq!(literal("é😀"), r"'\u00E9\uD83D\uDE00'");
/// ```
#[must_use]
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for character in text.chars() {
        match character {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // A `String` takes whatever is written.
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a literal back by the rules that both readers share.
    fn read(literal: &str) -> Option<String> {
        let inside = literal.strip_prefix('\'')?.strip_suffix('\'')?;
        let (mut units, mut rest) = (Vec::new(), inside.chars());
        while let Some(character) = rest.next() {
            let unit = match character {
                '\\' => match rest.next()? {
                    'n' => '\n' as u16,
                    'r' => '\r' as u16,
                    't' => '\t' as u16,
                    quoted @ ('\\' | '\'') => quoted as u16,
                    'u' => u16::from_str_radix(&rest.by_ref().take(4).collect::<String>(), 16).ok()?,
                    _ => return None,
                },
                // It would end the literal.
                '\'' => return None,
                plain => plain as u16,
            };
            units.push(unit);
        }
        String::from_utf16(&units).ok()
    }

    #[test]
    fn what_could_end_or_fill_a_literal_is_escaped() {
        assert_eq!(literal(""), "''");
        assert_eq!(literal("a'.drop()//"), r"'a\'.drop()//'");
        assert_eq!(literal(r"\u0027 \' \\"), r"'\\u0027 \\\' \\\\'");
        assert_eq!(literal("\0\u{7f}\u{2028}\u{2029}\u{feff}"), r"'\u0000\u007F\u2028\u2029\uFEFF'");
        assert_eq!(literal("${x} $y \"z\""), "'${x} $y \"z\"'");
    }

    proptest! {
        #[test]
        fn fuzz_any_text_is_read_back_from_one_line_of_ascii(text in any::<String>()) {
            let literal = literal(&text);
            prop_assert!(literal.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{literal}");
            prop_assert_eq!(read(&literal), Some(text));
        }

        #[test]
        fn fuzz_texts_of_nothing_but_specials_too(text in r#"[\\'"$u0-7{}\n\r\t\x00-\x1f]{0,40}"#) {
            prop_assert_eq!(read(&literal(&text)), Some(text));
        }
    }
}
