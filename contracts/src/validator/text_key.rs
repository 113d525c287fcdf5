//! Short texts as numbers, so that they compare without a call of `memcmp`.

/// The length of a text with its first and last eight bytes. Of texts of up to 16 bytes it is all there is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TextKey {
    length: u32,
    head: u64,
    tail: u64,
}

impl TextKey {
    #[inline]
    pub(super) fn of(text: &[u8]) -> Self {
        let length = text.len() as u32;
        let (head, tail) = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => (short(text), 0),
        };
        Self { length, head, tail }
    }

    /// Whether texts of equal keys are equal.
    #[inline]
    pub(super) fn is_exact(self) -> bool {
        self.length <= 16
    }
}

/// Up to seven bytes as a number; of texts of one length it tells all apart.
#[inline]
fn short(text: &[u8]) -> u64 {
    match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(head), Some(tail)) => u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << 32,
        // One to three bytes: first, middle and last are all of them.
        _ => match (text.first(), text.get(text.len() / 2), text.last()) {
            (Some(&first), Some(&middle), Some(&last)) => u64::from(u32::from_le_bytes([first, middle, last, 0])),
            _ => 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn short_texts_are_equal_where_their_keys_are(a in "[ab]{0,20}", b in "[ab]{0,20}") {
            let keys = (TextKey::of(a.as_bytes()), TextKey::of(b.as_bytes()));
            prop_assert_eq!(keys.0.is_exact(), a.len() <= 16);
            if keys.0.is_exact() {
                prop_assert_eq!(keys.0 == keys.1, a == b);
            } else if a == b {
                prop_assert_eq!(keys.0, keys.1);
            }
        }
    }
}
