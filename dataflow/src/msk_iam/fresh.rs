//! Keeps a token that is about to end from ever being asked for: a thread of its own fetches the next one in good time,
//! so that whoever asks has it at once.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use faultline_sinks::kafka::{Token, TokenError};

use crate::engine::wall_clock;

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// A token that ends sooner than this is not given any more, in milliseconds.
const SPARE_MS: i64 = 5_000;

type Fetch = Box<dyn FnMut() -> Result<Token, TokenError> + Send>;

/// Tokens that are fetched before they are needed.
pub(super) struct FreshTokens {
    name: &'static str,
    patience: Duration,
    /// Taken by the thread that the first question starts.
    fetch: Mutex<Option<Fetch>>,
    started: OnceLock<Result<(), TokenError>>,
    kept: Arc<Kept>,
}

#[derive(Default)]
struct Kept {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// What the last attempt said, if it failed.
    failure: Option<TokenError>,
    unwanted: bool,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FreshTokens {
    /// Tokens from `fetch`, on a thread of this name. Who asks before there is one waits for `patience` at most.
    pub(super) fn new(
        name: &'static str,
        patience: Duration,
        fetch: impl FnMut() -> Result<Token, TokenError> + Send + 'static,
    ) -> Self {
        let fetch: Fetch = Box::new(fetch);
        Self { name, patience, fetch: Mutex::new(Some(fetch)), started: OnceLock::new(), kept: Arc::default() }
    }

    /// The token that is kept.
    ///
    /// # Errors
    /// There is none, and why.
    pub(super) fn token(&self) -> Result<Token, TokenError> {
        self.started.get_or_init(|| self.start()).clone()?;
        let valid = |state: &State| {
            state.token.clone().filter(|token| token.expires_at_ms > wall_clock().0.saturating_add(SPARE_MS))
        };
        let undecided = |state: &mut State| valid(state).is_none() && state.failure.is_none();
        let state = self.kept.lock();
        let (state, _) = self
            .kept
            .changed
            .wait_timeout_while(state, self.patience, undecided)
            .unwrap_or_else(PoisonError::into_inner);
        match (valid(&state), &state.failure) {
            (Some(token), _) => Ok(token),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(TokenError(format!("none came within {:?}", self.patience))),
        }
    }

    fn start(&self) -> Result<(), TokenError> {
        let fetch = self.fetch.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(mut fetch), kept) = (fetch, Arc::clone(&self.kept)) else { return Ok(()) };
        thread::Builder::new()
            .name(self.name.to_owned())
            .spawn(move || keep(&kept, &mut fetch))
            .map(drop)
            .map_err(|error| TokenError(format!("cannot start a thread: {error}")))
    }
}

impl Drop for FreshTokens {
    fn drop(&mut self) {
        // The thread may be waiting for AWS just now; it ends by itself.
        self.kept.lock().unwanted = true;
        self.kept.changed.notify_all();
    }
}

fn keep(kept: &Kept, fetch: &mut Fetch) {
    loop {
        let fetched = fetch();
        let mut state = kept.lock();
        let pause = match fetched {
            Ok(token) => {
                let pause = refresh_after(wall_clock().0, token.expires_at_ms);
                (state.token, state.failure) = (Some(token), None);
                pause
            }
            Err(failure) => {
                if state.failure.as_ref() != Some(&failure) {
                    tracing::error!(error = %failure, "cannot sign in to Kafka; will be tried again");
                }
                state.failure = Some(failure);
                RETRY
            }
        };
        kept.changed.notify_all();
        let (state, _) = kept
            .changed
            .wait_timeout_while(state, pause, |state| !state.unwanted)
            .unwrap_or_else(PoisonError::into_inner);
        if state.unwanted {
            return;
        }
    }
}

/// When to fetch the next token: after half of this one's life. Clients ask after four fifths of theirs, and find a
/// younger one.
fn refresh_after(now_ms: i64, expires_at_ms: i64) -> Duration {
    let left = expires_at_ms.saturating_sub(now_ms).max(0) as u64;
    Duration::from_millis(left / 2).max(Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn token(number: u32, life_ms: i64) -> Token {
        Token { value: number.to_string(), principal: "test".into(), expires_at_ms: wall_clock().0 + life_ms }
    }

    #[test]
    fn the_next_token_is_there_before_the_last_one_ends() {
        let fetched = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&fetched);
        let fetch = move || Ok(token(count.fetch_add(1, Ordering::Relaxed), SPARE_MS + 400));
        let tokens = FreshTokens::new("test", Duration::from_secs(10), fetch);
        assert_eq!(fetched.load(Ordering::Relaxed), 0, "nobody asked");
        assert_eq!(tokens.token().unwrap().value, "0");
        let begin = std::time::Instant::now();
        while tokens.token().unwrap().value == "0" {
            assert!(begin.elapsed() < Duration::from_secs(20), "the first token is still given");
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(refresh_after(1_000, 901_000), Duration::from_secs(450));
        assert_eq!(refresh_after(901_000, 1_000), Duration::from_millis(100));
    }

    #[test]
    fn a_failure_is_told_at_once_and_tried_again() {
        let mut attempts = 0;
        let fetch = move || {
            attempts += 1;
            if attempts == 1 { Err(TokenError("no credentials".into())) } else { Ok(token(attempts, 900_000)) }
        };
        let tokens = FreshTokens::new("test", Duration::from_secs(60), fetch);
        assert_eq!(tokens.token(), Err(TokenError("no credentials".into())));
        tokens.kept.lock().failure = None;
        // Waits, as nothing is known any more, for the second attempt.
        assert_eq!(tokens.token().unwrap().value, "2");
    }
}
