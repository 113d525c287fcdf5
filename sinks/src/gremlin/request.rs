//! Statements in requests, within the limits of the server.

use std::collections::HashMap;

use gremlin_client::{GValue, List};

use super::{
    failure::Failure,
    literal,
    settings::{Flavor, GremlinSettings},
    statement::{Statement, json_bytes},
};

/// What a request is about: where it looks for the ids afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Vertices,
    Edges,
}

/// A script and the value of its one binding, `b`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub script: String,
    pub bindings: Option<Vec<GValue>>,
}

/// What ends each request: what is now stored of the ids, as one value, so that the answer comes in one piece. (The client
/// takes an error after the first piece for the end of the results.)
const READ_BACK: &str =
    ".project('i','e','l').by(T.id).by(__.coalesce(__.values('epoch'),__.constant(-1L))).by(T.label).fold()";

/// What a request takes besides statements, ids and values: the envelope, the client's id, the script's frame.
const FRAME_BYTES: usize = 1_000;

impl Request {
    /// Executes the statements in their order and then reads what is stored of `ids`. Without any id it reads nothing,
    /// since `g.V()` is all there is.
    pub(super) fn new<'s>(
        kind: Kind,
        statements: impl IntoIterator<Item = &'s Statement>,
        ids: &[&str],
        flavor: Flavor,
    ) -> Self {
        let all = match kind {
            Kind::Vertices => "g.V(",
            Kind::Edges => "g.E(",
        };
        let mut script = String::new();
        match flavor {
            Flavor::Neptune => {
                for statement in statements {
                    script.push_str(&statement.code);
                    script.push(';');
                }
                if ids.is_empty() {
                    script.push_str("g.inject(0)");
                } else {
                    let ids: Vec<_> = ids.iter().map(|id| literal(id)).collect();
                    script.push_str(&format!("{all}{}){READ_BACK}", ids.join(",")));
                }
                Self { script, bindings: None }
            }
            Flavor::Tinkerpop => {
                // Rows of the same statement share its text, so that the script is of few shapes and compiled once.
                let mut groups: Vec<(&str, Vec<GValue>)> = Vec::new();
                for statement in statements {
                    let row = GValue::List(List::new(statement.row.clone()));
                    match groups.iter_mut().find(|(code, _)| *code == statement.code) {
                        Some((_, rows)) => rows.push(row),
                        None => groups.push((&statement.code, vec![row])),
                    }
                }
                let mut bindings = Vec::new();
                for (code, rows) in groups {
                    script.push_str(&format!("for(r in b[{}]){{{code}}};", bindings.len()));
                    bindings.push(GValue::List(List::new(rows)));
                }
                if ids.is_empty() {
                    script.push_str("g.inject(0)");
                } else {
                    script.push_str(&format!("{all}b[{}]){READ_BACK}", bindings.len()));
                    let ids = ids.iter().map(|id| GValue::String((*id).to_owned())).collect();
                    bindings.push(GValue::List(List::new(ids)));
                }
                Self { script, bindings: Some(bindings) }
            }
        }
    }
}

impl Request {
    /// Goes on from one vertex.
    pub(super) fn of_vertex(id: &str, steps: &str, flavor: Flavor) -> Self {
        match flavor {
            Flavor::Neptune => Self { script: format!("g.V({}){steps}", literal(id)), bindings: None },
            Flavor::Tinkerpop => {
                let bindings = Some(vec![GValue::String(id.to_owned())]);
                Self { script: format!("g.V(b[0]){steps}"), bindings }
            }
        }
    }
}

/// Something to write, ready for a request.
#[derive(Debug)]
pub(super) struct Element<T> {
    /// What it is to the caller.
    pub what: T,
    /// Its id, to be read back.
    pub id: String,
    pub statement: Statement,
}

/// How large one request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub flavor: Flavor,
    pub elements: usize,
    pub steps: usize,
    pub bytes: usize,
}

