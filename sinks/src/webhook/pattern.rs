//! Which datasets a receiver is told of: names with wildcards.

use schemars::JsonSchema;
use serde::Deserialize;

/// A name in which `*` stands for any characters, none included, and `?` for one: `urn:dp:orders:*`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl Pattern {
    /// Whether it stands for `text`. Takes at most as many steps as both are long, multiplied.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_str(), text);
        // Where to go on when a star has to swallow one character more.
        let mut star: Option<(&str, &str)> = None;
        loop {
            let (mut wanted, mut given) = (pattern.chars(), rest.chars());
            match (wanted.next(), given.next()) {
                (Some('*'), _) => {
                    pattern = wanted.as_str();
                    star = Some((pattern, rest));
                    continue;
                }
                (None, None) => return true,
                (Some(one), Some(other)) if one == other || one == '?' => {
                    (pattern, rest) = (wanted.as_str(), given.as_str());
                    continue;
                }
                _ => {}
            }
            let Some((after, swallowed)) = star else { return false };
            let mut more = swallowed.chars();
            if more.next().is_none() {
                return false;
            }
            (pattern, rest) = (after, more.as_str());
            star = Some((after, rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards() {
        let is = |pattern: &str, text: &str| Pattern(pattern.into()).matches(text);
        assert!(is("urn:dp:orders:*", "urn:dp:orders:created") && !is("urn:dp:orders:*", "urn:dp:payments:created"));
        assert!(is("*:created", "urn:dp:orders:created") && !is("*:created", "urn:dp:orders:created:2"));
        assert!(is("*", "") && is("a?c", "aäc") && !is("a?c", "ac") && !is("", "a") && is("", ""));
        assert!(is("a*b*c", "aXbYbZc") && !is("a*b*c", "aXbYbZ"));
    }

    /// The plain definition, exponential.
    fn oracle(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => oracle(rest, text) || (!text.is_empty() && oracle(pattern, &text[1..])),
            (Some((one, rest)), Some((other, more))) => (one == other || *one == '?') && oracle(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn as_by_definition(pattern in "[ab*?ä]{0,8}", text in "[abä]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern(pattern.clone()).matches(&text), oracle(&chars(&pattern), &chars(&text)));
        }
    }
}
