//! Writes the orders scenario to `contracts/examples/orders/`, after a change of its generator.

use std::error::Error;
use std::fs;

use faultline_tests::scenario::orders;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = orders::folder();
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("input.jsonl"), orders::input()?)?;
    fs::write(folder.join("spans.jsonl"), orders::spans()?)?;
    Ok(())
}
