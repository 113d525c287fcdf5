//! `grpcurl`, a gRPC client that is none of ours: it finds services by reflection and prints proto3 JSON.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use super::error::{Result, ServerError};
use super::install::{installed, run};

const PACKAGE: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3";

/// Runs `grpcurl` with these arguments to its end; installs it on first use. The caller judges the exit status.
pub fn grpcurl<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Result<Output> {
    let dir =
        installed("grpcurl", PACKAGE, |dir| run(Command::new("go").args(["install", PACKAGE]).env("GOBIN", dir)))?;
    Command::new(dir.join("grpcurl"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ServerError::Program { program: "grpcurl".to_owned(), source })
}
