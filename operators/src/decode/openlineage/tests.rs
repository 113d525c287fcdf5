use serde_json::{Value, json};

use super::*;
use crate::decode::fixtures::{AIRFLOW_TASK_COMPLETE, SPARK_COMPLETE, shop, with};

fn decoded(payload: &str) -> Decoded {
    decode(payload.as_bytes(), &shop(), Limits::default()).unwrap()
}

fn event(payload: &str) -> LineageEvent {
    let Decoded { event, omitted } = decoded(payload);
    assert_eq!(omitted, Omitted::default());
    event.unwrap()
}

fn run(payload: &str) -> RunObservation {
    event(payload).run.unwrap()
}

fn ids(names: &[&str]) -> Vec<EntityId> {
    names.iter().map(|&name| name.into()).collect()
}

/// A job event with these inputs and outputs.
fn job_event(inputs: Value, outputs: Value) -> Value {
    json!({"eventTime": "2023-10-27T09:58:00Z", "job": {"namespace": "ns", "name": "j"}, "inputs": inputs, "outputs": outputs})
}

#[test]
fn a_task_of_airflow() {
    let expected = LineageEvent {
        job: "job:airflow/orders_daily.agg".into(),
        at: "2023-10-27T09:58:14.512Z".parse().unwrap(),
        run: Some(RunObservation {
            id: "018b7084-5f20-7c3e-a1d2-0c6c5a9d3b11".into(),
            state: RunState::Complete,
            dag_run_id: Some("scheduled__2023-10-27T00:00:00+00:00".into()),
            parent_job: Some("job:airflow/orders_daily".into()),
            streaming: false,
            error: None,
        }),
        inputs: ids(&["postgres://db.prod.example:5432/crm.public.customers", "urn:dp:orders:created"]),
        outputs: ids(&["delta:orders_gold_daily"]),
        columns: vec![],
    };
    assert_eq!(event(AIRFLOW_TASK_COMPLETE), expected);
}

#[test]
fn a_job_of_spark_with_symlinks_columns_and_a_broken_broker() {
    let spark = event(SPARK_COMPLETE);
    let observed = spark.run.unwrap();
    assert_eq!(observed.dag_run_id.as_deref(), Some("scheduled__2023-10-27T00:00:00+00:00"), "forwarded by the parent");
    assert_eq!(observed.parent_job, Some("job:airflow/orders_daily.agg".into()));
    assert_eq!(spark.inputs, ids(&["delta:orders_silver", "urn:dp:orders:created"]));
    assert_eq!(spark.outputs, ids(&["delta:orders_gold_daily"]));
    let columns: Vec<_> = spark
        .columns
        .iter()
        .map(|c| (c.output.as_str(), &*c.output_field, c.input.as_str(), &*c.input_field))
        .collect();
    let gold = "delta:orders_gold_daily";
    assert_eq!(
        columns,
        [
            (gold, "day", "delta:orders_silver", "created_at"),
            (gold, "revenue", "delta:orders_silver", "amount"),
            (gold, "revenue", "urn:dp:orders:created", "total_amount"),
        ]
    );
}

#[test]
fn run_ids_of_dags_are_found_where_airflow_puts_them() {
    let dag = with(AIRFLOW_TASK_COMPLETE, "\"airflow\": {", "\"airflowDagRun\": {");
    assert_eq!(run(&dag).dag_run_id.as_deref(), Some("scheduled__2023-10-27T00:00:00+00:00"));
    let none = with(AIRFLOW_TASK_COMPLETE, "\"airflow\": {", "\"other\": {");
    assert_eq!(run(&none).dag_run_id, None);
    let legacy = with(AIRFLOW_TASK_COMPLETE, "\"parent\": {", "\"parentRun\": {");
    assert_eq!(run(&legacy).parent_job, Some("job:airflow/orders_daily".into()));
}

