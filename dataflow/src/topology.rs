//! The dataflow, box by box, in the order in which data moves through it.
//!
//! ```text
//! policies, assets, declared flows ───────────────┬──────────────┬───────────────────────────────┐
//! deltas, progress ─► compliance windows ─► signals ─► breaches ─┼─► explanations ─► incidents ───┤
//! deployments ─► as-of view ─────────────────────────────────────┤        ▲                       ├─► outgoing graph
//! spans ─► retention ────────────────────────────────────────────┤        │                       │
//! lineage ─► runs, edges ────────────────────────────────────────┴─► blast radius, impact         │
//!                                                                                                 ▼
//!                                            every collection ─► one stream of changes ─► each process's view
//! ```

use std::collections::BTreeMap;

use differential_dataflow::{VecCollection, input::InputSession};
use faultline_contracts::{
    asset::Asset,
    deployment::Deployment,
    lineage::{FlowEdge, LineageEvent},
    policy::DatasetPolicy,
    trace::ServiceSpan,
};
use faultline_operators::{
    adjacency::Direction,
    blast_radius::{self, QueryKey, ReachQuery},
    compliance::WindowCensus,
    compliance::{ComplianceDelta, compliance_windows},
    deployments::{DeploymentHistory, deployments},
    graph::{self, GraphInputs, Producer},
    hypotheses::{CatalogChange, ExplanationInputs, explanations},
    impact::{self, ImpactQuery},
    incidents::incidents,
    lineage::{LineageOptions, lineage, with_declared},
    positions::{PartitionBegin, positions},
    retention::retain,
    signals::signals,
    state::{Cut, Section, StateChunk, StatePorts},
    watermark::PartitionProgress,
};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        ProbeHandle, Scope, StreamVec,
        channels::pact::Exchange,
        operators::{Concat, Concatenate, Operator, Probe, vec::Map},
    },
};

use crate::{
    catalog::CatalogRowChanges,
    config::Config,
    intake::Pending,
    view::{Change, EpochChanges},
};

type StreamInput<D> = timely::dataflow::InputHandle<u64, CapacityContainerBuilder<Vec<D>>>;

/// One worker's ends of the dataflow's inputs. All are at the same epoch.
pub struct Inputs {
    deltas: StreamInput<ComplianceDelta>,
    progress: StreamInput<PartitionProgress>,
    control_progress: StreamInput<PartitionProgress>,
    deployments: StreamInput<Deployment>,
    spans: StreamInput<ServiceSpan>,
    lineage: StreamInput<LineageEvent>,
    policies: InputSession<u64, DatasetPolicy, isize>,
    assets: InputSession<u64, Asset, isize>,
    declared: InputSession<u64, FlowEdge, isize>,
    producers: InputSession<u64, Producer, isize>,
    catalog_changes: InputSession<u64, CatalogChange, isize>,
    queries: InputSession<u64, ReachQuery, isize>,
    begins: StreamInput<PartitionBegin>,
    cuts: StreamInput<Cut>,
    restored: StreamInput<StateChunk>,
    epoch: u64,
}

/// What the catalog contributes, as collections.
#[derive(Debug, Clone, Default)]
pub struct CatalogRows {
    /// Objectives and owners.
    pub policies: Vec<DatasetPolicy>,
    /// Datasets and assets.
    pub assets: Vec<Asset>,
    /// Who consumes what, as declared.
    pub flows: Vec<FlowEdge>,
    /// Producers.
    pub producers: Vec<Producer>,
    /// When contracts came into force.
    pub changes: Vec<CatalogChange>,
}

impl Inputs {
    /// Sends what a tick brought, at the current epoch.
    pub fn send(&mut self, pending: &mut Pending) {
        self.deltas.send_batch(&mut pending.deltas);
        self.progress.send_batch(&mut pending.progress);
        self.control_progress.send_batch(&mut pending.control_progress);
        self.deployments.send_batch(&mut pending.deployments);
        self.spans.send_batch(&mut pending.spans);
        self.lineage.send_batch(&mut pending.lineage);
        self.begins.send_batch(&mut pending.begins);
    }

    /// Has all state of the current epoch handed out once it is closed. Any one worker does this.
    pub fn cut(&mut self) {
        self.cuts.send(Cut);
    }

    /// Brings state back, at the current epoch. Each chunk is for the worker that it names, whoever sends it.
    pub fn restore(&mut self, mut chunks: Vec<StateChunk>) {
        self.restored.send_batch(&mut chunks);
    }

