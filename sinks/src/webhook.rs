//! Incidents to people: HTTP receivers of plain JSON, Slack and PagerDuty.
//!
//! A receiver is told when something changed that a person needs to know (an incident opened, its cause was found, it is
//! over), never because a count grew, and never twice of the same change: what was told is kept in a ledger that outlives
//! the process.
//!
//! ```text
//! incident, explanation ─► transition ──► what is new to this receiver? ──► nothing: done
//!                              ▲                      │
//!                           ledger                 message (json, slack, pagerduty)
//!                              ▲                      │
//!                              └─── delivered ◄── client ──► receiver
//! ```
//!
//! | module | says |
//! |---|---|
//! | [`settings`], [`secret`], [`pattern`] | whom to tell what, and how |
//! | [`transition`] | what of an incident's state is news, given what was told |
//! | [`message`] and the formats below it | how it is put |
//! | [`answer`], [`pace`] | what a receiver's answer means, and how often it is called |
//! | [`ledger`] | what was told |
//! | [`client`] | HTTP |
//! | [`store`] | all of it, as a [`StateStore`](crate::store::StateStore) |
//!
//! Delivery is at least once: a receiver whose answer got lost hears the same message again, under the same
//! [`DELIVERY`](signature::DELIVERY) header. While a receiver is away only the newest state of an incident waits for it.

pub mod answer;
pub mod client;
pub mod error;
pub mod explained;
pub mod ledger;
pub mod message;
pub mod pace;
pub mod pattern;
pub mod secret;
pub mod settings;
pub mod signature;
pub mod store;
pub mod transition;

pub use error::WebhookError;
pub use settings::WebhookSettings;
pub use store::WebhookStore;
