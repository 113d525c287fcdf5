//! From the record that tips a window to the cause, told to someone who watches.
//!
//! Each dataset has a deployment behind it and one failing record less than it takes. The last one is sent at its time,
//! one dataset after the other. A watcher hears of the incident on the stream of incidents, then follows its
//! explanation, because that is asked for by the incident's id.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use faultline_proto::v1::{
    WatchExplanationRequest, WatchIncidentsRequest,
    hypothesis::{Confidence, Kind},
};
use tokio::{sync::mpsc, time::timeout};

use super::{
    cadence::Cadence,
    connection::{Client, channel, client},
    deployment_events,
    error::{AnswersError, Result, call},
    generated,
    records::{Records, window},
    surroundings::{CALM, Surroundings},
    table::{PERCENTILES, Table, percentiles},
    windows,
};
use crate::{times::Times, wire::clients::runtime};

/// Failing records without which a window is not called in breach before its end: the default of `signals.min_volume`.
pub const TIPPING: u64 = 50;
/// How long before its first failure a service was deployed, in milliseconds.
pub const DEPLOYED_BEFORE_MS: i64 = 60_000;
/// How long an answer may take.
const SILENCE: Duration = Duration::from_secs(30);

/// How much there is.
#[derive(Debug, Clone, clap::Args)]
pub struct Sizes {
    /// Datasets, each tipped once.
    #[arg(long, default_value_t = 100)]
    datasets: usize,
    /// How many are tipped a second.
    #[arg(long, default_value_t = 4)]
    rate: u64,
    /// The generator's `linger.ms`.
    #[arg(long, default_value_t = 0)]
    linger_ms: u64,
}

/// When a watcher heard of a dataset.
struct Heard {
    dataset: usize,
    /// Of its incident.
    incident: Instant,
    /// Of the incident's cause.
    cause: Instant,
}

/// Measures it.
///
/// # Errors
/// The broker or the service fails, or an answer is wrong or does not come.
pub fn measure(surroundings: &Surroundings, sizes: &Sizes) -> Result<Table> {
    let &Sizes { datasets, rate, linger_ms } = sizes;
    let topics: Vec<_> = (0..datasets).map(generated::topic).collect();
    let (kafka, catalog) = (surroundings.broker(&topics, 1)?, generated::catalog(datasets)?);
    let window = window();
    deployment_events::publish(&kafka, 0..datasets, window.plus(-DEPLOYED_BEFORE_MS))?;
    let service = surroundings.service(&kafka, catalog.path())?;
    let mut records = Records::connect(kafka.bootstrap(), linger_ms, window)?;
    prime(&mut records, datasets)?;
    windows::wait_for(service.grpc(), [0, datasets as u64 * (TIPPING - 1)])?;
    std::thread::sleep(CALM);

    let (due, heard) = tip(service.grpc(), &mut records, (datasets, rate))?;
    service.stop()?;
    let mut times = [(); 3].map(|()| Times::default());
    for Heard { dataset, incident, cause } in heard {
        let due =
            due.get(&dataset).ok_or_else(|| AnswersError::Wrong(format!("an incident of {dataset}, untipped")))?;
        let since = |from: Instant, to: Instant| to.saturating_duration_since(from);
        let [to_incident, to_cause, between] = &mut times;
        to_incident.record(since(*due, incident));
        to_cause.record(since(*due, cause));
        between.record(since(incident, cause));
    }
    Ok(table(surroundings, sizes, &times))
}

fn table(surroundings: &Surroundings, sizes: &Sizes, times: &[Times; 3]) -> Table {
    let Sizes { datasets, rate, linger_ms } = sizes;
    let title = format!(
        "From the record that tips a window to its cause: {datasets} datasets, {rate} a second, linger.ms {linger_ms}, \
         --workers {}",
        surroundings.workers
    );
    let mut table = Table::new(title, ["way"].into_iter().chain(PERCENTILES));
    let ways = [
        "record due → incident on `WatchIncidents`",
        "record due → first update of `WatchExplanation` that names the deployment",
        "incident there → that update (the stream is opened in between)",
    ];
    for (way, times) in ways.iter().zip(times) {
        table.row([(*way).to_owned()].into_iter().chain(percentiles(times)));
    }
    table
}