    /// Puts the catalog in force. One worker of the cluster does this.
    pub fn load_catalog(&mut self, rows: CatalogRows) {
        rows.policies.into_iter().for_each(|row| self.policies.insert(row));
        rows.assets.into_iter().for_each(|row| self.assets.insert(row));
        rows.flows.into_iter().for_each(|row| self.declared.insert(row));
        rows.producers.into_iter().for_each(|row| self.producers.insert(row));
        rows.changes.into_iter().for_each(|row| self.catalog_changes.insert(row));
    }

    /// Has another catalog in force from `epoch` on, which is not before the current one. One worker of the cluster does
    /// this.
    pub fn change_catalog(&mut self, epoch: u64, changes: CatalogRowChanges) {
        let epoch = epoch.max(self.epoch);
        let CatalogRowChanges { left, came } = changes;
        for (CatalogRows { policies, assets, flows, producers, changes }, diff) in [(left, -1), (came, 1)] {
            policies.into_iter().for_each(|row| self.policies.update_at(row, epoch, diff));
            assets.into_iter().for_each(|row| self.assets.update_at(row, epoch, diff));
            flows.into_iter().for_each(|row| self.declared.update_at(row, epoch, diff));
            producers.into_iter().for_each(|row| self.producers.update_at(row, epoch, diff));
            changes.into_iter().for_each(|row| self.catalog_changes.update_at(row, epoch, diff));
        }
    }

    /// Adds (1) or removes (−1) a standing blast radius.
    pub fn stand(&mut self, query: ReachQuery, diff: isize) {
        self.queries.update(query, diff);
    }

    /// Moves all inputs on; earlier epochs are complete as far as this worker goes.
    pub fn advance_to(&mut self, epoch: u64) {
        if epoch <= self.epoch {
            return;
        }
        self.epoch = epoch;
        self.deltas.advance_to(epoch);
        self.progress.advance_to(epoch);
        self.control_progress.advance_to(epoch);
        self.deployments.advance_to(epoch);
        self.spans.advance_to(epoch);
        self.lineage.advance_to(epoch);
        self.policies.advance_to(epoch);
        self.policies.flush();
        self.assets.advance_to(epoch);
        self.assets.flush();
        self.declared.advance_to(epoch);
        self.declared.flush();
        self.producers.advance_to(epoch);
        self.producers.flush();
        self.catalog_changes.advance_to(epoch);
        self.catalog_changes.flush();
        self.queries.advance_to(epoch);
        self.queries.flush();
        self.begins.advance_to(epoch);
        self.cuts.advance_to(epoch);
        self.restored.advance_to(epoch);
    }

    /// The current epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Where the changes of closed epochs go, on a worker that keeps its process's view.
pub trait Publish: 'static {
    /// An epoch closed and brought changes. Called in the order of epochs.
    fn publish(&mut self, changes: EpochChanges);
    /// All epochs up to this one are closed.
    fn close(&mut self, epoch: u64);
}

/// Takes the state that is cut, on the worker that [`STATE_KEEPER`] names.
pub trait KeepState {
    /// All state of all workers as of an epoch.
    fn cut(&mut self, epoch: u64, chunks: Vec<StateChunk>);
    /// So many rows that were to be restored could not be read.
    fn unreadable(&mut self, section: Section, rows: u64);
}

/// The worker that state goes to.
pub const STATE_KEEPER: usize = 0;

