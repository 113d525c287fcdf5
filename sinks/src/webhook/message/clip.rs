//! Texts within limits.

/// The beginning of `text`, each character as `escape` has it (`None`: as it is), at most `limit` UTF-16 units long: a
/// limit in characters, whichever way the receiver counts them. What is cut ends with an ellipsis, and an escaped
/// character is there whole or not at all.
pub(super) fn clip(text: &str, limit: usize, escape: impl Fn(char) -> Option<&'static str>) -> String {
    let mut clipped = String::with_capacity(text.len().min(limit));
    let (mut units, mut fits) = (0, 0);
    for char in text.chars() {
        match escape(char) {
            Some(escaped) => {
                clipped.push_str(escaped);
                units += escaped.encode_utf16().count();
            }
            None => {
                clipped.push(char);
                units += char.len_utf16();
            }
        }
        if units > limit {
            clipped.truncate(fits);
            if limit > 0 {
                clipped.push('…');
            }
            return clipped;
        }
        if units < limit {
            fits = clipped.len();
        }
    }
    clipped
}

/// No character needs an escape, but those that would break a line do not stay.
pub(super) fn one_line(char: char) -> Option<&'static str> {
    (char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')).then_some(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_ends_with_an_ellipsis() {
        let plain = |text, limit| clip(text, limit, |_| None);
        assert_eq!([plain("abc", 3), plain("abcd", 3), plain("abcd", 1), plain("abcd", 0)], ["abc", "ab…", "…", ""]);
        assert_eq!([plain("a😀b", 4), plain("a😀b", 3)], ["a😀b", "a…"]);
        let escaped = |text, limit| clip(text, limit, |char| (char == '&').then_some("&amp;"));
        assert_eq!([escaped("a&b", 7), escaped("a&b", 6), escaped("a&", 6)], ["a&amp;b", "a…", "a&amp;"]);
    }

    proptest! {
        #[test]
        fn it_is_a_beginning_within_the_limit(text in "\\PC{0,40}", limit in 0_usize..40) {
            let clipped = clip(&text, limit, |_| None);
            prop_assert!(clipped.encode_utf16().count() <= limit);
            let whole = text.encode_utf16().count() <= limit;
            prop_assert_eq!(whole, clipped == text);
            prop_assert!(text.starts_with(clipped.strip_suffix('…').unwrap_or(&clipped)));
        }
    }
}
