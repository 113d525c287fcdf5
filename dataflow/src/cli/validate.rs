//! `faultline validate`: the gates alone, record by record.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::PathBuf,
    sync::Arc,
};

use faultline_contracts::{
    evidence::GateResult,
    ids::EvidenceId,
    record::{GateHeaders, RawRecord, RecordCoordinates},
};
use faultline_operators::{
    decode::kcat,
    gates::{Carried, Judgement},
};

use super::{
    Exit, Failure,
    catalog::{loaded, registries},
    replay::configured,
};
use crate::{engine::wall_clock, intake::schemas::Schemas, registry::SchemaSource, sources::TopicRole};

/// Judges records one by one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The catalog's directory.
    #[arg(long)]
    catalog: PathBuf,
    /// Take lines as bare JSON payloads of this dataset, without an envelope.
    #[arg(long)]
    dataset: Option<String>,
    /// The configuration, for its limits and its registries of schemas; without it, defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// A file of kcat envelopes, or with --dataset of payloads. Without it, stdin.
    file: Option<PathBuf>,
}

/// The topic of payloads that come without an envelope.
const STDIN: &str = "stdin";

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let config = configured(args.config.as_ref(), Some(args.catalog.clone()), None)?;
    let registries = registries(&config)?;
    let catalog = loaded(&config.catalog, registries.as_ref())?;
    let dataset = match &args.dataset {
        Some(urn) => Some(Arc::clone(catalog.dataset(urn).ok_or_else(|| {
            let known: Vec<_> = catalog.datasets().iter().map(|dataset| dataset.urn.as_str()).collect();
            Failure::usage(format!("the catalog has no dataset {urn}; it has: {}", known.join(", ")))
        })?)),
        None => None,
    };
    let mut gates = config.gates(catalog);
    let mut schemas = Schemas::captured(registries.map(|registries| registries as Arc<dyn SchemaSource>));
    let mut input: Box<dyn BufRead> = match &args.file {
        Some(path) => {
            let file =
                File::open(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
            Box::new(BufReader::with_capacity(1 << 20, file))
        }
        None => Box::new(std::io::stdin().lock()),
    };
    let mut output = BufWriter::new(std::io::stdout().lock());
    let io = |error: std::io::Error| Failure { exit: Exit::Internal, message: format!("cannot go on: {error}") };

    let (mut line, mut json, mut number, mut failed, mut faulty, mut skipped) =
        (Vec::new(), Vec::new(), 0_i64, 0_u64, 0_u64, 0_u64);
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).map_err(io)? == 0 {
            break;
        }
        number += 1;
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        json.clear();
        let result = match &dataset {
            Some(dataset) => {
                let at = RecordCoordinates { topic: STDIN, partition: 0, offset: number };
                let headers = GateHeaders::default();
                let record = RawRecord { at, timestamp: None, headers, has_key: false, payload: Some(text) };
                write(&gates.judge_as(dataset, &record), &record, &mut json)
            }
            None => match kcat::decode(text) {
                Ok(envelope) => {
                    let record = envelope.as_raw();
                    if config.topics.role(record.at.topic) != TopicRole::Data {
                        skipped += 1;
                        continue;
                    }
                    let carried = gates.schema_id(&record).and_then(|id| schemas.of(id)).unwrap_or(Carried::Unasked);
                    write(&gates.judge_by(&record, carried), &record, &mut json)
                }
                Err(error) => {
                    faulty += 1;
                    eprintln!("line {number}: {error}");
                    continue;
                }
            },
        };
        failed += u64::from(result == GateResult::Fail);
        json.push(b'\n');
        match output.write_all(&json) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Exit::Fine),
            other => other.map_err(io)?,
        }
    }
    output.flush().map_err(io)?;
    if skipped > 0 {
        eprintln!(
            "{skipped} records of deployments, lineage, spans and Faultline's own topics left out: no contract is about them"
        );
    }
    Ok(if failed + faulty > 0 { Exit::Problems } else { Exit::Fine })
}

fn write(judgement: &Judgement<'_>, record: &RawRecord<'_>, json: &mut Vec<u8>) -> GateResult {
    let made = wall_clock();
    let id = EvidenceId::of(record.at, record.timestamp.unwrap_or_default());
    judgement.evidence(id, record.at, record.timestamp.unwrap_or(made), made).write_json(json);
    judgement.result
}
