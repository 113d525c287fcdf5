//! One call: changes sorted, batched, written, and settled by what is stored afterwards.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use faultline_contracts::ids::EntityId;

use super::{
    GremlinStore,
    attempt::Stop,
    ends::ends,
    failure::Failure,
    relabel,
    request::{Element, Kind, Limits, Request, Settled, Stored, settle, stored},
    settings::Flavor,
    statement::{Form, Statement, Write},
};
use crate::store::{Outcome, StoreChange, StoreItem, StoreKey};

/// Vertices come before edges, which need them, and go after edges, which go with them.
pub(super) fn apply(store: &mut GremlinStore, changes: Vec<StoreChange>) -> Outcome {
    let outcome = Outcome::default();
    let mut call = Call { store, begun: Instant::now(), failures: 0, progress: false, stopped: false, outcome };
    let form = match call.attempt(|client, allowance| client.form(allowance)) {
        Ok(form) => form,
        Err(stop) => {
            call.outcome.left = changes;
            call.stop(stop);
            return call.outcome;
        }
    };
    let Phases { vertices, edges, removed_edges, removed_vertices } = call.sort(changes, form);
    let undone = call.write(Kind::Vertices, vertices, form);
    call.leave_undone(undone);
    let endless = call.write(Kind::Edges, edges, form);
    call.write_with_ends(endless, form);
    call.remove(Kind::Edges, removed_edges, form);
    call.remove(Kind::Vertices, removed_vertices, form);
    call.outcome
}

/// In the order in which they are sent.
#[derive(Default)]
struct Phases {
    vertices: Vec<Element<Dated>>,
    edges: Vec<Element<Dated>>,
    removed_edges: Vec<Element<Dated>>,
    removed_vertices: Vec<Element<Dated>>,
}

/// A change and its epoch as the graph holds it.
pub(super) type Dated = (StoreChange, i64);

/// What is true of one call.
pub(super) struct Call<'s> {
    pub(super) store: &'s mut GremlinStore,
    pub(super) begun: Instant,
    /// In a row.
    pub(super) failures: u32,
    /// Whether the graph has settled something of it.
    pub(super) progress: bool,
    /// Nothing is begun any more, and what is not settled is left.
    stopped: bool,
    outcome: Outcome,
}

