//! Plain JSON: the incident as in its topic, what is news of it, and its explanation's summary.

use serde_json::{Value, json};

use super::Notice;
use crate::webhook::transition::Transition;

/// The body of a request.
#[must_use]
pub fn body(notice: &Notice<'_>) -> Value {
    let &Notice { incident, epoch, retracted, explained, news, action: _, link } = notice;
    // An incident has a JSON form, always: it is a struct of texts, numbers and times.
    let mut body = serde_json::to_value(incident).unwrap_or_default();
    body["epoch"] = json!(epoch);
    body["news"] = json!(news.iter().copied().map(Transition::as_str).collect::<Vec<_>>());
    if retracted {
        body["retracted"] = json!(true);
    }
    if let Some(explained) = explained {
        body["explanation"] = json!(explained);
    }
    if let Some(link) = link {
        body["link"] = json!(link);
    }
    body
}