/// Builds the dataflow of one worker. `viewers` are the workers, one of each process, that keep a view; `publish` is used
/// on those. `keep` takes state, on the worker that it goes to.
pub fn build<'scope>(
    scope: Scope<'scope, u64>,
    config: &Config,
    viewers: Vec<usize>,
    publish: Option<impl Publish>,
    keep: Option<Box<dyn KeepState>>,
) -> (Inputs, ProbeHandle<u64>) {
    let mut deltas = StreamInput::<ComplianceDelta>::new_with_builder();
    let mut progress = StreamInput::<PartitionProgress>::new_with_builder();
    let mut control_progress = StreamInput::<PartitionProgress>::new_with_builder();
    let mut deployment_events = StreamInput::<Deployment>::new_with_builder();
    let mut spans = StreamInput::<ServiceSpan>::new_with_builder();
    let mut lineage_events = StreamInput::<LineageEvent>::new_with_builder();
    let mut policies = InputSession::new();
    let mut assets = InputSession::new();
    let mut declared = InputSession::new();
    let mut producers = InputSession::new();
    let mut catalog_changes = InputSession::new();
    let mut queries = InputSession::new();
    let mut begins = StreamInput::<PartitionBegin>::new_with_builder();
    let mut cuts = StreamInput::<Cut>::new_with_builder();
    let mut restored = StreamInput::<StateChunk>::new_with_builder();

    let policy_rows: VecCollection<'scope, u64, DatasetPolicy> = policies.to_collection(scope);
    let asset_rows: VecCollection<'scope, u64, Asset> = assets.to_collection(scope);
    let declared_rows: VecCollection<'scope, u64, FlowEdge> = declared.to_collection(scope);
    let watched: VecCollection<'scope, u64, ReachQuery> = queries.to_collection(scope);
    let producer_rows: VecCollection<'scope, u64, Producer> = producers.to_collection(scope);
    let catalog_change_rows: VecCollection<'scope, u64, CatalogChange> = catalog_changes.to_collection(scope);
    let progress_rows = progress.to_stream(scope);
    let control_progress_rows = control_progress.to_stream(scope);
    let state = StatePorts::new(cuts.to_stream(scope), restored.to_stream(scope));
    let all_progress = progress_rows.clone().concat(control_progress_rows.clone());
    positions(begins.to_stream(scope), all_progress, &state);

    // Records → windows → signals → breaches.
    let windows = compliance_windows(deltas.to_stream(scope), progress_rows.clone(), &config.window_options(), &state);
    let signals = signals(
        windows.windows.clone(),
        policy_rows.clone(),
        windows.watermark.clone(),
        &config.signal_options(),
        &state,
    );
    let breaches = signals.breaches;

    // What changed, what ran, what flows where.
    let deployed = deployments(deployment_events.to_stream(scope), DeploymentHistory::default(), &state);
    let traced = retain(
        spans.to_stream(scope),
        Section::Spans,
        |span: &ServiceSpan| span.trace_id.hash(),
        |span| span.at,
        config.span_retention(),
        &state,
    );
    let lineage = lineage(lineage_events.to_stream(scope), LineageOptions::default(), &state);
    let flows = with_declared(lineage.edges.clone(), declared_rows);

    // Why, and what it reaches.
    let explained = explanations(
        ExplanationInputs {
            breaches: breaches.clone(),
            policies: policy_rows.clone(),
            deployments: deployed.in_force.clone(),
            spans: traced.facts.clone(),
            runs: lineage.runs.clone(),
            edges: flows.clone(),
            catalog_changes: catalog_change_rows,
        },
        config.explanation_options(),
    );
    let incident_rows = incidents(breaches.clone(), policy_rows.clone(), explained.parents.clone());
    let max_hops = config.blast_radius.max_hops;
    let of_breaches = breaches.clone().map(move |breach| ReachQuery {
        key: QueryKey::of_incident(breach.id),
        root: breach.dataset,
        direction: Direction::Downstream,
        max_hops,
    });
    let reach = blast_radius::standing(of_breaches.concat(watched), flows.clone(), config.reach_options());
    let hit = impact::standing_within(
        breaches.clone().map(|breach| ImpactQuery {
            key: QueryKey::of_incident(breach.id),
            since: breach.first_failure_at(),
            root: breach.dataset,
            resolved_at: breach.resolved_at,
        }),
        reach.rows.clone(),
        flows.clone(),
        lineage.runs.clone(),
    );

    // The graph that leaves.
    let outgoing = GraphInputs {
        policies: policy_rows,
        producers: producer_rows,
        assets: asset_rows.clone(),
        flow: flows.clone(),
        incidents: incident_rows.clone(),
        explanations: explained.explanations.clone(),
    };

    // Everything, as changes.
    let changes = scope.concatenate([
        rows(windows.windows, Change::Window),
        rows(signals.signals, Change::Signal),
        rows(breaches, Change::Breach),
        rows(incident_rows, Change::Incident),
        rows(explained.explanations, Change::Explanation),
        rows(asset_rows, Change::Asset),
        rows(flows, Change::Flow),
        rows(lineage.runs, Change::Run),
        rows(deployed.in_force, Change::Deployment),
        rows(reach.rows, Change::Reach),
        rows(reach.truncated, Change::Truncated),
        rows(hit, Change::Impact),
        rows(graph::vertices(outgoing.clone()), Change::Vertex),
        rows(graph::edges(outgoing), Change::Edge),
        facts(progress_rows, Change::Progress),
        facts(control_progress_rows, Change::Progress),
        facts(windows.watermark, Change::Watermark),
        facts(windows.late, Change::Late),
        facts(windows.census, |WindowCensus { worker, live, .. }| Change::LiveWindows { worker, live }),
        facts(traced.dropped, |dropped| Change::Dropped("spans".to_owned(), dropped.late + dropped.over_capacity)),
        facts(deployed.dropped, |(_, count)| Change::Dropped("deployments".to_owned(), count)),
        facts(lineage.dropped, |(reason, count)| Change::Dropped(format!("lineage_{}", reason.as_str()), count)),
    ]);
    let probe = ProbeHandle::new();
    keep_view(changes, viewers, publish, &probe);
    collect_state(state.leaving(scope), keep, &probe);

    let inputs = Inputs {
        deltas,
        progress,
        control_progress,
        deployments: deployment_events,
        spans,
        lineage: lineage_events,
        policies,
        assets,
        declared,
        producers,
        catalog_changes,
        queries,
        begins,
        cuts,
        restored,
        epoch: 0,
    };
    (inputs, probe)
}

