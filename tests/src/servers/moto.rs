//! moto's server, which speaks the API of AWS Glue Schema Registry.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::error::{Result, ServerError};
use super::http::request;
use super::ports::free_ports;
use super::process::ServerProcess;
use super::python::environment;
use super::run_dir::RunDir;

const NAME: &str = "moto";
const REQUIREMENTS: [&str; 1] = ["moto[server]==5.2.5"];
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Starts are tried anew on another port, since another process may take one between choice and use.
const START_ATTEMPTS: usize = 3;

/// The environment of a program that is to find credentials for it: any will do.
pub const CREDENTIALS: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "testing"),
    ("AWS_SECRET_ACCESS_KEY", "testing"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// A server on the loopback interface. Dropping it ends the process; what it holds is gone then.
#[derive(Debug)]
pub struct MotoServer {
    process: Option<ServerProcess>,
    /// After `process`, so that the process is gone when its folder goes.
    _dir: RunDir,
    port: u16,
}

impl MotoServer {
    /// An empty server.
    ///
    /// # Errors
    /// It cannot be installed or started.
    pub fn start() -> Result<Self> {
        let program = environment("moto", &REQUIREMENTS)?.join("bin/moto_server");
        let mut attempt = 1;
        loop {
            let (dir, [port]) = (RunDir::new("moto")?, free_ports()?);
            let mut command = Command::new(&program);
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            for (name, value) in CREDENTIALS {
                command.env(name, value);
            }
            let process = ServerProcess::start(NAME, &command, &dir.path().join("moto.log"))?;
            let ready = process.wait_until_ready(READY_WITHIN, || {
                send(port, "ListRegistries", &json!({})).map(drop).map_err(|error| error.to_string())
            });
            match ready {
                Err(ServerError::Exited { .. }) if attempt < START_ATTEMPTS => attempt += 1,
                outcome => return outcome.map(|()| Self { process: Some(process), _dir: dir, port }),
            }
        }
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

    /// Makes a schema with its first version, in the registry `registry`, which is made where it is missing. Returns the
    /// version's id. `format` is `AVRO`, `JSON` or `PROTOBUF`.
    ///
    /// # Errors
    /// It refuses.
    pub fn create_schema(&self, registry: &str, name: &str, format: &str, definition: &str) -> Result<String> {
        // It says so where the registry is there.
        let _ = send(self.port, "CreateRegistry", &json!({"RegistryName": registry}));
        let answer = send(
            self.port,
            "CreateSchema",
            &json!({"RegistryId": {"RegistryName": registry}, "SchemaName": name, "DataFormat": format,
                    "Compatibility": "NONE", "SchemaDefinition": definition}),
        )?;
        id_of(&answer)
    }

    /// Adds a version to a schema. Returns its id.
    ///
    /// # Errors
    /// It refuses.
    pub fn register_version(&self, registry: &str, name: &str, definition: &str) -> Result<String> {
        let answer = send(
            self.port,
            "RegisterSchemaVersion",
            &json!({"SchemaId": {"RegistryName": registry, "SchemaName": name}, "SchemaDefinition": definition}),
        )?;
        id_of(&answer)
    }
}

fn id_of(answer: &Value) -> Result<String> {
    let id = answer["SchemaVersionId"].as_str();
    id.map(str::to_owned).ok_or_else(|| ServerError::Topic(format!("{NAME} gives no id: {answer}")))
}

fn send(port: u16, action: &str, body: &Value) -> Result<Value> {
    let target = format!("AWSGlue.{action}");
    // It reads nothing but the service from who signed.
    let signed =
        "AWS4-HMAC-SHA256 Credential=testing/20260101/eu-west-1/glue/aws4_request, SignedHeaders=host, Signature=0";
    let headers =
        [("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", target.as_str()), ("Authorization", signed)];
    let failed = |what: String| ServerError::Topic(format!("{NAME} refuses {action}: {what}"));
    match request(port, "POST", "/", &headers, &body.to_string()) {
        Ok((200, body)) => serde_json::from_str(&body).map_err(|error| failed(format!("{error}: {body}"))),
        Ok((status, body)) => Err(failed(format!("{status} {body}"))),
        Err(error) => Err(failed(error.to_string())),
    }
}
