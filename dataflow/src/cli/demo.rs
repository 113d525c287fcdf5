//! `faultline demo`: the bundled orders incident, from records to root cause.

use std::{sync::Arc, time::Duration};

use faultline_contracts::{
    catalog::{Catalog, CatalogFiles},
    evidence::Gate,
    ids::EvidenceId,
    incident::{Incident, IncidentStatus},
    window::ComplianceWindow,
};
use faultline_operators::decode::kcat;

use super::{Exit, Failure};
use crate::{
    catalog::CatalogInForce,
    client::report,
    config::{self, Config},
    engine::{Engine, EngineParts, Feed},
    metrics::Metrics,
    outputs::evidence::NoEvidence,
    recorder::{Record, Recorder, at_epoch, explanation},
    replay::ReplayJob,
    serve::{self, Limits, Parts},
    service::stop_on_signal,
    sources::replay::{Capture, ReplayIndex},
    topology::CatalogRows,
    view::{SharedView, View},
};

/// Replays the bundled orders incident.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Go on serving the answers over gRPC until interrupted.
    #[arg(long)]
    keep_serving: bool,
    /// Where to serve with --keep-serving.
    #[arg(long, default_value = "127.0.0.1:50061")]
    listen: std::net::SocketAddr,
}

const INPUT: &[u8] = include_bytes!("../../../contracts/examples/orders/input.jsonl");

fn catalog() -> Arc<Catalog> {
    let files = CatalogFiles::of(
        "contracts/examples/orders",
        [
            ("catalog.yaml", include_str!("../../../contracts/examples/orders/catalog.yaml")),
            ("orders.created.odcs.yaml", include_str!("../../../contracts/examples/orders/orders.created.odcs.yaml")),
            (
                "schemas/orders.created/17.json",
                include_str!("../../../contracts/examples/orders/schemas/orders.created/17.json"),
            ),
        ],
    );
    Arc::new(Catalog::from_files(&files).catalog)
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = Arc::new(Config { workers: args.workers.max(1), ..Config::default() });
    let catalog = catalog();
    let job = ReplayJob {
        config: Arc::clone(&config),
        catalog: Arc::clone(&catalog),
        schemas: None,
        captures: vec![Capture::Memory("contracts/examples/orders/input.jsonl", INPUT)],
        batch: 4_096,
        out: None,
    };
    let replayed = crate::replay::run(job, |_| {})?;
    let told = replayed.recorder.with(|record, view| tell(record, view, &catalog, &config));
    told.ok_or_else(|| Failure {
        exit: Exit::Internal,
        message: "the bundled incident was not found; this is a defect".to_owned(),
    })?;
    if args.keep_serving {
        serve(args, &config, &replayed.index, catalog)?;
    }
    Ok(Exit::Fine)
}

/// Replays once more, stays at the end, and serves what is there until interrupted.
fn serve(args: &Args, config: &Arc<Config>, index: &Arc<ReplayIndex>, catalog: Arc<Catalog>) -> Result<(), Failure> {
    let internal = |error: &dyn std::error::Error| Failure::new(Exit::Internal, error);
    let (metrics, view) = (Metrics::new(), SharedView::new(64));
    let in_force = CatalogInForce::fixed(Arc::clone(&catalog));
    let engine = Engine::start(EngineParts {
        snapshots: None,
        cluster: None,
        config: Arc::clone(config),
        rows: CatalogRows::of(&catalog),
        catalog: Arc::clone(&in_force),
        feed: Feed::Replay { index: Arc::clone(index), batch: 4_096, hold: true },
        schemas: None,
        metrics: Arc::clone(&metrics),
        publish: Recorder::new(Arc::clone(&view), config.bounds()),
        evidence: |_| Ok(NoEvidence),
    })
    .map_err(|error| internal(&error))?;
    let parts = Parts {
        view: Arc::clone(&view),
        standing: Arc::new(engine.standing()),
        metrics,
        catalog: in_force,
        workers: config.workers,
        bounds: config.bounds(),
        limits: Limits::default(),
    };
    let listeners = config::Serve { grpc: args.listen, ..config.serve };
    let server = serve::start(listeners, parts).map_err(|error| Failure::new(Exit::Usage, &error))?;
    let mut closed = view.closed();
    while *closed.borrow_and_update() < index.last_epoch() {
        std::thread::sleep(Duration::from_millis(20));
    }
    heading("Serving");
    println!("gRPC at {}, metrics at http://{}/metrics; stop with Ctrl-C", server.grpc, server.metrics);
    println!("try: grpcurl -plaintext {0} list, or: faultline get incidents --server http://{0}", server.grpc);
    stop_on_signal(engine.stopper()).map_err(|error| internal(&error))?;
    engine.join().map_err(|error| internal(&error))?;
    server.stop();
    Ok(())
}