type Updates<'scope> = StreamVec<'scope, u64, (Change, u64, isize)>;

fn rows<'scope, D: differential_dataflow::ExchangeData>(
    collection: VecCollection<'scope, u64, D>,
    change: impl Fn(D) -> Change + 'static,
) -> Updates<'scope> {
    collection.inner.map(move |(row, time, diff)| (change(row), time, diff))
}

/// Facts of a stream happen at the time of their message.
fn facts<'scope, D: timely::ExchangeData>(
    stream: StreamVec<'scope, u64, D>,
    change: impl Fn(D) -> Change + 'static,
) -> Updates<'scope> {
    stream
        .unary(timely::dataflow::channels::pact::Pipeline, "Facts", move |_, _| {
            move |input, output| {
                input.for_each_stamp(|capability, batches| {
                    let Some(capability) = capability.retain_least(output.output_index()) else { return };
                    let time = *capability.time();
                    let mut session = output.session(&capability);
                    for fact in batches.flat_map(|batch| batch.drain(..)) {
                        session.give((change(fact), time, 1));
                    }
                });
            }
        })
        .container::<Vec<_>>()
}

/// Brings all state that is cut to one worker, and hands it over once it is whole.
fn collect_state<'scope>(
    state: StreamVec<'scope, u64, StateChunk>,
    mut keep: Option<Box<dyn KeepState>>,
    probe: &ProbeHandle<u64>,
) {
    let kept = state.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Exchange::new(|_: &StateChunk| STATE_KEEPER as u64),
        "State",
        move |_, _| {
            let mut open = BTreeMap::<u64, Vec<StateChunk>>::new();
            move |(input, frontier), _output| {
                input.for_each_stamp(|capability, batches| {
                    let Some(&epoch) = capability.least() else { return };
                    open.entry(epoch).or_default().extend(batches.flat_map(|batch| batch.drain(..)));
                });
                let Some(keep) = &mut keep else { return };
                while let Some(entry) = open.first_entry().filter(|entry| !frontier.less_equal(entry.key())) {
                    let (epoch, chunks) = entry.remove_entry();
                    let (unreadable, cut): (Vec<_>, Vec<_>) =
                        chunks.into_iter().partition(|chunk| chunk.unreadable() > 0);
                    unreadable.iter().for_each(|chunk| keep.unreadable(chunk.section(), chunk.unreadable()));
                    if !cut.is_empty() {
                        keep.cut(epoch, cut);
                    }
                }
            }
        },
    );
    kept.probe_with(probe);
}

/// Brings all changes to each process's view, and hands them over epoch by epoch once these are closed.
fn keep_view<'scope>(
    changes: Updates<'scope>,
    viewers: Vec<usize>,
    publish: Option<impl Publish>,
    probe: &ProbeHandle<u64>,
) {
    let fanned = changes.flat_map(move |update| {
        let copies: Vec<_> = viewers.iter().map(|&viewer| (viewer as u64, update.clone())).collect();
        copies
    });
    let mut publish = publish;
    let kept = fanned.unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Exchange::new(|(viewer, _): &(u64, _)| *viewer),
        "View",
        move |_, _| {
            let mut open = BTreeMap::<u64, Vec<(Change, isize)>>::new();
            let mut closed = 0;
            move |(input, frontier), _output| {
                input.for_each_stamp(|_, batches| {
                    for (_, (change, time, diff)) in batches.flat_map(|batch| batch.drain(..)) {
                        open.entry(time).or_default().push((change, diff));
                    }
                });
                let Some(publish) = &mut publish else { return };
                while let Some(entry) = open.first_entry().filter(|entry| !frontier.less_equal(entry.key())) {
                    let (epoch, mut changes) = entry.remove_entry();
                    consolidate(&mut changes);
                    closed = closed.max(epoch);
                    publish.publish(EpochChanges { epoch, changes });
                }
                // The frontier is the first epoch that is still open; an empty one closes all there were.
                let upto = frontier.frontier().first().map_or(closed, |open| open.saturating_sub(1));
                if upto > closed {
                    closed = upto;
                    publish.close(upto);
                }
            }
        },
    );
    kept.probe_with(probe);
}

fn consolidate(changes: &mut Vec<(Change, isize)>) {
    changes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    changes.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 += later.1;
        }
        same
    });
    changes.retain(|(_, diff)| *diff != 0);
}
