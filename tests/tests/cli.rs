//! The program as users run it: what it prints, what it writes, and how it ends.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::fs;
use std::path::Path;
use std::process::Output;

use faultline_tests::program::faultline;
use faultline_tests::replaying::{FILES, read_lines};
use faultline_tests::scenario::orders;
use faultline_tests::servers::ports::free_ports;
use serde_json::Value;

const ORDERS: &str = "contracts/examples/orders";
const EXAMPLES: [&str; 4] =
    [ORDERS, "contracts/examples/payments", "contracts/examples/logistics", "contracts/examples/clickstream"];

fn ends(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "\n{out}\n{err}");
    assert!(!err.contains("panicked"), "{err}");
    (out, err)
}

/// Runs it without input.
fn run(args: &[&str], code: i32) -> (String, String) {
    ends(&faultline(args.iter().copied(), b"").unwrap(), code)
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of the orders capture that are orders.
fn captured_orders() -> Vec<String> {
    let text = fs::read_to_string(orders::folder().join("input.jsonl")).unwrap();
    text.lines().filter(|line| line.contains(r#""topic":"raw.orders.events""#)).map(str::to_owned).collect()
}

fn broken_catalog(dir: &Path) {
    fs::create_dir_all(dir.join("schemas/orders.created")).unwrap();
    for file in ["catalog.yaml", "orders.created.odcs.yaml", "schemas/orders.created/17.json"] {
        fs::copy(orders::folder().join(file), dir.join(file)).unwrap();
    }
    let contract = dir.join("orders.created.odcs.yaml");
    let text = fs::read_to_string(&contract).unwrap();
    fs::write(contract, text.replacen("required: true", "required: perhaps", 1)).unwrap();
}

#[test]
fn check_finds_nothing_wrong_with_the_examples() {
    let (out, _) = run(&[&["check"], &EXAMPLES[..]].concat(), 0);
    assert!(out.contains("0 errors, 0 warnings"), "{out}");
}

#[test]
fn check_names_file_and_line_of_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    broken_catalog(dir.path());
    let (out, _) = run(&["check", dir.path().to_str().unwrap()], 1);
    let contract = fs::read_to_string(dir.path().join("orders.created.odcs.yaml")).unwrap();
    let line = 1 + contract.lines().position(|line| line.contains("perhaps")).unwrap();
    assert!(out.contains(&format!("orders.created.odcs.yaml:{line}:")), "line {line} is not named:\n{out}");
    assert!(out.contains("error"), "{out}");

    let (_, err) = run(&["check", "no/such/folder"], 2);
    assert!(err.contains("no/such/folder"), "{err}");
}

#[test]
fn validate_gives_evidence_line_by_line() {
    let lines = captured_orders();
    let input = lines.join("\n");
    let output = faultline(["validate", "--catalog", ORDERS], input.as_bytes()).unwrap();
    let (out, _) = ends(&output, 1);
    let evidence = json_lines(&out);
    assert_eq!(evidence.len(), lines.len());
    let of = |result: &str| evidence.iter().filter(|line| line["validation"]["result"] == result).count();
    assert_eq!((of("PASS"), of("FAIL")), (730, 1_120));

    let dir = tempfile::tempdir().unwrap();
    let passing: Vec<_> =
        lines.iter().zip(&evidence).filter(|(_, evidence)| evidence["validation"]["result"] == "PASS").collect();
    let capture = dir.path().join("passing.jsonl");
    fs::write(&capture, passing.iter().map(|(line, _)| format!("{line}\n")).collect::<String>()).unwrap();
    let (out, err) = run(&["validate", "--catalog", ORDERS, capture.to_str().unwrap()], 0);
    let again = json_lines(&out);
    assert_eq!((again.len(), err.as_str()), (730, ""));
    assert!(again.iter().zip(&passing).all(|(again, (_, once))| again["evidence_id"] == once["evidence_id"]));
}

#[test]
fn validate_takes_bare_payloads_of_a_dataset() {
    let input = concat!(
        r#"{"order_id":"O-1","customer_id":"C-1","total_amount":9.5,"currency":"EUR","items":[]}"#,
        "\n\n",
        r#"{"order_id":"O-2","total_amount":9.5,"currency":"EUR","items":[]}"#,
        "\nno json\n",
    );
    let args = ["validate", "--catalog", ORDERS, "--dataset", "urn:dp:orders:created"];
    let (out, _) = ends(&faultline(args, input.as_bytes()).unwrap(), 1);
    let evidence = json_lines(&out);
    let found: Vec<_> = evidence
        .iter()
        .map(|line| (line["source"]["offset"].as_i64().unwrap(), line["validation"]["reason_codes"].to_string()))
        .collect();
    let reasons = ["[]", r#"["MISSING_FIELD:customer_id"]"#, r#"["UNPARSEABLE"]"#].map(str::to_owned);
    assert_eq!(found, [1, 3, 4].into_iter().zip(reasons).collect::<Vec<_>>(), "offset = line");
    assert!(evidence.iter().all(|line| line["source"]["topic"] == "stdin" && line["source"]["partition"] == 0));

    let args = ["validate", "--catalog", ORDERS, "--dataset", "urn:dp:no:such"];
    let (_, err) = ends(&faultline(args, b"").unwrap(), 2);
    assert!(err.contains("urn:dp:no:such") && err.contains("urn:dp:orders:created"), "{err}");
}

#[test]
fn validate_names_lines_that_are_no_records_and_goes_on() {
    let orders = captured_orders();
    let input = format!("{}\n% kcat says something\n{}\n", orders[0], orders[1]);
    let (out, err) = ends(&faultline(["validate", "--catalog", ORDERS], input.as_bytes()).unwrap(), 1);
    assert_eq!(json_lines(&out).len(), 2);
    assert!(err.contains("line 2"), "{err}");
}

#[test]
fn replay_writes_its_files_and_tells_what_it_could_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = captured_orders();
    lines.truncate(400);
    lines.insert(7, "no record".to_owned());
    let capture = dir.path().join("capture.jsonl");
    fs::write(&capture, lines.join("\n")).unwrap();
    let out_dir = dir.path().join("some/where");
    let (capture, out_dir) = (capture.to_str().unwrap(), out_dir.to_str().unwrap());
    let args = ["replay", "--catalog", ORDERS, "--input", capture, "--workers", "2", "--out", out_dir];
    let (out, err) = run(&args, 0);
    assert!(err.contains("capture.jsonl:8:"), "{err}");
    assert!(out.contains("400 records"), "{out}");
    for file in FILES {
        let lines = read_lines(&Path::new(out_dir).join(file)).unwrap();
        assert!(!lines.is_empty() || matches!(file, "incidents.jsonl" | "explanations.jsonl"), "{file}");
    }
    assert_eq!(read_lines(&Path::new(out_dir).join("evidence.jsonl")).unwrap().len(), 400);
}

#[test]
fn replay_needs_its_files() {
    let input = format!("{ORDERS}/input.jsonl");
    for (args, said) in [
        (["replay", "--catalog", ORDERS, "--input", "no/such/capture.jsonl"], "no/such/capture.jsonl"),
        (["replay", "--catalog", "no/such/catalog", "--input", &input], "no/such/catalog"),
    ] {
        let (_, err) = run(&args, 2);
        assert!(err.contains(said), "{err}");
    }
}

#[test]
fn demo_tells_the_story() {
    let (out, _) = run(&["demo"], 0);
    for figure in [
        "1247 records",
        "10.2 %",
        "127 pass",
        "1120 fail",
        "MISSING_FIELD:customer_id",
        "SEV-1",
        "Contract Violation - orders:created",
        "v3.17",
        "Roll back orders-svc to v3.16",
        "17 seconds",
        "ab91f",
        "TRIGGERED",
    ] {
        assert!(out.contains(figure), "{figure} is not told:\n{out}");
    }
}

#[test]
fn usage_errors_are_told_from_others() {
    for args in [
        &["no-such-command"][..],
        &["replay"],
        &["replay", "--catalog", ORDERS, "--input", "x", "--workers", "many"],
        &["validate"],
        &["demo", "--log", "a=b=c"],
        &["run", "--config", "no/such/faultline.yaml"],
    ] {
        let (_, err) = run(args, 2);
        assert!(err.contains("error"), "{args:?}: {err}");
    }
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("faultline.yaml");
    fs::write(&config, format!("catalog: {}\nworkerz: 2\n", orders::folder().display())).unwrap();
    let (_, err) = run(&["run", "--config", config.to_str().unwrap()], 2);
    assert!(err.contains("workerz"), "{err}");
    fs::write(&config, format!("catalog: {}\n", orders::folder().display())).unwrap();
    let (_, err) = run(&["run", "--config", config.to_str().unwrap()], 2);
    assert!(err.contains("kafka"), "it says what to set: {err}");
}

#[test]
fn questions_to_nobody_end_as_unreachable() {
    let [port] = free_ports().unwrap();
    let server = format!("http://127.0.0.1:{port}");
    for command in [&["get", "incidents"][..], &["explain", "INC-00000000"], &["get", "status"]] {
        let args = [command, &["--server", &server]].concat();
        let (_, err) = run(&args, 3);
        assert!(err.contains(&server), "{err}");
    }
}

#[test]
fn brokers_that_do_not_answer_end_as_unreachable() {
    let [kafka, grpc, metrics] = free_ports().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("faultline.yaml");
    let text = format!(
        "catalog: {}\nkafka: {{bootstrap: \"127.0.0.1:{kafka}\"}}\n\
         serve: {{grpc: \"127.0.0.1:{grpc}\", metrics: \"127.0.0.1:{metrics}\"}}\n",
        orders::folder().display()
    );
    fs::write(&config, text).unwrap();
    let (_, err) = run(&["run", "--config", config.to_str().unwrap()], 3);
    assert!(err.contains(&format!("127.0.0.1:{kafka}")), "{err}");
}
