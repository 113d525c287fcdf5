//! Generates Rust from `faultline/v1/faultline.proto`. protox parses it, so that no `protoc` has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const PROTO: &str = "faultline/v1/faultline.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], ["."])?;
    // For gRPC reflection and proto3 JSON.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("faultline.v1.bin"), descriptors.encode_to_vec())?;
    // Type names let a message find its descriptor; ordered maps make equal messages equal bytes.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure().btree_map(".").compile_fds_with_config(descriptors, config)?;
    Ok(())
}
