//! How the watch's client is made, and when it is made anew.
//!
//! librdkafka remembers who leads a partition, and of which epoch. What it remembers of a topic that was made anew may be of
//! the old one, and then questions stay open though brokers answer all others. A client that remembers nothing helps.

use std::sync::Arc;

use faultline_sinks::kafka::Tokens;
use rdkafka::{ClientConfig, consumer::BaseConsumer, error::KafkaResult};

use super::context::Context;
use crate::metrics::Metrics;

/// How clients are made that are all alike.
pub(super) struct Clients {
    pub(super) config: ClientConfig,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tokens: Option<Tokens>,
}

impl Clients {
    /// One more of them.
    pub(super) fn client(&self) -> KafkaResult<BaseConsumer<Context>> {
        self.config.create_with_context(Context::new(Arc::clone(&self.metrics), self.tokens.clone()))
    }
}

/// How often in a row questions of one kind stayed open though brokers answered others.
#[derive(Debug, Default)]
pub(super) struct InVain(u32);

impl InVain {
    /// After so many a new client is tried, and then each time that there are twice as many.
    const PATIENCE: u32 = 4;

    /// Counts one more, or none any more, and says whether it is time for a new client. Where no broker answers anything,
    /// none helps.
    pub(super) fn again(&mut self, answered: bool, brokers_answer: bool) -> bool {
        self.0 = match (answered, brokers_answer) {
            (true, _) => 0,
            (false, true) => self.0.saturating_add(1),
            (false, false) => return false,
        };
        self.0 >= Self::PATIENCE && self.0.is_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_client_asks_where_brokers_answer_all_but_one_kind_of_question() {
        let mut in_vain = InVain::default();
        let asked: Vec<u32> = (1..=40).filter(|_| in_vain.again(false, true)).collect();
        assert_eq!(asked, [4, 8, 16, 32], "less and less often");
        assert!(!in_vain.again(true, true));
        for _ in 0..10 {
            assert!(!in_vain.again(false, false), "no client helps where no broker answers");
        }
        assert_eq!((1..=4).filter(|_| in_vain.again(false, true)).count(), 1);
    }
}