#[test]
fn facets_in_an_unknown_form_do_not_cost_the_event() {
    let mut odd: Value = serde_json::from_str(AIRFLOW_TASK_COMPLETE).unwrap();
    odd["run"]["facets"] = json!({"airflow": "DagRun(orders)", "parent": [], "errorMessage": {"message": 5}});
    odd["job"]["facets"] = json!("none");
    odd["outputs"][0]["facets"] = json!({"columnLineage": {"_deleted": true}, "symlinks": {"identifiers": {}}});
    let observed = run(&odd.to_string());
    assert_eq!((observed.dag_run_id, observed.parent_job, observed.error), (None, None, None));
}

#[test]
fn states_are_read_and_unknown_ones_are_other() {
    for (name, state) in [
        ("START", RunState::Start),
        ("RUNNING", RunState::Running),
        ("FAIL", RunState::Fail),
        ("ABORT", RunState::Abort),
        ("OTHER", RunState::Other),
        ("complete", RunState::Complete),
        ("PAUSED", RunState::Other),
    ] {
        assert_eq!(run(&with(AIRFLOW_TASK_COMPLETE, "COMPLETE", name)).state, state, "{name}");
    }
    let absent = with(AIRFLOW_TASK_COMPLETE, "\"eventType\"", "\"_eventType\"");
    assert_eq!(run(&absent).state, RunState::Other);
}

#[test]
fn a_failed_streaming_run_says_why_in_one_bounded_line() {
    let mut failed: Value = serde_json::from_str(SPARK_COMPLETE).unwrap();
    failed["job"]["facets"]["jobType"]["processingType"] = json!("STREAMING");
    let message = format!("\n  org.apache.spark.SparkException: {}\n\tat Foo.java:1", "é".repeat(400));
    failed["run"]["facets"]["errorMessage"] = json!({"message": message, "programmingLanguage": "JAVA"});
    let observed = run(&failed.to_string());
    assert!(observed.streaming);
    let error = observed.error.unwrap();
    assert!(error.starts_with("org.apache.spark.SparkException: é") && error.ends_with('é'), "{error}");
    assert!((MAX_ERROR_BYTES - 1..=MAX_ERROR_BYTES).contains(&error.len()), "{}", error.len());
}

#[test]
fn the_body_tells_the_kinds_of_events_apart() {
    let mut job: Value = serde_json::from_str(AIRFLOW_TASK_COMPLETE).unwrap();
    job.as_object_mut().unwrap().remove("run");
    let job = event(&job.to_string());
    assert_eq!(job.run, None);
    assert_eq!(job.outputs, ids(&["delta:orders_gold_daily"]));

    let dataset = json!({"eventTime": "2023-10-27T09:58:00Z", "dataset": {"namespace": "s3://lake", "name": "x"}});
    assert_eq!(decoded(&dataset.to_string()), Decoded::default());
}

