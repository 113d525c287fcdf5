//! Escapes in strings.

/// The character that `bytes` start to spell with a backslash, and how many bytes it takes; else what should have been there.
pub(super) fn decode(bytes: &[u8]) -> Result<(char, usize), &'static str> {
    let character = match bytes.get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(bytes),
        _ => return Err("an escape is due"),
    };
    Ok((character, 2))
}

/// `\uXXXX`, or two of them for a character beyond U+FFFF. A surrogate alone is no character, hence no JSON for us:
/// UTF-8 cannot hold it, so nothing downstream could compare or store it.
fn unicode(bytes: &[u8]) -> Result<(char, usize), &'static str> {
    let first = code_unit(bytes.get(2..6))?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 6));
    }
    if first < 0xdc00 && bytes.get(6..8) == Some(b"\\u") {
        let second = code_unit(bytes.get(8..12))?;
        if (0xdc00..0xe000).contains(&second)
            && let Some(character) = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
        {
            return Ok((character, 12));
        }
    }
    Err("a pair of surrogates is due")
}

fn code_unit(digits: Option<&[u8]>) -> Result<u32, &'static str> {
    let digits = digits.ok_or("four hexadecimal digits are due")?;
    digits.iter().try_fold(0, |unit, &digit| {
        let value = (digit as char).to_digit(16).ok_or("four hexadecimal digits are due")?;
        Ok(unit << 4 | value)
    })
}
