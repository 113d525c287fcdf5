//! Each command: its arguments, its question and how the answer is shown.

use std::io::Write;

use clap::{Args, Subcommand};
use faultline_proto::v1;

use super::{Client, ClientError, Command, Connection, report, table};

/// `get`
#[derive(Debug, Args)]
pub struct Get {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    connection: Connection,
}

/// How much of a list.
#[derive(Debug, Clone, Args)]
struct Pages {
    /// Rows to a page; 0 is the server's default.
    #[arg(long, default_value_t = 0)]
    page_size: i32,
    /// Follow pages to the end.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Incidents, the latest first.
    Incidents {
        /// Of this dataset.
        #[arg(long = "dataset", value_name = "URN")]
        datasets: Vec<String>,
        /// In this state: OPEN, ACKNOWLEDGED, MITIGATED, RESOLVED.
        #[arg(long = "status", value_parser = incident_status)]
        statuses: Vec<i32>,
        /// Of this severity: SEV-1 … SEV-4.
        #[arg(long = "severity")]
        severities: Vec<String>,
        #[command(flatten)]
        pages: Pages,
    },
    /// One incident.
    Incident {
        /// `INC-…`
        id: String,
    },
    /// Signals.
    Signals {
        /// Of this dataset.
        #[arg(long = "dataset", value_name = "URN")]
        datasets: Vec<String>,
        /// In this state: OK, WARNING, CRITICAL, UNKNOWN.
        #[arg(long = "state", value_parser = signal_state)]
        states: Vec<i32>,
        #[command(flatten)]
        pages: Pages,
    },
    /// Compliance windows.
    Windows {
        /// Of this dataset.
        #[arg(long = "dataset", value_name = "URN")]
        datasets: Vec<String>,
        #[command(flatten)]
        pages: Pages,
    },
    /// Samples of failing records.
    Evidence {
        /// Of this incident.
        #[arg(long, default_value = "", value_name = "INC", hide_default_value = true)]
        incident: String,
        /// Of this dataset.
        #[arg(long = "dataset", value_name = "URN")]
        datasets: Vec<String>,
        /// Of this failure signature.
        #[arg(long, default_value = "", hide_default_value = true)]
        signature: String,
        #[command(flatten)]
        pages: Pages,
    },
    /// Datasets of the catalog.
    Datasets {
        /// Of this domain.
        #[arg(long = "domain")]
        domains: Vec<String>,
        #[command(flatten)]
        pages: Pages,
    },
    /// One dataset.
    Dataset {
        /// Its URN.
        urn: String,
    },
    /// How the service is doing.
    Status,
}

/// `explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// `INC-…`
    incident: String,
    /// At most this many causes; 0 is all.
    #[arg(long, default_value_t = 0)]
    top_k: u32,
    #[command(flatten)]
    connection: Connection,
}

/// What to ask of lineage.
#[derive(Debug, Clone, Args)]
struct Reach {
    /// Where to start: a dataset's URN, `job:<namespace>/<name>`, a table or an asset.
    root: String,
    /// Show what it is made from instead.
    #[arg(long)]
    upstream: bool,
    /// At most this many hops away; 0 is the server's limit.
    #[arg(long, default_value_t = 0)]
    max_hops: u32,
    /// Of this tier or a more critical one; 0 is any.
    #[arg(long, default_value_t = 0)]
    min_tier: u32,
    /// Of this kind: DATASET, JOB, TABLE, DASHBOARD, REPORT, MODEL, SERVICE.
    #[arg(long = "kind", value_parser = node_kind)]
    kinds: Vec<i32>,
}

impl Reach {
    fn direction(&self) -> i32 {
        let direction =
            if self.upstream { v1::blast_radius::Direction::Upstream } else { v1::blast_radius::Direction::Downstream };
        direction.into()
    }
}

/// `blast-radius`
#[derive(Debug, Args)]
pub struct BlastRadiusArgs {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pages: Pages,
    #[command(flatten)]
    connection: Connection,
}

