//! Which incidents there are.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use faultline_proto::v1::ListIncidentsRequest;

use crate::{
    answers::{
        connection::{Client, channel, client},
        error::{AnswersError, Result, call},
        generated,
    },
    wire::clients::runtime,
};

/// How long the last one may take to be there.
const WITHIN: Duration = Duration::from_secs(60);
/// Incidents to a page.
const PAGE: i32 = 1_000;

/// Waits until there are just so many incidents; gives their ids by dataset.
///
/// # Errors
/// There are more, or two of one dataset, or too few for long.
pub(super) fn wait_for(address: SocketAddr, count: usize) -> Result<BTreeMap<usize, String>> {
    runtime()?.block_on(async {
        let mut client = client(channel(address).await?);
        let begin = Instant::now();
        loop {
            let found = all(&mut client).await?;
            if found.len() == count {
                return Ok(found);
            }
            if found.len() > count || begin.elapsed() > WITHIN {
                return Err(AnswersError::Wrong(format!("{} incidents, not {count}", found.len())));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

async fn all(client: &mut Client) -> Result<BTreeMap<usize, String>> {
    let mut request = ListIncidentsRequest { page_size: PAGE, ..Default::default() };
    let mut ids = BTreeMap::new();
    loop {
        let answer = client.list_incidents(request.clone()).await.map_err(call("ListIncidents"))?.into_inner();
        for incident in answer.incidents {
            let dataset = generated::dataset(&incident.dataset_urn);
            let doubled = dataset.is_none_or(|dataset| ids.insert(dataset, incident.id.clone()).is_some());
            if doubled {
                return Err(AnswersError::Wrong(format!("another incident of {}", incident.dataset_urn)));
            }
        }
        if answer.next_page_token.is_empty() {
            return Ok(ids);
        }
        request.page_token = answer.next_page_token;
    }
}
