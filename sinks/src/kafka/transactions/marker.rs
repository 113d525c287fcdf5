//! The mark that an instance of the service leaves in the group of the evidence: who it is, and how many transactional ids
//! it has. It is the metadata of the position of the evidence topic's first partition, which stands for nothing else.

use std::{fmt, ops::Range, str::FromStr};

/// An instance of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    /// Drawn anew by each instance.
    pub(super) instance: u64,
    /// Transactional ids from 0 up to this number may be in use by it, or by one before it.
    pub(super) ids: usize,
}

impl Marker {
    /// The ids that have to be fenced besides the first, which comes before the mark is read: this instance's own, and what
    /// the last one had more of.
    pub(super) fn to_fence(workers: usize, last: Option<Self>) -> Range<usize> {
        1..last.map_or(0, |last| last.ids).max(workers)
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faultline instance={:016x} ids={}", self.instance, self.ids)
    }
}

/// It was written by something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMarker;

impl FromStr for Marker {
    type Err = NoMarker;

    fn from_str(text: &str) -> Result<Self, NoMarker> {
        let mut words = text.split(' ');
        let mut word = |prefix: &str| words.next().and_then(|word| word.strip_prefix(prefix)).ok_or(NoMarker);
        word("faultline")?;
        let instance = u64::from_str_radix(word("instance=")?, 16).map_err(|_| NoMarker)?;
        let ids = word("ids=")?.parse().map_err(|_| NoMarker)?;
        Ok(Self { instance, ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Option<Marker> {
        Some(Marker { instance: 7, ids: count })
    }

    #[test]
    fn the_surplus_of_the_last_run_is_fenced_too() {
        assert_eq!(Marker::to_fence(4, None), 1..4, "a first run");
        assert_eq!(Marker::to_fence(4, ids(4)), 1..4);
        assert_eq!(Marker::to_fence(4, ids(2)), 1..4, "it grew");
        assert_eq!(Marker::to_fence(2, ids(4)), 1..4, "it shrank");
        assert!(Marker::to_fence(1, ids(1)).is_empty());
    }

    #[test]
    fn a_mark_is_read_back_and_nothing_else_is_one() {
        let marker = Marker { instance: 0xfee1, ids: 12 };
        assert_eq!(marker.to_string(), "faultline instance=000000000000fee1 ids=12");
        assert_eq!(marker.to_string().parse(), Ok(marker));
        for text in ["", "faultline", "faultline instance=x ids=1", "faultline instance=1 ids=-1", "other 1 2"] {
            assert_eq!(text.parse::<Marker>(), Err(NoMarker), "{text}");
        }
    }
}