/// All but the last of the failing records that it takes.
fn prime(records: &mut Records, datasets: usize) -> Result<()> {
    for _ in 1..TIPPING {
        for dataset in 0..datasets {
            records.send(dataset, true)?;
        }
    }
    records.flush()
}

/// Sends the last record of each dataset, and says when each was due and what was heard.
fn tip(
    address: SocketAddr,
    records: &mut Records,
    (datasets, rate): (usize, u64),
) -> Result<(BTreeMap<usize, Instant>, Vec<Heard>)> {
    let (subscribed, until_subscribed) = std::sync::mpsc::channel();
    std::thread::scope(|threads| {
        let listening = threads.spawn(move || runtime()?.block_on(listen(address, datasets, subscribed)));
        let mut due = BTreeMap::new();
        if until_subscribed.recv().is_ok() {
            let mut cadence = Cadence::new(rate);
            for dataset in 0..datasets {
                due.insert(dataset, cadence.wait());
                records.send(dataset, true)?;
                // With a linger of 0 it is gone at once; this hears what became of it.
                records.flush()?;
            }
        }
        let stopped = || AnswersError::Silence("the watcher panicked".to_owned());
        Ok((due, listening.join().map_err(|_| stopped())??))
    })
}

/// Hears of all datasets' incidents and causes. Says so once it is subscribed.
async fn listen(address: SocketAddr, datasets: usize, subscribed: std::sync::mpsc::Sender<()>) -> Result<Vec<Heard>> {
    let mut client = client(channel(address).await?);
    let watched = client.watch_incidents(WatchIncidentsRequest::default()).await.map_err(call("WatchIncidents"))?;
    let mut incidents = watched.into_inner();
    let first = incidents.message().await.map_err(call("WatchIncidents"))?;
    if !first.is_some_and(|first| first.full && first.upserts.is_empty()) {
        return Err(AnswersError::Wrong("there is an incident before any window was tipped".to_owned()));
    }
    // Who waits for it has ended where this fails.
    let _ = subscribed.send(());
    let (told, mut heard) = mpsc::unbounded_channel();
    let (mut known, mut all) = (BTreeMap::new(), Vec::new());
    while all.len() < datasets {
        let step = async {
            tokio::select! {
                message = incidents.message() => message.map(Err).map_err(call("WatchIncidents")),
                cause = heard.recv() => Ok(Ok(cause)),
            }
        };
        let silence = |_| AnswersError::Silence(format!("{} of {datasets} causes came", all.len()));
        match timeout(SILENCE, step).await.map_err(silence)?? {
            Ok(cause) => all.extend(cause.transpose()?),
            Err(message) => {
                let now = Instant::now();
                for incident in message.map_or_else(Vec::new, |message| message.upserts) {
                    let dataset = generated::dataset(&incident.dataset_urn);
                    let dataset = dataset.ok_or_else(|| AnswersError::Wrong(format!("{incident:?}")))?;
                    if known.insert(dataset, incident.id.clone()).is_none() {
                        let (client, told) = (client.clone(), told.clone());
                        tokio::spawn(async move {
                            // A listener that has ended needs no word.
                            let _ = told.send(follow(client, dataset, incident.id, now).await);
                        });
                    }
                }
            }
        }
    }
    Ok(all)
}

/// Follows an incident's explanation until it names the deployment.
async fn follow(mut client: Client, dataset: usize, incident_id: String, incident: Instant) -> Result<Heard> {
    let request = WatchExplanationRequest { incident_id, ..Default::default() };
    let watched = client.watch_explanation(request).await.map_err(call("WatchExplanation"))?;
    let mut updates = watched.into_inner();
    while let Some(update) = updates.message().await.map_err(call("WatchExplanation"))? {
        let cause = Instant::now();
        let hypotheses = update.upsert.map_or_else(Vec::new, |explanation| explanation.hypotheses);
        let Some(first) = hypotheses.first() else { continue };
        let named = (first.kind(), first.confidence(), first.subject.as_str());
        if named != (Kind::Deployment, Confidence::High, &*deployment_events::cause(dataset)) {
            return Err(AnswersError::Wrong(format!("the cause of {dataset} is {named:?}")));
        }
        return Ok(Heard { dataset, incident, cause });
    }
    Err(AnswersError::Silence(format!("the explanation of {dataset} ended without a cause")))
}
