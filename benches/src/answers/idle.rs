//! Questions to a service that has read the orders incident and rests: one at a time, at a fixed rate.
//!
//! All kinds of question come in turn, so that what else happens on the machine meets all alike. One of them, the
//! health check, is answered from a map beside the server: what it takes is what gRPC takes.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use faultline_proto::v1::{
    ExplainIncidentRequest, GetBlastRadiusRequest, GetDatasetRequest, GetStatusRequest, ListIncidentsRequest,
};
use faultline_tests::servers::KafkaServer;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    cadence::Cadence,
    connection::{Client, channel, client},
    error::{AnswersError, Result, call},
    surroundings::{CALM, Surroundings},
    table::{PERCENTILES, Table, millis, percentiles},
};
use crate::{orders::CATALOG, times::Times, wire::clients::runtime};

const TOPIC: &str = "raw.orders.events";
const PARTITIONS: u32 = 6;
const DATASET: &str = "urn:dp:orders:created";
/// What the orders incident was made from.
const CAUSE: &str = "deployment:orders-svc:v3.17";
/// One of the things that it reaches.
const REACHED: &str = "dashboard:exec_orders";
/// How long the service may take to read the input.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// An answer that is so late says that answers take longer than it is until the next question.
const BEHIND: Duration = Duration::from_secs(10);
/// Turns before any is measured.
const WARM_UP: u64 = 50;

