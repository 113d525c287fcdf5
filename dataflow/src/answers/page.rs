//! Pages, as AIP-158 has them: a token says after which key the next page starts and which filters it belongs to, so
//! that a list that changes while it is read neither repeats nor skips what stays.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64;

use super::Refusal;

/// Rows to a page where the request does not say.
pub const DEFAULT_SIZE: usize = 100;
/// The most rows to a page.
pub const MAX_SIZE: usize = 1_000;
/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 << 10;

/// What a request says about pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<K> {
    size: usize,
    after: Option<K>,
    filters: u64,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// The next page's token; empty on the last page.
    pub next_page_token: String,
    /// Rows on all pages.
    pub total_size: u32,
}

impl<K: Ord + Serialize + DeserializeOwned> PageRequest<K> {
    /// Reads a request's paging. `filters` is the request without `page_size`, `page_token` and `min_as_of`.
    ///
    /// # Errors
    /// The size is negative, or the token is none of these filters.
    pub fn read(page_size: i32, page_token: &str, filters: &impl Message) -> Result<Self, Refusal> {
        let size = match usize::try_from(page_size) {
            Ok(0) => DEFAULT_SIZE,
            Ok(size) => size.min(MAX_SIZE),
            Err(_) => return Err(Refusal::invalid("page_size", format!("{page_size} is negative"))),
        };
        let filters = xxh3_64(&filters.encode_to_vec());
        let after = match page_token {
            "" => None,
            token if token.len() > MAX_TOKEN => {
                return Err(Refusal::invalid("page_token", "it is not one of this service"));
            }
            token => Some(Self::read_token(token, filters)?),
        };
        Ok(Self { size, after, filters })
    }

    fn read_token(token: &str, filters: u64) -> Result<K, Refusal> {
        let token = URL_SAFE_NO_PAD.decode(token).ok();
        let token = token.and_then(|json| serde_json::from_slice::<(u64, serde_json::Value)>(&json).ok());
        let Some((made_for, after)) = token else {
            return Err(Refusal::invalid("page_token", "it is not one of this service"));
        };
        if made_for != filters {
            return Err(Refusal::invalid("page_token", "it belongs to a request with other filters"));
        }
        serde_json::from_value(after).map_err(|_| Refusal::invalid("page_token", "it is not one of this service"))
    }

    /// The page of `rows`, which are in the order of their keys.
    #[must_use]
    pub fn cut<T>(&self, rows: Vec<(K, T)>) -> Page<T> {
        let total_size = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let start = self.after.as_ref().map_or(0, |after| rows.partition_point(|(key, _)| key <= after));
        let more = rows.len() - start > self.size;
        let mut last = None;
        let rows = rows.into_iter().skip(start).take(self.size).map(|(key, row)| {
            last = Some(key);
            row
        });
        let rows: Vec<T> = rows.collect();
        let next = last.filter(|_| more).and_then(|last| serde_json::to_vec(&(self.filters, last)).ok());
        Page { rows, next_page_token: next.map_or_else(String::new, |json| URL_SAFE_NO_PAD.encode(json)), total_size }
    }
}

/// A request without what does not filter.
macro_rules! filters_of {
    ($request:expr, $message:ident) => {
        v1::$message { page_size: 0, page_token: String::new(), min_as_of: None, ..$request.clone() }
    };
}
pub(super) use filters_of;

#[cfg(test)]
mod tests {
    use faultline_proto::v1::ListSignalsRequest;

    use super::*;

    fn rows(keys: impl IntoIterator<Item = i64>) -> Vec<(i64, i64)> {
        keys.into_iter().map(|key| (key, key * 10)).collect()
    }

    #[test]
    fn pages_follow_each_other_though_rows_come_and_go() {
        let filters = ListSignalsRequest { kinds: vec!["volume".into()], ..ListSignalsRequest::default() };
        let first = PageRequest::read(2, "", &filters).unwrap().cut(rows([1, 3, 5, 7]));
        assert_eq!((first.rows, first.total_size), (vec![10, 30], 4));
        let second = PageRequest::read(2, &first.next_page_token, &filters).unwrap();
        assert_eq!(second.cut(rows([0, 1, 4, 5, 7])).rows, [40, 50], "what is before the token is not shown again");
        let last = second.cut(rows([1, 5, 7]));
        assert_eq!((last.rows, last.next_page_token), (vec![50, 70], String::new()), "a full page can be the last");
        assert_eq!(second.cut(rows([])), Page { rows: vec![], next_page_token: String::new(), total_size: 0 });
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let filters = ListSignalsRequest::default();
        let other = ListSignalsRequest { kinds: vec!["volume".into()], ..filters.clone() };
        let token = PageRequest::read(1, "", &filters).unwrap().cut(rows([1, 2])).next_page_token;
        let read = |size, token: &str, filters| PageRequest::<i64>::read(size, token, filters);
        let refused = |result: Result<PageRequest<i64>, _>| match result {
            Err(Refusal::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(read(-1, "", &filters)), "page_size");
        assert_eq!(refused(read(1, &token, &other)), "page_token");
        for odd in ["x", "eyJ9", &URL_SAFE_NO_PAD.encode("[1]"), &"A".repeat(MAX_TOKEN + 1)] {
            assert_eq!(refused(read(1, odd, &filters)), "page_token");
        }
        assert!(PageRequest::<(i64, i64)>::read(1, &token, &filters).is_err(), "a token of another list");
        assert_eq!(read(i32::MAX, "", &filters).unwrap().size, MAX_SIZE);
    }
}
