//! Servers end when they must, and not before.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use faultline_tests::servers::grpcurl;
use faultline_tests::servers::ports::free_ports;
use faultline_tests::servers::process::ServerProcess;

/// Set where a test is to play a test process that is lost; names the file for its server's pid.
const LOST: &str = "FAULTLINE_TESTS_LOST";

fn sleeping_server(dir: &Path) -> ServerProcess {
    ServerProcess::start("sleep", Command::new("sleep").arg("600"), &dir.join("log")).unwrap()
}

/// A process that has ended may stay as a zombie where nobody reaps orphans.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

#[test]
fn a_server_ends_with_its_test_process_however_that_ends() {
    if let Some(pid_file) = std::env::var_os(LOST) {
        let server = sleeping_server(Path::new(&pid_file).parent().unwrap());
        // Until `setpriv` has become the server, the signal may not be set, and nothing would tell it of this end.
        let name = format!("/proc/{}/comm", server.pid());
        while fs::read_to_string(&name).is_ok_and(|name| name.trim() != "sleep") {
            std::thread::sleep(Duration::from_millis(1));
        }
        fs::write(&pid_file, server.pid().to_string()).unwrap();
        std::process::abort();
    }
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let lost = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_server_ends_with_its_test_process_however_that_ends"])
        .env(LOST, &pid_file)
        .output()
        .unwrap();
    assert!(!lost.status.success());
    let pid: u32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    let begin = Instant::now();
    while is_running(pid) {
        assert!(begin.elapsed() < Duration::from_secs(10), "server {pid} outlives its test process");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_outlives_the_thread_that_asked_for_it_and_ends_when_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let server = std::thread::scope(|threads| threads.spawn(|| sleeping_server(dir.path())).join().unwrap());
    // Time for a signal that would be sent at the end of that thread.
    std::thread::sleep(Duration::from_millis(200));
    let pid = server.pid();
    assert!(is_running(pid));
    drop(server);
    assert!(!is_running(pid));
}

#[test]
fn a_server_that_does_not_start_is_reported_with_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut broken = Command::new("sh");
    broken.args(["-c", "echo port is taken; exit 3"]);
    let server = ServerProcess::start("broken", &broken, &log).unwrap();
    let error = server.wait_until_ready(Duration::from_secs(10), || Err("refused".to_owned())).unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("port is taken"), "{error}");

    let mute = sleeping_server(dir.path());
    let error = mute.wait_until_ready(Duration::from_millis(1), || Err("refused".to_owned())).unwrap_err().to_string();
    assert!(error.contains("does not answer") && error.contains("refused"), "{error}");
}

#[test]
fn grpcurl_says_that_nobody_listens() {
    let [port] = free_ports().unwrap();
    let output = grpcurl(["-plaintext", "-connect-timeout", "2", &format!("127.0.0.1:{port}"), "list"]).unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("connection refused"), "{said}");
}
