//! What a receiver's answer means.

use std::time::Duration;

use super::error::WebhookError;

/// The longest time that a receiver is left alone because it asked for that.
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How much of an answer is shown.
const SHOWN: usize = 200;

/// What became of a message.
#[derive(Debug)]
pub enum Answer {
    /// The receiver has it.
    Taken,
    /// It will not take it, now or ever.
    Refused(WebhookError),
    /// It may take it later.
    NotNow {
        /// Why not now.
        error: WebhookError,
        /// How long it asked to be left alone.
        wait: Duration,
    },
}

impl Answer {
    /// What an HTTP answer means. `retry_after` is the header of that name, `now` the time in seconds since 1970.
    ///
    /// 2xx is taken. 4xx is refused for good, as it says that the fault is the message's; but not 408, 425 and 429, which
    /// say that the time is wrong. Everything else may pass: servers that fail, and redirections, which are not followed,
    /// because a message for one host is not for another, and which are mostly those of a log-in page.
    #[must_use]
    pub fn of(status: u16, retry_after: Option<&str>, body: &[u8], now: i64) -> Self {
        let said = shown(body);
        match status {
            200..=299 => Self::Taken,
            408 | 425 | 429 => {
                let wait = retry_after.and_then(|text| wait(text, now)).unwrap_or_default();
                Self::NotNow { error: WebhookError::NotNow { status, said }, wait }
            }
            400..=499 => Self::Refused(WebhookError::Refused { status, said }),
            _ => {
                let wait = retry_after.and_then(|text| wait(text, now)).unwrap_or_default();
                Self::NotNow { error: WebhookError::NotNow { status, said }, wait }
            }
        }
    }
}

/// What `Retry-After` asks for, at most [`LONGEST_WAIT`]: seconds, or a point in time as HTTP writes it.
fn wait(text: &str, now: i64) -> Option<Duration> {
    let text = text.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => u64::MAX,
        Err(_) => {
            let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            u64::try_from(until.as_second().saturating_sub(now)).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// The beginning of an answer on one line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
    let words = text.split(|char: char| char.is_whitespace() || char.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_698_400_800;

    #[test]
    fn faults_of_the_message_are_final_and_others_pass() {
        for status in [200, 202, 204] {
            assert!(matches!(Answer::of(status, None, b"ok", NOW), Answer::Taken), "{status}");
        }
        for status in [400, 401, 403, 404, 410, 413, 422] {
            let Answer::Refused(error) = Answer::of(status, Some("5"), b"invalid\n  event\0", NOW) else {
                panic!("{status}")
            };
            assert_eq!(error.to_string(), format!("refused with HTTP {status}: \"invalid event\""));
            assert!(!error.is_transient());
        }
        for status in [302, 408, 425, 429, 500, 502, 503, 504, 599] {
            let Answer::NotNow { error, wait } = Answer::of(status, None, b"", NOW) else { panic!("{status}") };
            assert!(error.is_transient() && wait.is_zero(), "{error}");
        }
    }

    #[test]
    fn a_receiver_may_ask_for_seconds_or_a_time_within_bounds() {
        let wait = |text| wait(text, NOW).map(|wait| wait.as_secs());
        assert_eq!([wait("0"), wait(" 30 "), wait("86400")], [Some(0), Some(30), Some(300)]);
        assert_eq!(wait("99999999999999999999999"), Some(300));
        assert_eq!(wait("Fri, 27 Oct 2023 10:01:00 GMT"), Some(60));
        assert_eq!(wait("Fri, 27 Oct 2023 09:01:00 GMT"), Some(0), "in the past");
        assert_eq!([wait(""), wait("soon"), wait("-5"), wait("1.5")], [None; 4]);
    }

    proptest! {
        #[test]
        fn any_answer_means_something(status in 0_u16..1_000, header in "\\PC{0,40}", body: Vec<u8>) {
            match Answer::of(status, Some(&header), &body, NOW) {
                Answer::Taken => prop_assert!((200..300).contains(&status)),
                Answer::Refused(error) => prop_assert!(!error.is_transient()),
                Answer::NotNow { error, wait } => {
                    prop_assert!(error.is_transient() && wait <= LONGEST_WAIT);
                    prop_assert!(error.to_string().chars().count() < 2 * SHOWN);
                }
            }
        }
    }
}