impl Limits {
    pub(super) fn of(settings: &GremlinSettings) -> Self {
        Self {
            flavor: settings.flavor,
            elements: settings.request_elements.get(),
            steps: settings.request_steps.get(),
            bytes: settings.request_bytes.get(),
        }
    }

    /// The elements in the fewest batches that keep their order and the limits, and those that no request holds.
    pub(super) fn pack<T>(&self, elements: Vec<Element<T>>) -> (Vec<Vec<Element<T>>>, Vec<Element<T>>) {
        let (mut batches, mut too_large) = (Vec::new(), Vec::new());
        let (mut batch, mut steps, mut bytes) = (Vec::new(), 0, FRAME_BYTES);
        for element in elements {
            let (more_steps, more_bytes) = self.cost(&element);
            if FRAME_BYTES + more_bytes > self.bytes {
                too_large.push(element);
                continue;
            }
            let full =
                batch.len() >= self.elements || steps + more_steps > self.steps || bytes + more_bytes > self.bytes;
            if full && !batch.is_empty() {
                batches.push(std::mem::take(&mut batch));
                (steps, bytes) = (0, FRAME_BYTES);
            }
            batch.push(element);
            steps += more_steps;
            bytes += more_bytes;
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        (batches, too_large)
    }

    /// Steps and bytes that an element takes of a request.
    fn cost<T>(&self, element: &Element<T>) -> (usize, usize) {
        let Element { id, statement, .. } = element;
        match self.flavor {
            // Backslashes of literals are doubled in JSON.
            Flavor::Neptune => (statement.steps, json_bytes(&statement.code) + json_bytes(&literal(id)) + 2),
            // Texts are counted as if each element had its own, and steps do not grow with rows.
            Flavor::Tinkerpop => (0, statement.code.len() + statement.row_bytes + json_bytes(id) + 60),
        }
    }
}

/// What is stored of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// −1 where it has none.
    pub epoch: i64,
    pub label: String,
}

/// What became of a write, by what is stored afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Written,
    Stale,
    /// It is not there, or an older one is.
    Undone,
}

/// By the epoch that was to be written.
pub(super) fn settle(epoch: i64, stored: Option<&Stored>) -> Settled {
    match stored {
        Some(stored) if stored.epoch == epoch => Settled::Written,
        Some(stored) if stored.epoch > epoch => Settled::Stale,
        _ => Settled::Undone,
    }
}

/// The answer to a read-back, by id.
pub(super) fn stored(results: Vec<GValue>) -> Result<HashMap<String, Stored>, Failure> {
    let unclear = |what: &GValue| Failure::Answer(format!("{what:?}").chars().take(200).collect());
    let mut found = HashMap::new();
    for row in rows(results)? {
        let GValue::Map(map) = &row else { return Err(unclear(&row)) };
        match (map.get("i"), map.get("e"), map.get("l")) {
            (Some(GValue::String(id)), Some(epoch), Some(GValue::String(label))) => {
                let epoch = match epoch {
                    GValue::Int64(epoch) => *epoch,
                    GValue::Int32(epoch) => i64::from(*epoch),
                    // Somebody else's property of that name: older than anything of ours.
                    _ => -1,
                };
                found.insert(id.clone(), Stored { epoch, label: label.clone() });
            }
            _ => return Err(unclear(&row)),
        }
    }
    Ok(found)
}

/// The members of the one list that a folded traversal results in.
pub(super) fn rows(results: Vec<GValue>) -> Result<Vec<GValue>, Failure> {
    match <[GValue; 1]>::try_from(results) {
        Ok([GValue::List(list)]) => Ok(list.into_iter().collect()),
        Ok([other]) => Err(Failure::Answer(format!("{other:?}").chars().take(200).collect())),
        Err(results) => Err(Failure::Answer(format!("{} values instead of one", results.len()))),
    }
}

#[cfg(test)]
mod tests;