#[test]
fn what_is_no_event_is_refused_with_a_reason() {
    for (payload, reason) in [
        ("", "not a JSON document"),
        ("{}", "job is missing"),
        ("[{}]", "job is missing"),
        (r#"{"run":{"runId":"r"},"dataset":{}}"#, "job is missing"),
        (r#"{"job":{"namespace":"a","name":"b"}}"#, "eventTime is missing"),
        (r#"{"job":{"name":"b"},"eventTime":"2023-10-27T09:58:00Z"}"#, "job.namespace is missing"),
        (r#"{"job":{"namespace":"a","name":""},"eventTime":"2023-10-27T09:58:00Z"}"#, "job.name cannot be used"),
        (r#"{"job":{"namespace":"a","name":"b"},"run":{},"eventTime":"2023-10-27T09:58:00Z"}"#, "run.runId is missing"),
    ] {
        let error = decode(payload.as_bytes(), &shop(), Limits::default()).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{payload}: {error}");
    }
}

#[test]
fn topics_are_known_whatever_the_broker_is_called() {
    let namespaces =
        ["kafka://null:-1", "kafka://b-2:9092", "SASL_SSL://b-1.example:9096", "Kafka://b", "plaintext://b:1"];
    for namespace in namespaces {
        let topic = json!([{"namespace": namespace, "name": "raw.orders.events"}]);
        assert_eq!(
            event(&job_event(topic, json!([])).to_string()).inputs,
            ids(&["urn:dp:orders:created"]),
            "{namespace}"
        );
    }
    let elsewhere = json!([
        {"namespace": "s3://lake", "name": "raw.orders.events"},
        {"namespace": "kafka", "name": "raw.orders.events"},
        {"namespace": "kafka://b:9092", "name": "unknown"},
    ]);
    let inputs = event(&job_event(elsewhere, json!(null)).to_string()).inputs;
    assert_eq!(inputs, ids(&["kafka/raw.orders.events", "kafka://b:9092/unknown", "s3://lake/raw.orders.events"]));
}

#[test]
fn a_dataset_is_the_same_with_its_symlinks_and_without() {
    let symlinks = json!({"symlinks": {"identifiers": [
        {"namespace": "hive://unknown", "name": "orders"},
        {"namespace": "arn:aws:glue:eu-west-1:123456789012", "name": "table/silver/orders"},
    ]}});
    let plain = json!([{"namespace": "s3://lake", "name": "silver/o"}]);
    let linked = json!([{"namespace": "s3://lake", "name": "silver/o", "facets": symlinks}]);
    let both = event(&job_event(plain, linked).to_string());
    assert_eq!(both.inputs, ids(&["delta:orders_silver"]), "a job may read what it writes");
    assert_eq!(both.outputs, both.inputs);

    // A dataset that the catalog knows by its own name keeps it.
    let known = json!([{"namespace": "s3://lake", "name": "gold/orders_daily", "facets": symlinks}]);
    assert_eq!(event(&job_event(known, json!([])).to_string()).inputs, ids(&["delta:orders_gold_daily"]));
}

#[test]
fn lists_are_limited_and_the_rest_is_counted() {
    let datasets = |prefix: &str| -> Vec<Value> {
        (0..5).chain(0..5).map(|n| json!({"namespace": "n", "name": format!("{prefix}{n}")})).collect()
    };
    let mut outputs = datasets("out");
    for output in &mut outputs {
        let sources: Vec<_> =
            (0..3).map(|n| json!({"namespace": "n", "name": "in0", "field": format!("f{n}")})).collect();
        output["facets"] = json!({"columnLineage": {"fields": {"x": {"inputFields": sources}}}});
    }
    let payload = job_event(json!(datasets("in")), json!(outputs)).to_string();
    let limits = Limits { inputs: 3, outputs: 2, columns: 4 };
    let Decoded { event, omitted } = decode(payload.as_bytes(), &shop(), limits).unwrap();
    let event = event.unwrap();
    assert_eq!(event.inputs, ids(&["n/in0", "n/in1", "n/in2"]));
    assert_eq!(event.outputs, ids(&["n/out0", "n/out1"]));
    assert_eq!(event.columns.len(), 4);
    // Each list names everything twice: two inputs, three outputs and two columns are beyond the limits each time.
    assert_eq!(omitted, Omitted { inputs: 4, outputs: 6, columns: 4, malformed: 0 });
}

#[test]
fn datasets_without_a_name_are_counted() {
    let inputs = json!([{"namespace": "n"}, {"name": "x"}, 7, {"namespace": "n", "name": "x".repeat(5_000)}]);
    let fields =
        json!({"columnLineage": {"fields": {"a": {"inputFields": [{"namespace": "n"}]}, "b": {"inputFields": 1}}}});
    let outputs = json!([{"namespace": "n", "name": "out", "facets": fields}]);
    let Decoded { event, omitted } = decoded(&job_event(inputs, outputs).to_string());
    assert_eq!(event.unwrap().inputs, ids(&[]));
    assert_eq!(omitted, Omitted { malformed: 6, ..Omitted::default() });
}
