//! Kills at random moments, under load: of one process of a cluster, of all, of the broker. After each round every table
//! holds what an undisturbed run leaves in it, and each record has its evidence.
//!
//! `FAULTLINE_KILLS` says how many kills (3; `make chaos` takes 200), `FAULTLINE_SEED` repeats a run's choices.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use faultline_tests::place::{DATA, Place, wait_until};
use faultline_tests::scenario::orders;
use faultline_tests::service::Service;

/// Over how long a round's records are published.
const LOAD: Duration = Duration::from_secs(10);
const KILLS_A_ROUND: usize = 3;
/// How long after a round began, or the last recovery, a kill comes: from the first to the second.
const PAUSE_MS: (u64, u64) = (100, 1_500);
/// How long a killed broker is away.
const BROKER_AWAY: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kill {
    One,
    All,
    Broker,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::One => "one process",
            Self::All => "all processes",
            Self::Broker => "the broker",
        })
    }
}

/// Numbers that look random: xorshift (G. Marsaglia, "Xorshift RNGs", 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn closed_epoch(service: &Service) -> u64 {
    let text = service.get("/metrics").unwrap_or_default();
    let epoch = text.lines().find_map(|line| line.strip_prefix("faultline_epoch_milliseconds "));
    epoch.and_then(|epoch| epoch.parse().ok()).unwrap_or(0)
}

/// Kills the process behind a supervisor, if there is one just now.
fn kill_behind(supervisor: &Service) {
    let children = format!("/proc/{0}/task/{0}/children", supervisor.pid());
    let children = std::fs::read_to_string(children).unwrap();
    for child in children.split_whitespace() {
        let _ = std::process::Command::new("kill").args(["-9", child]).status().unwrap();
    }
}

#[derive(Default)]
struct Account {
    kills: BTreeMap<Kill, usize>,
    recoveries: Vec<Duration>,
    offered: usize,
    lost: usize,
    duplicates: usize,
}

impl Account {
    fn recovery(&self, percent: usize) -> Duration {
        let mut sorted = self.recoveries.clone();
        sorted.sort();
        sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

#[test]
fn kills_at_random_moments_lose_nothing_and_leave_what_an_undisturbed_run_does() {
    let seed = setting("FAULTLINE_SEED", now_ms());
    let kills = setting("FAULTLINE_KILLS", KILLS_A_ROUND as u64) as usize;
    println!("FAULTLINE_SEED={seed}");
    let mut dice = Dice(seed | 1);
    let envelopes = &orders::capture().unwrap();
    let offered = envelopes.iter().filter(|envelope| envelope.topic == DATA).count();
    let undisturbed = Place::new();
    let service = undisturbed.serve(2);
    undisturbed.kafka.publisher().publish_over(envelopes, LOAD / 5).unwrap();
    let expected = undisturbed.settled(None);
    drop((service, undisturbed));

    let mut account = Account::default();
    while account.kills.values().sum::<usize>() < kills {
        let mut place = Place::new();
        let hosts = place.hosts::<2>();
        let cluster: Vec<_> = (0..2).map(|process| place.supervise_process(&hosts, process, 1)).collect();
        cluster.iter().for_each(|service| service.wait_until_ready().unwrap());
        let publisher = place.kafka.publisher();
        std::thread::scope(|threads| {
            let load = threads.spawn(|| publisher.publish_over(envelopes, LOAD).unwrap());
            for _ in 0..KILLS_A_ROUND {
                std::thread::sleep(Duration::from_millis(PAUSE_MS.0 + dice.below(PAUSE_MS.1 - PAUSE_MS.0)));
                let kill = [Kill::One, Kill::One, Kill::All, Kill::Broker][dice.below(4) as usize];
                *account.kills.entry(kill).or_default() += 1;
                let (begin, at) = (Instant::now(), now_ms());
                match kill {
                    Kill::One => kill_behind(&cluster[dice.below(2) as usize]),
                    Kill::All => cluster.iter().for_each(kill_behind),
                    Kill::Broker => {
                        {
                            let _nothing_on_its_way = publisher.pause();
                            place.kafka.stop();
                        }
                        std::thread::sleep(BROKER_AWAY);
                        place.kafka.start_again().unwrap();
                    }
                }
                wait_until("an epoch after the kill is closed", &cluster[0], || closed_epoch(&cluster[0]) > at + 200);
                account.recoveries.push(begin.elapsed());
            }
            load.join().unwrap();
        });
        wait_until("all evidence is there", &cluster[0], || place.evidence().1 >= offered);
        let contents = place.settled(Some(&expected));
        expected.assert_same(&contents, &format!("FAULTLINE_SEED={seed}, round of {:?}", account.kills));
        let (all, different) = place.evidence();
        account.offered += offered;
        account.lost += offered - different;
        account.duplicates += all - different;
        for service in &cluster {
            assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
        }
    }
    for (kill, times) in &account.kills {
        println!("{kill:>14} killed {times} times");
    }
    println!(
        "offered {}, lost {}, duplicates {}, wrong tables 0; fresh again after p50 {:?}, p99 {:?}",
        account.offered,
        account.lost,
        account.duplicates,
        account.recovery(50),
        account.recovery(99)
    );
    assert_eq!(account.lost, 0);
}
