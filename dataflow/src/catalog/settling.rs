//! When what was found is taken: once two looks agree.
//!
//! Editors write a file in pieces or move another into its place, `git pull` writes one file after the other, and a deployment
//! tool may need a while for all of them. A look in the middle finds something that nobody has meant. It does not last,
//! so what two looks in a row agree about is taken for what was meant.

/// Watches readings, by what tells them apart, until they settle.
#[derive(Debug)]
pub(super) struct Settling<T> {
    /// What was seen at the last look, where that is not what was taken.
    seen: Option<T>,
    taken: Option<T>,
}

impl<T: PartialEq> Settling<T> {
    pub(super) fn new() -> Self {
        Self { seen: None, taken: None }
    }

    /// As if this had been taken.
    pub(super) fn having(taken: T) -> Self {
        Self { seen: None, taken: Some(taken) }
    }

    /// Notes what this look found, and says whether it is to be taken: it is not what was taken last, and what the look
    /// before found.
    pub(super) fn settled(&mut self, found: T) -> bool {
        if self.taken.as_ref() == Some(&found) {
            self.seen = None;
            return false;
        }
        let agree = self.seen.as_ref() == Some(&found);
        if agree {
            (self.seen, self.taken) = (None, Some(found));
        } else {
            self.seen = Some(found);
        }
        agree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_looks_agree_about_is_taken_once() {
        let mut settling = Settling::new();
        let looks = [1, 1, 1, 2, 3, 3, 3, 4, 3, 4, 4];
        let taken: Vec<_> = looks.into_iter().filter(|&found| settling.settled(found)).collect();
        assert_eq!(taken, [1, 3, 4]);
    }

    #[test]
    fn what_goes_back_to_what_was_taken_changes_nothing() {
        let mut settling = Settling::new();
        let taken: Vec<_> = [1, 1, 2, 1, 2, 1, 1].map(|found| settling.settled(found)).into();
        assert_eq!(taken, [false, true, false, false, false, false, false]);
    }
}