/// `watch`
#[derive(Debug, Args)]
pub struct Watch {
    #[command(subcommand)]
    what: Watched,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Watched {
    /// Incidents.
    Incidents {
        /// Of this dataset.
        #[arg(long = "dataset", value_name = "URN")]
        datasets: Vec<String>,
    },
    /// An explanation.
    Explanation {
        /// `INC-…`
        incident: String,
    },
    /// A blast radius.
    BlastRadius(Reach),
    /// Compliance windows.
    Compliance {
        /// Of this dataset.
        #[arg(long = "dataset", value_name = "URN")]
        datasets: Vec<String>,
    },
}

fn incident_status(text: &str) -> Result<i32, String> {
    let status = v1::incident::Status::from_str_name(&text.to_uppercase());
    status.map(Into::into).ok_or_else(|| "one of OPEN, ACKNOWLEDGED, MITIGATED, RESOLVED".to_owned())
}

fn signal_state(text: &str) -> Result<i32, String> {
    let state = v1::signal::State::from_str_name(&text.to_uppercase());
    state.map(Into::into).ok_or_else(|| "one of OK, WARNING, CRITICAL, UNKNOWN".to_owned())
}

fn node_kind(text: &str) -> Result<i32, String> {
    let kind = v1::node::Kind::from_str_name(&text.to_uppercase());
    kind.map(Into::into).ok_or_else(|| "one of DATASET, JOB, TABLE, DASHBOARD, REPORT, MODEL, SERVICE".to_owned())
}

/// Asks once.
macro_rules! ask {
    ($client:expr, $method:ident, $message:expr) => {{
        let request = $client.request($message);
        match $client.stub.$method(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Err($client.refused(&status)),
        }
    }};
}

/// Asks for a page, or for all of them as one.
macro_rules! ask_pages {
    ($client:expr, $method:ident, $pages:expr, $rows:ident, $message:expr) => {{
        let mut message = $message;
        message.page_size = $pages.page_size;
        let mut answer = ask!($client, $method, message.clone());
        while $pages.all && !answer.next_page_token.is_empty() {
            message.page_token = std::mem::take(&mut answer.next_page_token);
            let next = ask!($client, $method, message.clone());
            answer.$rows.extend(next.$rows);
            answer.next_page_token = next.next_page_token;
        }
        answer
    }};
}

/// Shows each message of a stream until it ends.
macro_rules! follow {
    ($client:expr, $method:ident, $out:expr, $message:expr, $text:expr) => {{
        // A stream has no deadline: it is followed until one side ends it.
        let mut messages = match $client.stub.$method($message).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Err($client.refused(&status)),
        };
        loop {
            match messages.message().await {
                Ok(Some(message)) => $client.show($out, &message, $text)?,
                Ok(None) => return Ok(()),
                Err(status) => return Err($client.refused(&status)),
            }
        }
    }};
}

pub(super) async fn run(command: Command, out: &mut dyn Write) -> Result<(), ClientError> {
    match command {
        Command::Get(Get { what, connection }) => get(Client::connect(&connection).await?, what, out).await,
        Command::Explain(Explain { incident, top_k, connection }) => {
            let mut client = Client::connect(&connection).await?;
            let question = v1::ExplainIncidentRequest { incident_id: incident, top_k, min_as_of: None };
            let answer = ask!(client, explain_incident, question);
            client.show(out, &answer, report::render)
        }
        Command::BlastRadius(BlastRadiusArgs { reach, pages, connection }) => {
            let mut client = Client::connect(&connection).await?;
            let direction = reach.direction();
            let Reach { root, upstream: _, max_hops, min_tier, kinds } = reach;
            let question =
                v1::GetBlastRadiusRequest { root, direction, max_hops, min_tier, kinds, ..Default::default() };
            let answer = ask_pages!(client, get_blast_radius, pages, nodes, question);
            client.show(out, &answer, |answer| {
                let nodes = table::nodes(answer.root.iter().chain(&answer.nodes));
                let text = table::paged(nodes, answer.nodes.len(), answer.total_size, &answer.next_page_token);
                if answer.truncated {
                    format!("{text}\nThe search ended at a limit of the server; there is more.")
                } else {
                    text
                }
            })
        }
        Command::Watch(Watch { what, connection }) => watch(Client::connect(&connection).await?, what, out).await,
    }
}

async fn get(mut client: Client, what: What, out: &mut dyn Write) -> Result<(), ClientError> {
    match what {
        What::Incidents { datasets, statuses, severities, pages } => {
            let question =
                v1::ListIncidentsRequest { dataset_urns: datasets, statuses, severities, ..Default::default() };
            let answer = ask_pages!(client, list_incidents, pages, incidents, question);
            client.show(out, &answer, |answer| {
                let rows = &answer.incidents;
                table::paged(table::incidents(rows), rows.len(), answer.total_size, &answer.next_page_token)
            })
        }
        What::Incident { id } => {
            let answer = ask!(client, get_incident, v1::GetIncidentRequest { id, min_as_of: None });
            client.show(out, &answer, |answer| table::incidents(answer.incident.as_slice()))
        }
        What::Signals { datasets, states, pages } => {
            let question = v1::ListSignalsRequest { dataset_urns: datasets, states, ..Default::default() };
            let answer = ask_pages!(client, list_signals, pages, signals, question);
            client.show(out, &answer, |answer| {
                let rows = &answer.signals;
                table::paged(table::signals(rows), rows.len(), answer.total_size, &answer.next_page_token)
            })
        }
        What::Windows { datasets, pages } => {
            let question = v1::ListComplianceWindowsRequest { dataset_urns: datasets, ..Default::default() };
            let answer = ask_pages!(client, list_compliance_windows, pages, windows, question);
            client.show(out, &answer, |answer| {
                let rows = &answer.windows;
                table::paged(table::windows(rows), rows.len(), answer.total_size, &answer.next_page_token)
            })
        }
        What::Evidence { incident, datasets, signature, pages } => {
            let question = v1::ListEvidenceRequest {
                incident_id: incident,
                dataset_urns: datasets,
                failure_signature: signature,
                ..Default::default()
            };
            let answer = ask_pages!(client, list_evidence, pages, evidence, question);
            client.show(out, &answer, |answer| {
                let rows = &answer.evidence;
                table::paged(table::evidence(rows), rows.len(), answer.total_size, &answer.next_page_token)
            })
        }
        What::Datasets { domains, pages } => {
            let question = v1::ListDatasetsRequest { domains, ..Default::default() };
            let answer = ask_pages!(client, list_datasets, pages, datasets, question);
            client.show(out, &answer, |answer| {
                let rows = &answer.datasets;
                table::paged(table::datasets(rows), rows.len(), answer.total_size, &answer.next_page_token)
            })
        }
        What::Dataset { urn } => {
            let answer = ask!(client, get_dataset, v1::GetDatasetRequest { urn, min_as_of: None });
            client.show(out, &answer, |answer| table::datasets(answer.dataset.as_slice()))
        }
        What::Status => {
            let answer = ask!(client, get_status, v1::GetStatusRequest { min_as_of: None });
            client.show(out, &answer, table::status)
        }
    }
}

