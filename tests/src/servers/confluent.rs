//! A registry that speaks Confluent's API: franz-go's, in memory, behind a main function of ours.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::error::{Result, ServerError};
use super::http::request;
use super::install::{installed, run, workspace_dir};
use super::ports::free_ports;
use super::process::ServerProcess;
use super::run_dir::RunDir;

const NAME: &str = "the Confluent registry";
const READY_WITHIN: Duration = Duration::from_secs(30);
const SOURCE: &str = concat!(
    include_str!("../../servers/confluent/go.mod"),
    include_str!("../../servers/confluent/go.sum"),
    include_str!("../../servers/confluent/main.go"),
);

/// A registry on the loopback interface. Dropping it ends the process.
#[derive(Debug)]
pub struct ConfluentRegistry {
    process: Option<ServerProcess>,
    dir: RunDir,
    program: PathBuf,
    port: u16,
    authorization: String,
    /// What was registered, in its order: a registry that starts again is told it again, and gives the same ids.
    registered: Vec<(String, Value)>,
}

/// A schema as a registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its number.
    pub id: u32,
    /// Its GUID, in text form.
    pub guid: String,
    /// Its version under the subject.
    pub version: u64,
}

impl ConfluentRegistry {
    /// An empty registry that answers anybody.
    ///
    /// # Errors
    /// It does not build, or does not start.
    pub fn start() -> Result<Self> {
        Self::start_for("")
    }

    /// An empty registry that answers those who send this `Authorization` header.
    ///
    /// # Errors
    /// It does not build, or does not start.
    pub fn start_for(authorization: &str) -> Result<Self> {
        let program = installed("confluent-registry", SOURCE, |dir| {
            let source = workspace_dir().join("tests/servers/confluent");
            run(Command::new("go").arg("build").arg("-o").arg(dir.join("registry")).arg(".").current_dir(source))
        })?
        .join("registry");
        let [port] = free_ports()?;
        let (dir, authorization) = (RunDir::new("confluent")?, authorization.to_owned());
        let mut registry = Self { process: None, dir, program, port, authorization, registered: Vec::new() };
        registry.start_again()?;
        Ok(registry)
    }

    /// Starts it on its old port with its old contents, after [`ConfluentRegistry::stop`].
    ///
    /// # Errors
    /// It does not start, or gives other ids.
    pub fn start_again(&mut self) -> Result<()> {
        self.stop();
        let mut command = Command::new(&self.program);
        command.args(["-listen", &format!("127.0.0.1:{}", self.port), "-authorization", &self.authorization]);
        let process = ServerProcess::start(NAME, &command, &self.dir.path().join("registry.log"))?;
        process.wait_until_ready(READY_WITHIN, || self.send("GET", "/subjects", "").map(drop))?;
        self.process = Some(process);
        for (subject, schema) in self.registered.clone() {
            self.publish(&subject, &schema)?;
        }
        Ok(())
    }

    /// Kills it, as a crash would.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Its process, while it runs.
    ///
    /// # Errors
    /// It is stopped.
    pub fn process(&self) -> Result<&ServerProcess> {
        self.process.as_ref().ok_or_else(|| ServerError::Topic(format!("{NAME} is stopped")))
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Registers a schema under a subject. `kind` is `AVRO`, `JSON` or `PROTOBUF`; `references` are name, subject and version
    /// of what it refers to.
    ///
    /// # Errors
    /// The registry refuses it.
    pub fn register(
        &mut self,
        subject: &str,
        kind: &str,
        schema: &str,
        references: &[(&str, &str, u64)],
    ) -> Result<Registration> {
        let references: Vec<Value> = references
            .iter()
            .map(|(name, subject, version)| json!({"name": name, "subject": subject, "version": version}))
            .collect();
        let body = json!({"schemaType": kind, "schema": schema, "references": references});
        let registration = self.publish(subject, &body)?;
        self.registered.push((subject.to_owned(), body));
        Ok(registration)
    }

    fn publish(&self, subject: &str, body: &Value) -> Result<Registration> {
        let failed = |what: &str| ServerError::Topic(format!("{NAME} does not register {subject}: {what}"));
        let path = format!("/subjects/{subject}/versions");
        self.send("POST", &path, &body.to_string()).map_err(|error| failed(&error))?;
        let latest = self.send("GET", &format!("{path}/latest"), "").map_err(|error| failed(&error))?;
        let read = || {
            Some(Registration {
                id: u32::try_from(latest["id"].as_u64()?).ok()?,
                guid: latest["guid"].as_str()?.to_owned(),
                version: latest["version"].as_u64()?,
            })
        };
        read().ok_or_else(|| failed(&latest.to_string()))
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Result<Value, String> {
        let headers = [("Content-Type", "application/json"), ("Authorization", self.authorization.as_str())];
        match request(self.port, method, path, &headers, body) {
            Ok((200, body)) => serde_json::from_str(&body).map_err(|error| format!("{error}: {body}")),
            Ok((status, body)) => Err(format!("{status} {body}")),
            Err(error) => Err(error.to_string()),
        }
    }
}