impl Call<'_> {
    /// What can be refused without asking the server is.
    fn sort(&mut self, changes: Vec<StoreChange>, form: Form) -> Phases {
        let mut phases = Phases::default();
        for change in changes {
            let Ok(epoch) = i64::try_from(change.epoch()) else {
                self.refuse(&change, &"its epoch is beyond 2^63 - 1");
                continue;
            };
            let (phase, id, write) = match &change {
                // Neptune takes `A::B` for two labels.
                StoreChange::Upsert { item: StoreItem::Vertex(vertex), .. } if vertex.label.contains("::") => {
                    self.refuse(&change, &"its label holds '::'");
                    continue;
                }
                StoreChange::Upsert { item: StoreItem::Vertex(vertex), .. } => {
                    (&mut phases.vertices, vertex.id.to_string(), Write::Vertex(vertex, epoch))
                }
                StoreChange::Upsert { item: StoreItem::Edge(edge), .. } => {
                    (&mut phases.edges, edge.id().to_string(), Write::Edge(edge, epoch))
                }
                StoreChange::Delete { key: StoreKey::Edge(id), .. } => {
                    (&mut phases.removed_edges, id.to_string(), Write::DropEdge(id, epoch))
                }
                StoreChange::Delete { key: StoreKey::Vertex(id), .. } => {
                    (&mut phases.removed_vertices, id.to_string(), Write::DropVertex(id, epoch))
                }
                other => {
                    self.refuse(other, &"it is neither a vertex nor an edge");
                    continue;
                }
            };
            let statement = Statement::of(write, form, self.store.limits.flavor);
            phase.push(Element { id, statement, what: (change, epoch) });
        }
        phases
    }

    /// Writes upserts. Returns those that the server took without effect.
    fn write(&mut self, kind: Kind, elements: Vec<Element<Dated>>, form: Form) -> Vec<Element<Dated>> {
        let mut undone = Vec::new();
        self.in_batches(kind, elements, form, |call, element, stored| {
            let (change, epoch) = &element.what;
            match settle(*epoch, stored) {
                Settled::Written => {
                    if let (StoreChange::Upsert { item: StoreItem::Vertex(vertex), .. }, Some(stored)) =
                        (change, stored)
                        && stored.label != *vertex.label
                        && let Err(stop) = relabel::relabel(call, vertex, *epoch, form)
                    {
                        call.leave(vec![element]);
                        return Err(stop);
                    }
                    call.outcome.applied.written += 1;
                }
                Settled::Stale => call.outcome.applied.stale += 1,
                Settled::Undone => undone.push(element),
            }
            Ok(())
        });
        undone
    }

    /// Writes edges again, now with vertices at ends where there are none.
    fn write_with_ends(&mut self, edges: Vec<Element<Dated>>, form: Form) {
        let both_ends = |element: &Element<Dated>| match &element.what.0 {
            StoreChange::Upsert { item: StoreItem::Edge(edge), .. } => {
                Some(ends(edge).map(|(id, label)| (id.clone(), label)))
            }
            _ => None,
        };
        let missing: BTreeMap<EntityId, &'static str> = edges.iter().filter_map(both_ends).flatten().collect();
        let flavor = self.store.limits.flavor;
        let elements = missing.into_iter().map(|(id, label)| {
            let statement = Statement::of(Write::End(&id, label), form, flavor);
            Element { what: (), id: id.to_string(), statement }
        });
        let (mut there, mut gone) = (BTreeSet::new(), BTreeSet::new());
        self.in_batches(Kind::Vertices, elements.collect(), form, |_, element, stored| {
            match stored {
                Some(_) => there.insert(element.id),
                // Another writer removed it at once.
                None => gone.insert(element.id),
            };
            Ok(())
        });
        let (mut possible, mut undone) = (Vec::new(), Vec::new());
        for element in edges {
            let ends = both_ends(&element);
            let ends = || ends.iter().flatten().map(|(id, _)| id.as_str());
            if ends().all(|id| there.contains(id)) {
                possible.push(element);
            } else if self.stopped {
                // Its ends may not have been asked for.
                self.leave(vec![element]);
            } else if ends().any(|id| gone.contains(id)) {
                undone.push(element);
            } else {
                self.refuse(&element.what.0, &"the server refuses a vertex at one of its ends");
            }
        }
        undone.extend(self.write(Kind::Edges, possible, form));
        self.leave_undone(undone);
    }

    /// Removes what is there and no newer; some at a time, so that a call that is too short for all settles these.
    fn remove(&mut self, kind: Kind, elements: Vec<Element<Dated>>, form: Form) {
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            let some = elements.by_ref().take(self.store.limits.elements).collect();
            self.remove_some(kind, some, form);
        }
    }

    fn remove_some(&mut self, kind: Kind, elements: Vec<Element<Dated>>, form: Form) {
        let mut found = Vec::new();
        // First a look at what there is: what is not there cannot be told from what was removed afterwards.
        let looks = elements.into_iter().map(|element| {
            let nothing = Statement { code: String::new(), row: Vec::new(), steps: 0, row_bytes: 0 };
            Element { id: element.id.clone(), statement: nothing, what: element }
        });
        self.in_batches(kind, looks.collect(), form, |call, look, stored| {
            let element = look.what;
            match stored {
                None => call.outcome.applied.absent += 1,
                Some(stored) if stored.epoch > element.what.1 => call.outcome.applied.stale += 1,
                Some(_) => found.push(element),
            }
            Ok(())
        });
        self.in_batches(kind, found, form, |call, _, stored| {
            match stored {
                None => call.outcome.applied.written += 1,
                // A newer one came in between, or an edge of a newer epoch holds the vertex.
                Some(_) => call.outcome.applied.stale += 1,
            }
            Ok(())
        });
    }

    /// Sends elements in batches and tells for each what is stored of it then. A batch that the server refuses is halved
    /// until the refused element is alone; once the server fails, or the time is over, what is not settled is left.
    fn in_batches<T: Owed>(
        &mut self,
        kind: Kind,
        elements: Vec<Element<T>>,
        form: Form,
        mut settled: impl FnMut(&mut Self, Element<T>, Option<&Stored>) -> Result<(), Stop>,
    ) {
        let (batches, too_large) = self.store.limits.pack(elements);
        for Element { what, id, .. } in too_large {
            let why = "it is larger than request_bytes";
            match what.change() {
                Some(change) => self.refuse(&change, &why),
                None => log_refusal(&id, &why),
            }
        }
        let mut queue: VecDeque<_> = batches.into();
        while let Some(mut batch) = queue.pop_front() {
            if self.stopped {
                self.leave(batch);
                continue;
            }
            let ids: Vec<_> = batch.iter().map(|element| element.id.as_str()).collect();
            let statements =
                batch.iter().map(|element| &element.statement).filter(|statement| !statement.code.is_empty());
            let request = Request::new(kind, statements, &ids, self.store.limits.flavor);
            let results = match batch.len() {
                1 => self.run_single(&request, form),
                _ => self.run(&request, form),
            };
            match results.and_then(|results| Ok(stored(results)?)) {
                Ok(stored) => {
                    for element in batch {
                        let (stored, before) = (stored.get(&element.id), self.outcome.applied);
                        if let Err(stop) = settled(self, element, stored) {
                            self.stop(stop);
                        }
                        self.progress |= self.outcome.applied != before;
                    }
                }
                Err(Stop::Failed(failure)) if failure.is_worth_halving() && batch.len() > 1 => {
                    let second = batch.split_off(batch.len() / 2);
                    queue.push_front(second);
                    queue.push_front(batch);
                }
                Err(Stop::Failed(failure)) if failure.is_rejection() => {
                    for Element { what, id, .. } in batch {
                        match what.change() {
                            Some(change) => self.refuse(&change, &failure),
                            None => log_refusal(&id, &failure),
                        }
                    }
                    self.progress = true;
                }
                Err(stop) => {
                    self.leave(batch);
                    self.stop(stop);
                }
            }
        }
    }

    pub(super) fn flavor(&self) -> Flavor {
        self.store.limits.flavor
    }

    pub(super) fn limits(&self) -> Limits {
        self.store.limits
    }

    fn leave<T: Owed>(&mut self, batch: Vec<Element<T>>) {
        self.outcome.left.extend(batch.into_iter().filter_map(|element| element.what.change()));
    }

    fn leave_undone(&mut self, undone: Vec<Element<Dated>>) {
        if !undone.is_empty() {
            let failure = Failure::Undone(undone.len());
            self.leave(undone);
            self.stop(failure.into());
        }
    }

    /// The first failure is the one that is told. A lack of time is none.
    fn stop(&mut self, stop: Stop) {
        self.stopped = true;
        if let (Stop::Failed(failure), None) = (stop, &self.outcome.error) {
            self.outcome.error = Some(self.store.error("write to", failure));
        }
    }

    fn refuse(&mut self, change: &StoreChange, why: &dyn std::fmt::Display) {
        self.outcome.applied.refused += 1;
        match change.key() {
            StoreKey::Vertex(id) | StoreKey::Edge(id) => log_refusal(id.as_str(), why),
            key => tracing::error!(?key, %why, "the graph cannot hold this"),
        }
    }
}

/// Ids may be of any length and content.
fn log_refusal(id: &str, why: &dyn std::fmt::Display) {
    let id: String = id.chars().take(200).collect();
    tracing::error!(?id, %why, "an element can never be stored in the graph and is left out");
}

/// What the caller is owed of an element that was not settled.
trait Owed {
    /// The change that it stands for, if any.
    fn change(self) -> Option<StoreChange>;
}

impl Owed for Dated {
    fn change(self) -> Option<StoreChange> {
        Some(self.0)
    }
}

impl Owed for Element<Dated> {
    fn change(self) -> Option<StoreChange> {
        Some(self.what.0)
    }
}

/// An end belongs to edges that are owed themselves.
impl Owed for () {
    fn change(self) -> Option<StoreChange> {
        None
    }
}