/// What a message of a stream says before its rows.
fn heading(full: bool, as_of: Option<&v1::AsOf>, removals: &[String]) -> String {
    let epoch = as_of.map_or(0, |as_of| as_of.epoch);
    let mut text = format!("-- {} at epoch {epoch}", if full { "all" } else { "changes" });
    for removal in removals {
        text.push_str(&format!("\ngone: {}", report::plain(removal)));
    }
    text
}

async fn watch(mut client: Client, what: Watched, out: &mut dyn Write) -> Result<(), ClientError> {
    match what {
        Watched::Incidents { datasets } => {
            let question = v1::WatchIncidentsRequest { dataset_urns: datasets, ..Default::default() };
            follow!(client, watch_incidents, out, question, |message| {
                let heading = heading(message.full, message.as_of.as_ref(), &message.removals);
                format!("{heading}\n{}", table::incidents(&message.upserts))
            })
        }
        Watched::Explanation { incident } => {
            let question = v1::WatchExplanationRequest { incident_id: incident, top_k: 0, min_as_of: None };
            follow!(client, watch_explanation, out, question, |message| {
                let removal = Some(message.removal.clone()).filter(|removal| !removal.is_empty());
                let heading = heading(message.full, message.as_of.as_ref(), removal.as_slice());
                format!("{heading}\n{}", message.upsert.as_ref().map_or_else(String::new, report::render))
            })
        }
        Watched::BlastRadius(reach) => {
            let direction = reach.direction();
            let Reach { root, upstream: _, max_hops, min_tier, kinds } = reach;
            let question = v1::WatchBlastRadiusRequest { root, direction, max_hops, min_tier, kinds, min_as_of: None };
            follow!(client, watch_blast_radius, out, question, |message| {
                let heading = heading(message.full, message.as_of.as_ref(), &message.removals);
                format!("{heading}\n{}", table::nodes(&message.upserts))
            })
        }
        Watched::Compliance { datasets } => {
            let question = v1::WatchComplianceRequest { dataset_urns: datasets, min_as_of: None };
            follow!(client, watch_compliance, out, question, |message| {
                let retired = message.removals.iter();
                let retired: Vec<_> = retired
                    .map(|key| format!("{} {}", key.dataset_urn, report::time(key.window_start.as_ref())))
                    .collect();
                let heading = heading(message.full, message.as_of.as_ref(), &retired);
                format!("{heading}\n{}", table::windows(&message.upserts))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn commands_are_well_formed_and_names_of_values_are_checked() {
        Program::command().debug_assert();
        let parse = |line: &str| Program::try_parse_from(line.split(' '));
        let parsed = parse("faultline blast-radius urn:dp:orders:created --upstream --kind dashboard -o json").unwrap();
        let Command::BlastRadius(args) = parsed.command else { panic!("{parsed:?}") };
        assert_eq!(args.reach.kinds, [i32::from(v1::node::Kind::Dashboard)]);
        assert_eq!(args.reach.direction(), i32::from(v1::blast_radius::Direction::Upstream));
        assert!(parse("faultline get incidents --status open --all --server 127.0.0.1:1").is_ok());
        assert!(parse("faultline get incidents --status broken").is_err());
    }

    #[test]
    fn a_service_that_is_not_there_is_named() {
        let parsed =
            Program::try_parse_from("faultline get status --server 127.0.0.1:1 --timeout 1".split(' ')).unwrap();
        let error = super::super::run(parsed.command, &mut Vec::new()).unwrap_err();
        assert!(error.exit_code() == 3 && error.to_string().contains("http://127.0.0.1:1"), "{error}");
    }
}
