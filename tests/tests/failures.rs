//! Every failure of the matrix, on real servers under load: a server is stopped, frozen, slowed or restarted while the
//! orders incident happens, and in the end each store holds what an undisturbed run leaves in it.
//!
//! A run that was disturbed prints a row: what was done and for how long, how soon health told of it, the records offered,
//! the evidence found, and how much of it is missing or there twice.
//!
//! The schema registry's part of the matrix is in `registries.rs`.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)] // Functions that tests share stop the test, as tests do.

#[path = "failures/fault.rs"]
mod fault;
#[path = "failures/stage.rs"]
mod stage;

use fault::{Fault, Target};
use stage::Stage;

/// Faults of one server, one after the other.
fn survives(target: Target, faults: &[Fault]) {
    let mut stage = Stage::set();
    let undisturbed = stage.undisturbed().clone();
    for &fault in faults {
        let run = stage.run(Some((target, fault)));
        println!("{target:>12} {fault:<8} {}", run.account);
        assert_eq!((run.account.lost, run.account.duplicates), (0, 0), "{target} {fault}: {}", run.account);
        undisturbed.assert_same(&run.contents, &format!("{target} {fault}"));
        if fault.shows() {
            assert!(run.account.degraded_after.is_some(), "{target} {fault} did not show in health");
        }
    }
}

#[test]
fn kafka_stopped_frozen_slowed_and_restarted() {
    survives(Target::Kafka, &Fault::ALL);
}

#[test]
fn dynamodb_stopped_frozen_slowed_and_restarted() {
    survives(Target::DynamoDb, &Fault::ALL);
}

#[test]
fn gremlin_stopped_frozen_slowed_and_restarted() {
    survives(Target::Gremlin, &Fault::ALL);
}
