//! Gremlin Server with a TinkerGraph that behaves like Neptune where that matters: ids are texts, a property has a set of
//! values unless said otherwise and, if asked for, requests are transactions that fail where others changed the same.

mod http;

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::error::{Result, ServerError, file};
use super::install::run;
use super::maven::{Artifact, class_path, jars};
use super::ports::free_ports;
use super::process::ServerProcess;
use super::run_dir::RunDir;

const NAME: &str = "Gremlin Server";
/// The version of the server that tests use unless they are about an older one.
pub const GREMLIN_VERSION: &str = "3.7.3";
/// A version that has no `mergeV()`.
const OLD_VERSION: &str = "3.5.7";

const READY_WITHIN: Duration = Duration::from_secs(120);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
const START_ATTEMPTS: usize = 3;

/// Which server, and what it asks of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GremlinOptions {
    /// 3.5 instead of 3.7: without `mergeV()`, `gremlin-lang` and transactions.
    pub old: bool,
    /// Each request is a transaction, and fails with a conflict where another has changed the same elements meanwhile. In
    /// such a graph an element that was changed twice and removed cannot be made anew: every try is a conflict
    /// (TinkerGraph 3.7.3).
    pub transactions: bool,
    /// TLS, with a certificate of its own ([`GremlinServer::certificate`]), for [`GremlinServer::USER`] alone. It does not
    /// answer over HTTP then.
    pub secured: bool,
}

/// A server on the loopback interface. Dropping it ends the process and removes its data.
#[derive(Debug)]
pub struct GremlinServer {
    /// `None` between [`GremlinServer::stop`] and [`GremlinServer::start_again`]. Before `dir`, so that the process is gone
    /// when its folder goes.
    process: Option<ServerProcess>,
    dir: RunDir,
    jars: PathBuf,
    port: u16,
    secured: bool,
}

impl GremlinServer {
    /// Whom a secured server knows …
    pub const USER: &str = "faultline";
    /// … by this password.
    pub const PASSWORD: &str = "it's ${secret}";

    /// A server of the current version.
    pub fn start() -> Result<Self> {
        Self::start_with(GremlinOptions::default())
    }

    /// The server that all tests of this process share; started by the first that asks. Tests keep apart by ids.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<GremlinServer, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| Self::start().map_err(|e| e.to_string()))
            .as_ref()
            .map_err(|reason| ServerError::Shared(reason.clone()))
    }

    /// A server that is up and evaluates traversals.
    pub fn start_with(options: GremlinOptions) -> Result<Self> {
        let (name, version) = if options.old { ("gremlin-old", OLD_VERSION) } else { ("gremlin", GREMLIN_VERSION) };
        let artifact = |group, id, version| Artifact { group, id, version };
        let artifacts = [
            artifact("org.apache.tinkerpop", "gremlin-server", version),
            // Without a binding slf4j says nothing.
            artifact("org.slf4j", "slf4j-simple", "1.7.25"),
        ];
        let jars = jars(name, &artifacts)?;
        let mut attempt = 1;
        loop {
            match Self::start_once(&jars, options) {
                Err(ServerError::Exited { .. }) if attempt < START_ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    fn start_once(jars: &Path, options: GremlinOptions) -> Result<Self> {
        let dir = RunDir::new("gremlin")?;
        let [port] = free_ports()?;
        for (name, text) in [
            ("graph.properties", graph_properties(options, dir.path())),
            ("init.groovy", "globals = [g: traversal().withEmbedded(graph)]\n".to_owned()),
            ("server.yaml", server_yaml(options, dir.path(), port)),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, text).map_err(file("write", &path))?;
        }
        if options.secured {
            secure(dir.path())?;
        }
        let mut server = Self { process: None, dir, jars: jars.to_path_buf(), port, secured: options.secured };
        server.start_again()?;
        Ok(server)
    }

    /// Starts the server on its old port, with the graph that [`GremlinServer::stop`] has saved, if it has.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = None;
        let mut command = Command::new("java");
        // For a start within seconds: one compiler, and a collector without threads of its own.
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &class_path(&self.jars)]);
        command
            .arg("org.apache.tinkerpop.gremlin.server.GremlinServer")
            .arg("server.yaml")
            .current_dir(self.dir.path());
        let process = ServerProcess::start(NAME, &command, &self.log())?;
        process.wait_until_ready(READY_WITHIN, || {
            if self.secured {
                // It listens when all else is done.
                return TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
                    .map(drop)
                    .map_err(|error| error.to_string());
            }
            http::evaluate(self.port, "gremlin-groovy", "g.inject(0)").map(drop)
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends the server in good order: it saves its graph.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.terminate(STOPPED_WITHIN)?;
        }
        Ok(())
    }

    /// Kills the server, as a crash would; what it held in memory since it started is lost.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// `ws://…/gremlin` for clients, or `wss://` where it is secured.
    pub fn endpoint(&self) -> String {
        let scheme = if self.secured { "wss" } else { "ws" };
        format!("{scheme}://127.0.0.1:{}/gremlin", self.port)
    }

    /// A secured server's certificate, in PEM; its own authority.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("server.pem")
    }

    /// The port, of all protocols.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("gremlin.log")
    }

    /// What a traversal results in, as anybody asks the server over HTTP.
    pub fn ask(&self, traversal: &str) -> Result<Vec<serde_json::Value>> {
        self.ask_in("gremlin-groovy", traversal)
    }

    /// What a traversal in a language of the server results in: `gremlin-groovy`, or `gremlin-lang`, whose grammar is what
    /// Neptune follows.
    pub fn ask_in(&self, language: &str, traversal: &str) -> Result<Vec<serde_json::Value>> {
        http::evaluate(self.port, language, traversal).map_err(|why| ServerError::Request {
            server: NAME,
            request: traversal.chars().take(500).collect(),
            why,
        })
    }
}

