//! DynamoDB Local, Amazon's own server for tests.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;

use super::error::{Result, ServerError, file};
use super::maven::{Artifact, class_path, jars};
use super::ports::free_ports;
use super::process::ServerProcess;
use super::python::ask_clients;
use super::run_dir::RunDir;

const NAME: &str = "DynamoDB Local";
const ARTIFACTS: [Artifact; 1] =
    [Artifact { group: "software.amazon.dynamodb", id: "DynamoDBLocal", version: "3.1.0" }];
const MAIN: &str = "software.amazon.dynamodb.services.local.main.ServerRunner";

/// For a start within seconds.
const JAVA: [&str; 3] = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

const READY_WITHIN: Duration = Duration::from_secs(60);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Starts are tried anew on another port, since another process may take one between choice and use.
const START_ATTEMPTS: usize = 3;

/// Where tables are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// They end with the process.
    Memory,
    /// They outlive it, until the server is dropped.
    Disk,
}

/// A server on the loopback interface, with one set of tables whoever signs requests. Dropping it ends the process and
/// removes its data.
#[derive(Debug)]
pub struct DynamoServer {
    /// `None` between [`DynamoServer::stop`] and [`DynamoServer::start_again`]. Before `dir`, so that the process is gone
    /// when its folder goes.
    process: Option<ServerProcess>,
    dir: RunDir,
    jars: PathBuf,
    storage: Storage,
    port: u16,
}

impl DynamoServer {
    /// A server that is up and answers.
    pub fn start(storage: Storage) -> Result<Self> {
        let jars = jars("dynamodb", &ARTIFACTS)?;
        let mut attempt = 1;
        loop {
            let [port] = free_ports()?;
            let dir = RunDir::new("dynamodb")?;
            let mut server = Self { process: None, dir, jars: jars.clone(), storage, port };
            match server.start_again() {
                Err(ServerError::Exited { .. }) if attempt < START_ATTEMPTS => attempt += 1,
                outcome => return outcome.map(|()| server),
            }
        }
    }

    /// Starts the server on its old port and, if they are on disk, its old tables, after [`DynamoServer::stop`].
    pub fn start_again(&mut self) -> Result<()> {
        self.stop();
        let mut command = Command::new("java");
        // The tables are in SQLite, whose native library is among the jars.
        command.args(JAVA).arg(format!("-Djava.library.path={}", self.jars.display()));
        command.arg("-cp").arg(class_path(&self.jars)).arg(MAIN);
        command.args(["-sharedDb", "-disableTelemetry", "-port"]).arg(self.port.to_string());
        match self.storage {
            Storage::Memory => command.arg("-inMemory"),
            Storage::Disk => command.arg("-dbPath").arg(self.data()?),
        };
        let process = ServerProcess::start(NAME, command.current_dir(self.dir.path()), &self.log())?;
        process.wait_until_ready(READY_WITHIN, || self.lists_tables().map_err(|unready| unready.to_string()))?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills the server, as a crash would.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The URL for clients.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("dynamodb.log")
    }

    /// All items of a table, sorted by their keys, as `boto3` reads them: texts, and numbers as JSON has them.
    pub fn items(&self, table: &str) -> Result<Vec<Json>> {
        match self.boto3(SCAN, &[table])? {
            Json::Array(items) => Ok(items),
            other => Err(ServerError::Shared(format!("boto3 read {other} for the items of {table}"))),
        }
    }

    /// Runs a Python script in which `client` and `resource` are boto3's for this server, `arguments` are the arguments,
    /// and `say` prints a value as JSON; returns what it said.
    pub fn boto3(&self, script: &str, arguments: &[&str]) -> Result<Json> {
        let endpoint = self.endpoint();
        let arguments: Vec<&str> = std::iter::once(endpoint.as_str()).chain(arguments.iter().copied()).collect();
        ask_clients(&format!("{PRELUDE}\n{script}"), &arguments)
    }

    fn data(&self) -> Result<PathBuf> {
        let data = self.dir.path().join("data");
        fs::create_dir_all(&data).map_err(file("create", &data))?;
        Ok(data)
    }

    /// The request without which the server is not up. It wants a signature, and does not check it.
    fn lists_tables(&self) -> std::io::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, REQUEST_TIMEOUT)?;
        stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\n\
             Content-Type: application/x-amz-json-1.0\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=local/20200101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0\r\n\
             Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        )?;
        let mut answer = String::new();
        stream.take(1 << 16).read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200 ") && answer.contains("TableNames") {
            return Ok(());
        }
        Err(std::io::Error::other(answer))
    }
}

const PRELUDE: &str = r#"
import json, sys
import boto3

where = dict(endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="boto3", aws_secret_access_key="boto3")
client, resource = boto3.client("dynamodb", **where), boto3.resource("dynamodb", **where)
arguments = sys.argv[2:]

def number(decimal):
    return int(decimal) if decimal == decimal.to_integral_value() else float(decimal)

def say(value):
    json.dump(value, sys.stdout, default=number)
"#;

const SCAN: &str = r#"
pages = client.get_paginator("scan").paginate(TableName=arguments[0], ConsistentRead=True)
read = boto3.dynamodb.types.TypeDeserializer().deserialize
items = [{name: read(value) for name, value in item.items()} for page in pages for item in page["Items"]]
say(sorted(items, key=lambda item: (item["PK"], item["SK"])))
"#;
