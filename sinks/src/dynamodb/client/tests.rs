//! The real client against a server that answers as it is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use faultline_contracts::signal::SignalKind;

use super::*;
use crate::{runtime::OwnRuntime, store::StoreKey};

/// What is answered to a request: a status and a body; `None` closes the connection without a word.
type Answer = Option<(u16, &'static str)>;

/// Answers every request the same. Ends with the test process.
fn server(answer: Answer) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, answer, &seen);
        }
    });
    (endpoint, requests)
}

/// One request a connection.
fn serve(stream: TcpStream, answer: Answer, seen: &Mutex<Vec<String>>) {
    let (mut length, mut reader) = (0, BufReader::new(stream));
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    seen.lock().unwrap().push(String::from_utf8(body).unwrap());
    if let Some((status, body)) = answer {
        let mut stream = reader.into_inner();
        let head =
            format!("HTTP/1.1 {status} Said\r\nContent-Type: application/x-amz-json-1.0\r\nConnection: close\r\n");
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    }
}

fn settings(endpoint: String) -> DynamoSettings {
    DynamoSettings { endpoint: Some(endpoint), credentials: CredentialsFrom::Local, ..DynamoSettings::default() }
}

fn put_once(endpoint: String) -> Result<Stored, Failure> {
    let runtime = OwnRuntime::new("a test").unwrap();
    let client = runtime.wait(Client::open(&settings(endpoint))).unwrap();
    let key = StoreKey::Signal("urn:dp:orders:created".into(), SignalKind::ContractCompliance);
    let put = Put::new(StoreChange::Delete { epoch: 5, key }, NonZeroU32::MIN).unwrap();
    runtime.wait(client.put(&put, Duration::from_secs(10)))
}