/// The password is there as its hash, as the server keeps it.
const USERS: &str = r#"{"id":{"@type":"g:Int64","@value":0},"label":"user","properties":{
"password":[{"id":{"@type":"g:Int64","@value":2},"value":"$2a$04$O5bqXIlHdcAqE9nJQdR6xexDxR1X0sYpbJ.dQzIlInledTBUvBatC"}],
"username":[{"id":{"@type":"g:Int64","@value":1},"value":"faultline"}]}}"#;
const KEY_PASSWORD: &str = "of the key store";

/// Writes who may log in, and makes a key with its certificate.
fn secure(dir: &Path) -> Result<()> {
    let users = dir.join("users.json");
    fs::write(&users, USERS.replace('\n', "")).map_err(file("write", &users))?;
    let properties = format!(
        "gremlin.graph=org.apache.tinkerpop.gremlin.tinkergraph.structure.TinkerGraph\n\
         gremlin.tinkergraph.vertexIdManager=LONG\n\
         gremlin.tinkergraph.graphFormat=graphson\n\
         gremlin.tinkergraph.graphLocation={}\n",
        users.display()
    );
    let path = dir.join("users.properties");
    fs::write(&path, properties).map_err(file("write", &path))?;
    let keytool = |arguments: &[&str]| {
        let store = ["-keystore", "server.p12", "-storetype", "PKCS12", "-storepass", KEY_PASSWORD, "-alias", "server"];
        run(Command::new("keytool").args(arguments).args(store).current_dir(dir))
    };
    let names = "SAN=dns:localhost,ip:127.0.0.1";
    keytool(&["-genkeypair", "-keyalg", "RSA", "-dname", "CN=localhost", "-ext", names, "-validity", "3650"])?;
    keytool(&["-exportcert", "-rfc", "-file", "server.pem"])
}

fn graph_properties(options: GremlinOptions, dir: &Path) -> String {
    let class = if options.transactions { "TinkerTransactionGraph" } else { "TinkerGraph" };
    format!(
        "gremlin.graph=org.apache.tinkerpop.gremlin.tinkergraph.structure.{class}\n\
         gremlin.tinkergraph.vertexIdManager=ANY\n\
         gremlin.tinkergraph.edgeIdManager=ANY\n\
         gremlin.tinkergraph.defaultVertexPropertyCardinality=set\n\
         gremlin.tinkergraph.graphFormat=graphson\n\
         gremlin.tinkergraph.graphLocation={}\n",
        dir.join("graph.json").display()
    )
}

fn server_yaml(options: GremlinOptions, dir: &Path, port: u16) -> String {
    let dir = dir.display();
    let (serializers, other_engines) = if options.old {
        ("org.apache.tinkerpop.gremlin.driver.ser.GraphSONMessageSerializerV3d0", "")
    } else {
        ("org.apache.tinkerpop.gremlin.util.ser.GraphSONMessageSerializerV3", "gremlin-lang: {}, ")
    };
    let (channelizer, security) = if options.secured {
        let security = format!(
            "ssl: {{enabled: true, keyStore: {dir}/server.p12, keyStorePassword: {KEY_PASSWORD}, keyStoreType: pkcs12}}\n\
             authentication: {{authenticator: org.apache.tinkerpop.gremlin.server.auth.SimpleAuthenticator,\n\
             \x20 config: {{credentialsDb: {dir}/users.properties}}}}\n"
        );
        ("WebSocketChannelizer", security)
    } else {
        ("WsAndHttpChannelizer", String::new())
    };
    format!(
        "host: 127.0.0.1\n\
         port: {port}\n\
         channelizer: org.apache.tinkerpop.gremlin.server.channel.{channelizer}\n\
         evaluationTimeout: 30000\n\
         graphs: {{graph: {dir}/graph.properties}}\n\
         scriptEngines: {{{other_engines}gremlin-groovy: {{plugins: {{\n\
         \x20 org.apache.tinkerpop.gremlin.server.jsr223.GremlinServerGremlinPlugin: {{}},\n\
         \x20 org.apache.tinkerpop.gremlin.tinkergraph.jsr223.TinkerGraphGremlinPlugin: {{}},\n\
         \x20 org.apache.tinkerpop.gremlin.jsr223.ImportGremlinPlugin: {{classImports: [java.lang.Math]}},\n\
         \x20 org.apache.tinkerpop.gremlin.jsr223.ScriptFileGremlinPlugin: {{files: [{dir}/init.groovy]}}}}}}}}\n\
         serializers: [{{className: {serializers}}}{graph_binary}]\n\
         {security}",
        graph_binary = if options.old {
            ""
        } else {
            ", {className: org.apache.tinkerpop.gremlin.util.ser.GraphBinaryMessageSerializerV1}"
        },
    )
}