/// How much is asked.
#[derive(Debug, Clone, clap::Args)]
pub struct Sizes {
    /// Questions a second, of all kinds together.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// How long, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[derive(Debug, Clone, Copy)]
enum Question {
    Health,
    Status,
    Dataset,
    Incidents,
    Explanation,
    BlastRadius,
}

const QUESTIONS: [(Question, &str); 6] = [
    (Question::Health, "`grpc.health.v1.Health/Check`: gRPC alone"),
    (Question::Status, "`GetStatus`"),
    (Question::Dataset, "`GetDataset`"),
    (Question::Incidents, "`ListIncidents`"),
    (Question::Explanation, "`ExplainIncident`"),
    (Question::BlastRadius, "`GetBlastRadius` of a dataset"),
];

/// Someone who asks, and knows the answers.
struct Asker {
    health: HealthClient<Channel>,
    client: Client,
    incident: String,
    reached: u32,
}

/// Measures it.
///
/// # Errors
/// The broker or the service fails, or an answer is wrong.
pub fn measure(surroundings: &Surroundings, sizes: &Sizes) -> Result<Table> {
    let kafka = surroundings.broker(&[TOPIC.to_owned()], PARTITIONS)?;
    publish_incident(&kafka)?;
    let service = surroundings.service(&kafka, Path::new(CATALOG))?;
    let (runtime, address) = (runtime()?, service.grpc());
    let mut asker = runtime.block_on(Asker::wait_for_incident(channel(address)))?;
    std::thread::sleep(CALM);

    let mut times = QUESTIONS.map(|_| Times::default());
    let mut cadence = Cadence::new(sizes.rate);
    let turns = sizes.rate * sizes.seconds / QUESTIONS.len() as u64;
    for turn in 0..WARM_UP + turns {
        for ((question, name), times) in QUESTIONS.iter().zip(&mut times) {
            let due = cadence.wait();
            runtime.block_on(asker.ask(*question))?;
            let took = due.elapsed();
            if took > BEHIND {
                let what = format!("{name} came {took:?} after it was due: ask for less than {} a second", sizes.rate);
                return Err(AnswersError::Silence(what));
            }
            if turn >= WARM_UP {
                times.record(took);
            }
        }
    }
    service.stop()?;
    Ok(table(surroundings, sizes, &times))
}

fn table(surroundings: &Surroundings, sizes: &Sizes, times: &[Times]) -> Table {
    let Sizes { rate, seconds } = sizes;
    let title = format!(
        "Answers of an idle service: {rate} questions a second in turn for {seconds} s, one at a time, --workers {}",
        surroundings.workers
    );
    let columns = ["question"].into_iter().chain(PERCENTILES).chain(["p50 without gRPC", "p99 without gRPC"]);
    let mut table = Table::new(title, columns);
    for ((_, name), of_question) in QUESTIONS.iter().zip(times) {
        let beyond = |share| match times.first() {
            Some(grpc) => millis(of_question.quantile(share).saturating_sub(grpc.quantile(share))),
            None => String::new(),
        };
        let row = [(*name).to_owned()].into_iter().chain(percentiles(of_question));
        table.row(row.chain([beyond(0.5), beyond(0.99)]));
    }
    table.remark(
        "without gRPC: the percentile less the same percentile of the health check; not below 0. \
         From when a question was due to its answer, decoded.",
    );
    table
}

fn publish_incident(kafka: &KafkaServer) -> Result<()> {
    for capture in ["input.jsonl", "spans.jsonl"] {
        kafka.publish_file(&Path::new(CATALOG).join(capture))?;
    }
    Ok(())
}

impl Asker {
    /// Waits until the incident is there and explained.
    async fn wait_for_incident(channel: impl Future<Output = Result<Channel>>) -> Result<Self> {
        let channel = channel.await?;
        let mut asker = Self {
            health: HealthClient::new(channel.clone()),
            client: client(channel),
            incident: String::new(),
            reached: 0,
        };
        let begin = Instant::now();
        while !asker.is_explained().await? {
            if begin.elapsed() > READ_WITHIN {
                return Err(AnswersError::Silence("the incident is not explained".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // Lineage may come after orders.
        tokio::time::sleep(CALM).await;
        let request = GetBlastRadiusRequest { root: DATASET.to_owned(), ..Default::default() };
        let found = asker.client.get_blast_radius(request).await.map_err(call("GetBlastRadius"))?.into_inner();
        if !found.nodes.iter().any(|node| node.id == REACHED) {
            return Err(AnswersError::Wrong(format!("{DATASET} does not reach {REACHED}: {found:?}")));
        }
        asker.reached = found.total_size;
        Ok(asker)
    }

    async fn is_explained(&mut self) -> Result<bool> {
        let request = ListIncidentsRequest::default();
        let listed = self.client.list_incidents(request).await.map_err(call("ListIncidents"))?.into_inner();
        let Some(incident) = listed.incidents.first() else { return Ok(false) };
        self.incident.clone_from(&incident.id);
        let request = ExplainIncidentRequest { incident_id: incident.id.clone(), ..Default::default() };
        let explained = self.client.explain_incident(request).await.map_err(call("ExplainIncident"))?.into_inner();
        Ok(explained.hypotheses.first().is_some_and(|cause| cause.subject == CAUSE))
    }

    /// Asks once, and checks the answer.
    async fn ask(&mut self, question: Question) -> Result<()> {
        let right = match question {
            Question::Health => {
                let request = HealthCheckRequest { service: "faultline.v1.Faultline".to_owned() };
                let answer = self.health.check(request).await.map_err(call("Check"))?.into_inner();
                answer.status() == ServingStatus::Serving
            }
            Question::Status => {
                let answer = self.client.get_status(GetStatusRequest::default()).await.map_err(call("GetStatus"))?;
                let answer = answer.into_inner();
                answer.catalog.is_some_and(|catalog| catalog.datasets == 1) && !answer.partitions.is_empty()
            }
            Question::Dataset => {
                let request = GetDatasetRequest { urn: DATASET.to_owned(), ..Default::default() };
                let answer = self.client.get_dataset(request).await.map_err(call("GetDataset"))?.into_inner();
                answer.dataset.is_some_and(|dataset| dataset.urn == DATASET && !dataset.signals.is_empty())
            }
            Question::Incidents => {
                let request = ListIncidentsRequest::default();
                let answer = self.client.list_incidents(request).await.map_err(call("ListIncidents"))?.into_inner();
                answer.total_size == 1 && answer.incidents.first().is_some_and(|found| found.id == self.incident)
            }
            Question::Explanation => {
                let request = ExplainIncidentRequest { incident_id: self.incident.clone(), ..Default::default() };
                let answer = self.client.explain_incident(request).await.map_err(call("ExplainIncident"))?;
                answer.into_inner().hypotheses.first().is_some_and(|cause| cause.subject == CAUSE)
            }
            Question::BlastRadius => {
                let request = GetBlastRadiusRequest { root: DATASET.to_owned(), ..Default::default() };
                let answer = self.client.get_blast_radius(request).await.map_err(call("GetBlastRadius"))?;
                answer.into_inner().total_size == self.reached
            }
        };
        if right { Ok(()) } else { Err(AnswersError::Wrong(format!("{question:?} is not what it was"))) }
    }
}
