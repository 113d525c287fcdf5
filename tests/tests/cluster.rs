//! Several processes as one: the same answers everywhere, the same end as one process, and what becomes of all when one is
//! gone.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use faultline_proto::v1::ListIncidentsRequest;
use faultline_tests::place::{DATA, Place, snapshots_kept, wait_until};
use faultline_tests::scenario::orders;
use faultline_tests::servers::process::freeze;
use faultline_tests::service::Service;

/// What a process ends with that has lost another.
const PEER_LOST: Option<i32> = Some(75);
/// Over how long the incident's records are published.
const LOAD: Duration = Duration::from_secs(6);
/// Machines that run tests are busy: these are bounds that only a defect breaks. What it took is printed.
const LOST_WITHIN: Duration = Duration::from_secs(5);
const SILENT_WITHIN: Duration = Duration::from_secs(30);

/// The ids of the incidents that a process knows.
fn incidents(service: &Service) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = service.client().await.unwrap();
        let answer = client.list_incidents(ListIncidentsRequest::default()).await.unwrap().into_inner();
        answer.incidents.into_iter().map(|incident| incident.id).collect()
    })
}

/// How long it takes a process to end by itself, and with what.
fn ends(service: &Service, within: Duration) -> (Duration, Option<i32>) {
    let begin = Instant::now();
    loop {
        if let Some(status) = service.ended() {
            assert_eq!(status.signal(), None, "{}", service.log_tail());
            return (begin.elapsed(), status.code());
        }
        assert!(begin.elapsed() < within, "it goes on: {}", service.log_tail());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_cluster_answers_alike_everywhere_and_goes_on_after_the_loss_of_a_process() {
    let envelopes = &orders::capture().unwrap();
    let offered = envelopes.iter().filter(|envelope| envelope.topic == DATA).count();
    let undisturbed = Place::new();
    let service = undisturbed.serve(2);
    undisturbed.kafka.publisher().publish_over(envelopes, LOAD / 4).unwrap();
    let expected = undisturbed.settled(None);
    drop(service);

    let place = Place::new();
    let publisher = place.kafka.publisher();
    std::thread::scope(|threads| {
        let load = threads.spawn(|| publisher.publish_over(envelopes, LOAD).unwrap());
        let cluster = place.serve_cluster::<2>(2);
        wait_until("a snapshot is kept under load", &cluster[0], || snapshots_kept(&cluster[0]) >= 2);
        // One is killed: the other says so, and ends at once.
        let [first, second] = <[Service; 2]>::try_from(cluster).unwrap();
        drop(second);
        let (took, code) = ends(&first, LOST_WITHIN);
        println!("a killed peer is noticed after {took:?}");
        assert_eq!(code, PEER_LOST, "{}", first.log_tail());
        assert!(first.log_tail().contains("another process of the cluster is gone"), "{}", first.log_tail());

        // All are started again, with more processes and another number of workers.
        let cluster = place.serve_cluster::<3>(1);
        load.join().unwrap();
        wait_until("all evidence is there", &cluster[0], || place.evidence().1 >= offered);
        let contents = place.settled(Some(&expected));
        expected.assert_same(&contents, "a cluster that lost a process");
        let known: Vec<_> = cluster.iter().map(incidents).collect();
        assert_eq!(known[0].len(), 1);
        assert!(known.iter().all(|of_process| *of_process == known[0]), "{known:?}");

        // Whichever is told to stop, all stop in good order.
        let begin = Instant::now();
        assert_eq!(cluster[2].terminate().unwrap().code(), Some(0), "{}", cluster[2].log_tail());
        for service in &cluster[..2] {
            assert_eq!(ends(service, SILENT_WITHIN).1, Some(0), "{}", service.log_tail());
        }
        println!("a stop in good order took {:?}", begin.elapsed());
    });
    let (all, different) = place.evidence();
    println!("offered {offered}, evidence {different}, duplicates {}, lost {}", all - different, offered - different);

    // One process goes on where three stopped: nothing is read twice.
    let service = place.serve(2);
    wait_until("a snapshot is kept", &service, || snapshots_kept(&service) >= 2);
    assert_eq!(place.evidence(), (all, different));
    expected.assert_same(&place.settled(Some(&expected)), "one process after three");
}

#[test]
fn a_peer_that_does_nothing_is_noticed() {
    let place = Place::new();
    let cluster = place.serve_cluster::<2>(1);
    wait_until("a snapshot is kept", &cluster[0], || snapshots_kept(&cluster[0]) >= 1);
    freeze(cluster[1].pid()).unwrap();
    let (took, code) = ends(&cluster[0], SILENT_WITHIN);
    println!("a frozen peer is noticed after {took:?}");
    assert_eq!(code, PEER_LOST, "{}", cluster[0].log_tail());
}

#[test]
fn a_peer_may_be_late_and_one_that_is_configured_otherwise_is_refused_by_name() {
    let place = Place::new();
    let hosts = place.hosts::<2>();
    let first = place.serve_process(&hosts, 0, 1, "");
    wait_until("it is told who is waited for", &first, || first.log_tail().contains("waiting for another process"));
    let second = place.serve_process(&hosts, 1, 1, "tick_ms: 30\n");
    for (service, other) in [(&first, "process 1"), (&second, "process 0")] {
        let (_, code) = ends(service, SILENT_WITHIN);
        assert_eq!(code, Some(2), "{}", service.log_tail());
        let log = service.log_tail();
        assert!(log.contains(other) && log.contains("its configuration is"), "{log}");
    }
}

#[test]
fn supervisors_bring_a_cluster_back_and_it_answers_anew() {
    let place = Place::new();
    let hosts = place.hosts::<2>();
    let cluster: Vec<_> = (0..2).map(|process| place.supervise_process(&hosts, process, 1)).collect();
    cluster.iter().for_each(|service| service.wait_until_ready().unwrap());
    wait_until("a snapshot is kept", &cluster[0], || snapshots_kept(&cluster[0]) >= 1);
    let closed = |service: &Service| {
        let text = service.get("/metrics").unwrap_or_default();
        let epoch = text.lines().find_map(|line| line.strip_prefix("faultline_epoch_milliseconds "));
        epoch.and_then(|epoch| epoch.parse::<u64>().ok()).unwrap_or(0)
    };
    // The process behind a supervisor, by its parent.
    let child = |service: &Service| {
        let children = format!("/proc/{0}/task/{0}/children", service.pid());
        std::fs::read_to_string(children).unwrap().trim().to_owned()
    };
    let (killed, other) = (child(&cluster[1]), child(&cluster[0]));
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    assert!(std::process::Command::new("kill").args(["-9", &killed]).status().unwrap().success());
    let begin = Instant::now();
    for service in &cluster {
        wait_until("an epoch after the kill is closed", service, || closed(service) > before + 200);
    }
    println!("after a kill, answers are fresh in all processes after {:?}", begin.elapsed());
    assert_ne!(child(&cluster[1]), killed);
    assert_ne!(child(&cluster[0]), other, "the one that lost it was started again too");
    for service in &cluster {
        assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
    }
}
