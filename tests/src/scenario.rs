//! Inputs of known outcome: stories with their ground truth, and load with its expected counts.
//!
//! All is a function of fixed seeds, so that committed files can be made again and compared byte for byte.

pub mod disorder;
pub mod load;
pub mod order;
pub mod orders;
pub mod random;
