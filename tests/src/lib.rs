//! What Faultline's end-to-end tests stand on: real servers, scenarios with their ground truth, generated load
//! with its expected counts. The tests themselves are under `tests/tests/`.

pub mod contents;
pub mod envelope;
pub mod framing;
pub mod latency;
pub mod place;
pub mod program;
pub mod proxy;
pub mod reading;
pub mod receiver;
pub mod replaying;
pub mod scenario;
pub mod servers;
pub mod service;