fn heading(text: &str) {
    println!("\n── {text} {}", "─".repeat(86_usize.saturating_sub(text.chars().count())));
}

/// Tells the story of the most severe open incident. `None` where there is none.
fn tell(record: &Record, view: &View, catalog: &Arc<Catalog>, config: &Config) -> Option<()> {
    let (epoch, incident) = record
        .incidents
        .values()
        .filter(|(_, incident)| incident.status == IncidentStatus::Open)
        .min_by_key(|(_, i)| (i.severity, i.id))?;
    let first = *incident.evidence_ids.first()?;

    heading("1. Records: a capture of Kafka topics, judged from the side");
    println!("{} records of {} partitions", view_records(record), view.offsets.len());

    heading("2. Gates: the first failing record");
    let line = INPUT.split(|byte| *byte == b'\n').find(|line| is(line, first))?;
    let envelope = kcat::decode(line).ok()?;
    let raw = envelope.as_raw();
    let mut gates = config.gates(Arc::clone(catalog));
    let judgement = gates.judge(&raw);
    let dataset = judgement.dataset?;
    println!("G1 RESOLUTION  topic {} → {}", raw.at.topic, dataset.urn);
    let by = if raw.headers.producer_service.is_some() { "header" } else { "no header; topic mapping" };
    println!("G2 IDENTITY    {by} → {} (confidence {})", judgement.producer.id, judgement.producer.confidence.as_str());
    let verdict = |gate| if judgement.failed_gates.contains(gate) { "FAIL" } else { "PASS" };
    println!("G3 SCHEMA      {} → {}", dataset.schema.as_deref().unwrap_or("none"), verdict(Gate::Schema));
    let reasons: Vec<_> = judgement.reason_codes.iter().map(|code| code.as_str()).collect();
    println!(
        "G4 CONTRACT    {} → {} {}",
        dataset.contract.as_deref().unwrap_or("none"),
        verdict(Gate::Contract),
        reasons.join(", ")
    );

    heading("3. Evidence");
    let time = raw.timestamp?;
    let mut json = Vec::new();
    judgement.evidence(first, raw.at, time, time).write_json(&mut json);
    println!("{}", String::from_utf8_lossy(&json));

    heading("4. Compliance windows");
    for window in record.windows.values().filter(|window| window.key.dataset == incident.dataset_urn) {
        println!("{}", window_line(window));
    }

    heading("5. Signal");
    let (signal_epoch, signal) =
        record.signals.iter().rev().find(|(_, signal)| signal.dataset == incident.dataset_urn)?;
    println!("{}", at_epoch(signal, *signal_epoch));

    heading("6. Incident");
    println!("{}", incident_line(incident, *epoch));

    heading("7. Graph: causal and context edges");
    for edge in view.edges.values() {
        println!("({}) -[{}]-> ({})", edge.from, edge.label.as_str(), edge.to);
    }

    heading("8. Root cause");
    println!("{}", report::render(&explanation(view, config.bounds(), incident.id)?));
    Some(())
}

fn is(line: &[u8], id: EvidenceId) -> bool {
    kcat::locate(line).is_ok_and(|head| {
        let at = faultline_contracts::record::RecordCoordinates {
            topic: &head.topic,
            partition: head.partition,
            offset: head.offset,
        };
        EvidenceId::of(at, head.ts.unwrap_or_default()) == id
    })
}

fn view_records(record: &Record) -> u64 {
    record.windows.values().map(|window| window.tally.verdicts.judged() + window.tally.verdicts.warn).sum()
}

fn window_line(window: &ComplianceWindow) -> String {
    let verdicts = window.tally.verdicts;
    let total = verdicts.judged();
    let share = if total == 0 { 0.0 } else { 100.0 * verdicts.pass as f64 / total as f64 };
    format!(
        "{}  {}–{}  {total} records: {} pass ({share:.1} %), {} fail, {} warn  {:?}",
        window.key.dataset, window.key.start, window.end, verdicts.pass, verdicts.fail, verdicts.warn, window.status
    )
}

fn incident_line(incident: &Incident, epoch: u64) -> String {
    let mut shown = at_epoch(incident, epoch);
    // A hundred ids are for programs.
    shown["evidence_ids"] =
        serde_json::json!([incident.evidence_ids.first(), format!("… {} in all", incident.evidence_count)]);
    shown.to_string()
}
