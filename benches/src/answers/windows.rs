//! What the service has counted, against what was sent.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use faultline_proto::v1::ListComplianceWindowsRequest;

use super::{
    connection::{Client, channel, client},
    error::{AnswersError, Result, call},
};
use crate::wire::clients::runtime;

/// How long the service may take to read what was sent.
const READ_WITHIN: Duration = Duration::from_secs(120);
/// Windows to a page.
const PAGE: i32 = 1_000;

/// Waits until the service has counted just so many passing and failing records.
///
/// # Errors
/// It counts another number, or a record that it could not judge.
pub fn wait_for(address: SocketAddr, sent: [u64; 2]) -> Result<()> {
    runtime()?.block_on(async {
        let mut client = client(channel(address).await?);
        let begin = Instant::now();
        loop {
            let counted = counted(&mut client).await?;
            if counted == sent {
                return Ok(());
            }
            let more = counted[0] > sent[0] || counted[1] > sent[1];
            if more || begin.elapsed() > READ_WITHIN {
                let text = format!("{counted:?} records pass and fail of {sent:?} that were sent");
                return Err(AnswersError::Wrong(text));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

/// Passing and failing records in all windows.
async fn counted(client: &mut Client) -> Result<[u64; 2]> {
    let mut request = ListComplianceWindowsRequest { page_size: PAGE, ..Default::default() };
    let mut sum = [0, 0];
    loop {
        let asked = client.list_compliance_windows(request.clone()).await;
        let answer = asked.map_err(call("ListComplianceWindows"))?.into_inner();
        for window in answer.windows {
            if window.warn > 0 {
                return Err(AnswersError::Wrong(format!("{} could not be judged", window.dataset_urn)));
            }
            sum = [sum[0] + window.pass, sum[1] + window.fail];
        }
        if answer.next_page_token.is_empty() {
            return Ok(sum);
        }
        request.page_token = answer.next_page_token;
    }
}
