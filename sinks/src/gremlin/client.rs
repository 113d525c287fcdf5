//! A thin client: one connection at a time, each request bounded in time.
//!
//! What gremlin-client 0.8 leaves to its user is kept here. It has no time-outs: a frozen server would hold a call for ever.
//! Its pool loses a place whenever a call is given up while it waits for one, and its tasks of an abandoned connection
//! live until the server closes that. It panics where a connection ends at the wrong moment. So a connection has a
//! runtime of its own, and after any failure but a plain status of the server both are thrown away together; and calls
//! run as tasks, whose panics end with them.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use gremlin_client::{ConnectionOptions, GValue, GraphSON, TlsOptions, ToGValue, aio::GremlinClient};

use super::{
    failure::Failure,
    request::Request,
    settings::{Endpoint, GremlinSettings, UpsertForm, password},
    statement::Form,
};
use crate::runtime::OwnRuntime;

/// Asks nothing of the graph.
const PING: &str = "g.inject(0)";
/// Makes nothing, and fails where there is no `mergeV()`.
const MERGE_PROBE: &str = "g.inject(0).limit(0).mergeV([(T.id):'probe']).option(Merge.onCreate,[(T.label):'Probe'])";

/// A connection, or the will to make one.
pub(super) struct Client {
    settings: GremlinSettings,
    endpoint: Endpoint,
    connection: Option<Connection>,
}

/// Dropping it ends the client's tasks, and closes the socket with them.
struct Connection {
    /// Before the client, whose tasks are to be gone when it goes.
    runtime: OwnRuntime,
    client: GremlinClient,
    form: Form,
}

impl Client {
    /// Does not connect yet.
    pub(super) fn new(settings: GremlinSettings) -> Result<Self, Failure> {
        let endpoint = Endpoint::parse(&settings.endpoint)?;
        if settings.user.is_some() != settings.password_file.is_some() {
            return Err(Failure::Settings("'user' and 'password_file' go together".to_owned()));
        }
        Ok(Self { settings, endpoint, connection: None })
    }

    /// In which form this server takes elements. Connects where there is no connection.
    pub(super) fn form(&mut self, allowance: Duration) -> Result<Form, Failure> {
        Ok(self.connection(allowance)?.form)
    }

    /// Whether the server answers, and evaluates traversals.
    pub(super) fn ping(&mut self, allowance: Duration) -> Result<(), Failure> {
        let request = Request { script: PING.to_owned(), bindings: None };
        match self.ask(&request, None, allowance) {
            Err(failure) if failure.is_refusal() => {
                self.connection = None;
                Err(Failure::Unfit(Box::new(failure)))
            }
            outcome => outcome.map(drop),
        }
    }

    /// What a request results in that writes in this form. Connects where there is no connection.
    pub(super) fn run(&mut self, request: &Request, form: Form, allowance: Duration) -> Result<Vec<GValue>, Failure> {
        self.ask(request, Some(form), allowance)
    }

    /// Ends the connection; the next request makes another, and finds out anew what the server is like.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    fn ask(&mut self, request: &Request, form: Option<Form>, allowance: Duration) -> Result<Vec<GValue>, Failure> {
        let begun = Instant::now();
        let connection = self.connection(allowance)?;
        if form.is_some_and(|form| form != connection.form) {
            // Another server, of another version, answers at the same address by now.
            return Err(Failure::Gone);
        }
        let outcome = connection.run(request, allowance.saturating_sub(begun.elapsed()));
        if outcome.as_ref().is_err_and(Failure::breaks_connection) {
            self.connection = None;
        }
        outcome
    }

    fn connection(&mut self, allowance: Duration) -> Result<&mut Connection, Failure> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            missing => Ok(missing.insert(Connection::open(&self.settings, &self.endpoint, allowance)?)),
        }
    }
}

impl Connection {
    fn open(settings: &GremlinSettings, endpoint: &Endpoint, allowance: Duration) -> Result<Self, Failure> {
        let begun = Instant::now();
        let mut options = ConnectionOptions::builder()
            .host(endpoint.host.clone())
            .port(endpoint.port)
            .ssl(endpoint.tls)
            .tls_options(TlsOptions { accept_invalid_certs: !settings.verify_certificate })
            .pool_size(1)
            .pool_connection_timeout(None)
            .serializer(GraphSON::V3)
            .deserializer(GraphSON::V3);
        if let (Some(user), Some(path)) = (&settings.user, &settings.password_file) {
            // Read each time, so that a new password is found without a restart.
            options = options.credentials(user, &password(path)?);
        }
        let runtime = OwnRuntime::new("the graph").map_err(|error| Failure::Runtime(Box::new(error)))?;
        let client = runtime.wait(GremlinClient::connect(options.build()))?;
        let mut connection = Self { runtime, client, form: Form::Merge };
        connection.form = connection.find_form(settings.upserts, begun, allowance)?;
        Ok(connection)
    }

    /// Also finds out whether the server evaluates traversals at all: it must never be an element's fault if it does not.
    fn find_form(&self, wanted: UpsertForm, begun: Instant, allowance: Duration) -> Result<Form, Failure> {
        let ask = |script: &str| {
            let request = Request { script: script.to_owned(), bindings: None };
            self.run(&request, allowance.saturating_sub(begun.elapsed()))
        };
        if wanted == UpsertForm::Detect {
            match ask(MERGE_PROBE) {
                Ok(_) => return Ok(Form::Merge),
                Err(failure) if failure.is_refusal() => {}
                Err(failure) => return Err(failure),
            }
        }
        match ask(PING) {
            Ok(_) if wanted == UpsertForm::Merge => Ok(Form::Merge),
            Ok(_) => Ok(Form::Coalesce),
            Err(failure) if failure.is_refusal() => Err(Failure::Unfit(Box::new(failure))),
            Err(failure) => Err(failure),
        }
    }

    fn run(&self, request: &Request, allowance: Duration) -> Result<Vec<GValue>, Failure> {
        let (client, Request { script, bindings }) = (self.client.clone(), request.clone());
        let call = async move {
            let bindings: Vec<(&str, &dyn ToGValue)> =
                bindings.iter().map(|rows| ("b", rows as &dyn ToGValue)).collect();
            let mut results = client.execute(script, &bindings).await?;
            let mut values = Vec::new();
            while let Some(value) = results.next().await {
                values.push(value?);
            }
            Ok::<_, Failure>(values)
        };
        match self.runtime.wait(async { tokio::time::timeout(allowance, tokio::spawn(call)).await }) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panicked)) => Err(Failure::Gone),
            Err(_elapsed) => Err(Failure::NoAnswer(allowance)),
        }
    }
}
