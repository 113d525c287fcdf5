//! What the benches share: inputs that are the same on any machine, and a worker to run them on; and the measurements
//! against a real broker: of records ([`wire`]) and of answers ([`answers`]).
#![deny(missing_docs)]

pub mod answers;
pub mod deployments;
pub mod layered_dag;
pub mod machine;
pub mod orders;
pub mod random;
pub mod times;
pub mod wire;
pub mod worker;
