//! Whether a topic is still the one that was read. One that was deleted and made anew has the name of the other, and offsets
//! that may fit as well; it has another id.

use crate::sources::kafka::topic_ids::TopicId;

/// What tells the topic that was read from others of its name.
#[derive(Debug, Default)]
pub(super) struct Incarnation {
    /// Brokers before 2.8 have none.
    id: Option<TopicId>,
    /// Whether brokers have said since that there is no such topic.
    vanished: bool,
}

impl Incarnation {
    /// Notes that brokers know no topic of this name.
    pub(super) fn vanished(&mut self) {
        self.vanished = true;
    }

    /// Whether the topic that is there now is another. Brokers may deny a topic for a moment that they still have, so ids
    /// are believed first.
    pub(super) fn is_another(&self, id: Option<&TopicId>) -> bool {
        match (&self.id, id) {
            (Some(read), Some(found)) => read != found,
            _ => self.vanished,
        }
    }

    /// Notes that the topic that is there now is the one that is read.
    pub(super) fn is_read(&mut self, id: Option<TopicId>) {
        if id.is_some() || self.vanished {
            self.id = id;
        }
        self.vanished = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What brokers say: the topic's id, or that there is no topic.
    fn anew(said: &[Result<Option<&str>, ()>]) -> Vec<bool> {
        let mut read = Incarnation::default();
        let mut hear = |said: Result<Option<&str>, ()>| {
            let Ok(id) = said else {
                read.vanished();
                return false;
            };
            let id = id.map(|id| TopicId(id.into()));
            let another = read.is_another(id.as_ref());
            read.is_read(id);
            another
        };
        said.iter().map(|&said| hear(said)).collect()
    }

    #[test]
    fn another_id_is_another_topic_whether_or_not_it_was_seen_to_go() {
        let (a, b, gone) = (Ok(Some("a")), Ok(Some("b")), Err(()));
        assert_eq!(anew(&[a, a, b, b, a]), [false, false, true, false, true]);
        assert_eq!(anew(&[a, gone, gone, b, b]), [false, false, false, true, false]);
        assert_eq!(anew(&[a, gone, a, a]), [false; 4], "it was denied for a moment");
    }

    #[test]
    fn without_ids_one_that_was_gone_is_another() {
        let (a, b, none, gone) = (Ok(Some("a")), Ok(Some("b")), Ok(None), Err(()));
        assert_eq!(anew(&[none, none, gone, gone, none, none]), [false, false, false, false, true, false]);
        assert_eq!(anew(&[none, a, none, a, b]), [false, false, false, false, true], "brokers are upgraded one by one");
        assert_eq!(anew(&[a, gone, none, b, b]), [false, false, true, false, false]);
    }
}