#[test]
fn answers_are_told_apart() {
    use DynamoFailure::*;
    for (answer, expected) in [
        (
            Some((400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no"}"#)),
            NoTable,
        ),
        (Some((400, r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}"#)), Denied),
        (
            Some((400, r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"no"}"#)),
            Credentials,
        ),
        (Some((400, r#"{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"no"}"#)), Credentials),
        (Some((400, r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no"}"#)), Rejected),
        (
            Some((400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}"#)),
            Throttled,
        ),
        (Some((400, r#"{"__type":"com.amazon.coral.availability#ThrottlingException","message":"no"}"#)), Throttled),
        (
            Some((500, r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"no"}"#)),
            Unavailable,
        ),
        (Some((503, "<html>Service Unavailable</html>")), Unavailable),
        (Some((403, "<html>a proxy</html>")), Denied),
        (Some((200, "<html>another service</html>")), Unavailable),
        (None, Unavailable),
    ] {
        let (endpoint, _) = server(answer);
        let failure = put_once(endpoint).unwrap_err();
        assert_eq!(failure.kind, expected, "{answer:?}: {:?}", failure.source);
    }
}

#[test]
fn a_condition_that_does_not_hold_is_no_failure() {
    let stale = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"no"}"#;
    assert_eq!(put_once(server(Some((400, stale))).0).unwrap(), Stored::Stale);
    assert_eq!(put_once(server(Some((200, "{}"))).0).unwrap(), Stored::Written { replaced: false });
    let replaced = r#"{"Attributes":{"PK":{"S":"urn:dp:orders:created"}}}"#;
    assert_eq!(put_once(server(Some((200, replaced))).0).unwrap(), Stored::Written { replaced: true });
}

#[test]
fn a_write_is_one_request_with_its_condition() {
    let (endpoint, requests) = server(Some((500, "{}")));
    put_once(endpoint).unwrap_err();
    let requests = requests.lock().unwrap();
    let [request] = requests.as_slice() else { panic!("the SDK repeats by itself: {requests:?}") };
    let request: serde_json::Value = serde_json::from_str(request).unwrap();
    assert_eq!(
        request,
        serde_json::json!({
            "TableName": "signal_state",
            "Item": {
                "PK": {"S": "urn:dp:orders:created"}, "SK": {"S": "contract_compliance"}, "state": {"S": "UNKNOWN"},
                "epoch": {"N": "5"}, "ttl": {"N": "86400"},
            },
            "ConditionExpression": "attribute_not_exists(#epoch) OR #epoch <= :epoch",
            "ExpressionAttributeNames": {"#epoch": "epoch"},
            "ExpressionAttributeValues": {":epoch": {"N": "5"}},
            "ReturnValues": "ALL_OLD",
        })
    );
}

/// Set where a test runs itself again in an environment without any trace of AWS.
const BARE: &str = "FAULTLINE_TESTS_BARE";

#[test]
fn no_region_and_no_credentials_are_said_at_once() {
    if std::env::var_os(BARE).is_some() {
        let runtime = OwnRuntime::new("a test").unwrap();
        let failure = |settings: &DynamoSettings| match runtime.wait(Client::open(settings)).err() {
            Some(SinkError::DynamoDb { failure, .. }) => Some(failure),
            other => panic!("{other:?}"),
        };
        assert_eq!(failure(&DynamoSettings::default()), Some(DynamoFailure::NoRegion));
        let settings = DynamoSettings { region: Some("eu-west-1".to_owned()), ..DynamoSettings::default() };
        assert_eq!(failure(&settings), Some(DynamoFailure::Credentials));
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "dynamodb::client::tests::no_region_and_no_credentials_are_said_at_once"])
        .env_clear()
        .envs([(BARE, "1"), ("AWS_EC2_METADATA_DISABLED", "true")])
        .env("HOME", home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn nobody_answers_or_nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let runtime = OwnRuntime::new("a test").unwrap();
    let client = runtime.wait(Client::open(&settings(endpoint.clone()))).unwrap();
    let failure = runtime.wait(client.probe(Duration::from_millis(50))).unwrap_err();
    assert_eq!(
        (failure.kind, failure.source.to_string().as_str()),
        (DynamoFailure::Unavailable, "no answer within 50 ms")
    );
    drop(listener);
    let error = client.error("read", runtime.wait(client.probe(Duration::from_secs(10))).unwrap_err());
    assert!(error.is_transient(), "{error:?}");
    let expected =
        format!("cannot read the DynamoDB table signal_state at {endpoint}: it does not answer as it should");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_request_is_repeated_within_its_budget_and_only_for_what_passes() {
    let runtime = OwnRuntime::new("a test").unwrap();
    let retry =
        RetrySettings { first_pause_ms: 1, longest_pause_ms: 2, attempt_timeout_ms: 1_000, total_timeout_ms: 60_000 };
    let run = |failures: Vec<DynamoFailure>, retry: RetrySettings| {
        let (failures, asked) = (std::cell::RefCell::new(failures.into_iter()), std::cell::Cell::new(0));
        let answer = runtime.wait(repeat(&retry, &mut Jitter::seeded(1), async || {
            asked.set(asked.get() + 1);
            failures.borrow_mut().next().map_or(Ok(()), |kind| Err(Failure::new(kind, "as told")))
        }));
        (asked.get(), answer.err().map(|failure| failure.kind))
    };
    use DynamoFailure::*;
    assert_eq!(run(vec![Unavailable, Throttled, Unavailable], retry), (4, None));
    assert_eq!(run(vec![Unavailable, Denied, Unavailable], retry), (2, Some(Denied)));
    let none = RetrySettings { total_timeout_ms: 0, ..retry };
    assert_eq!(run(vec![], none), (0, Some(Unavailable)));
    let brief = RetrySettings { first_pause_ms: 2_000, longest_pause_ms: 2_000, total_timeout_ms: 200, ..retry };
    let (asked, failure) = run(vec![Throttled; 10_000], brief);
    assert!(asked < 10_000 && failure == Some(Throttled), "{asked} requests");
}
