use faultline_contracts::{
    ids::{EntityId, EvidenceId, IncidentId},
    reason::Signature,
    signal::{Signal, SignalKind},
    time::UnixMillis,
    window::Verdicts,
};
use proptest::{option, prelude::*};

use super::*;

const DATASET: &str = "urn:dp:orders:created";
const TEN: UnixMillis = UnixMillis(1_698_400_800_000);
const MONTH: NonZeroU32 = NonZeroU32::new(30).unwrap();

fn breach() -> Signal {
    Signal {
        dataset: DATASET.into(),
        kind: SignalKind::ContractCompliance,
        state: HealthState::Critical,
        verdicts: Verdicts { pass: 127, fail: 1_120, warn: 0 },
        window_start: TEN.plus(-300_000),
        window_end: TEN,
        breach_start: Some(TEN),
        failure_signature: Some("MISSING_FIELD:customer_id".into()),
        first_failure: Some(EvidenceId(7)),
        detected_at: Some(TEN.plus(-60_000)),
    }
}

fn upsert(epoch: u64, signal: &Signal) -> StoreChange {
    StoreChange::Upsert { epoch, item: StoreItem::Signal(signal.clone()) }
}

fn delete(epoch: u64) -> StoreChange {
    StoreChange::Delete { epoch, key: StoreKey::Signal(DATASET.into(), SignalKind::ContractCompliance) }
}

fn item(change: StoreChange) -> Item {
    Put::new(change, MONTH).unwrap().item
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: &str) -> AttributeValue {
    AttributeValue::N(number.to_owned())
}

fn named<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.map(|(name, value)| (name.to_owned(), value)).into()
}

#[test]
fn a_breach_is_the_published_item() {
    let expected = named([
        ("PK", text(DATASET)),
        ("SK", text("contract_compliance")),
        ("state", text("CRITICAL")),
        ("score", number("0.102")),
        ("breach_start", text("2023-10-27T10:00:00.000Z")),
        ("failure_signature", text("MISSING_FIELD:customer_id")),
        ("window_start", text("2023-10-27T09:55:00.000Z")),
        ("window_end", text("2023-10-27T10:00:00.000Z")),
        ("pass", number("127")),
        ("fail", number("1120")),
        ("warn", number("0")),
        ("first_failure", text("evd-00000000000000000000000007")),
        ("detected_at", text("2023-10-27T09:59:00.000Z")),
        ("epoch", number("1698400800123")),
    ]);
    assert_eq!(item(upsert(1_698_400_800_123, &breach())), expected);
}

#[test]
fn what_a_signal_has_not_is_absent() {
    let unjudged = Signal {
        state: HealthState::Unknown,
        verdicts: Verdicts { warn: 3, ..Verdicts::default() },
        breach_start: None,
        failure_signature: None,
        first_failure: None,
        detected_at: None,
        ..breach()
    };
    let stored = item(upsert(1, &unjudged));
    let mut names: Vec<_> = stored.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["PK", "SK", "epoch", "fail", "pass", "state", "warn", "window_end", "window_start"]);
}

#[test]
fn a_retired_signal_is_a_mark_that_expires() {
    let expected = named([
        ("PK", text(DATASET)),
        ("SK", text("contract_compliance")),
        ("state", text("UNKNOWN")),
        ("ttl", number("1700992800")),
        ("epoch", number("1698400800123")),
    ]);
    assert_eq!(item(delete(1_698_400_800_123)), expected, "30 days after 2023-10-27T10:00:00Z");
    assert_eq!(item(delete(u64::MAX)).get("epoch"), Some(&number("18446744073709551615")));
}

#[test]
fn keys_that_dynamodb_does_not_take_are_refused() {
    let of = |dataset: String| Put::new(upsert(1, &Signal { dataset: dataset.into(), ..breach() }), MONTH);
    assert_eq!(of(String::new()).unwrap_err(), Unfit::NoKey);
    assert_eq!(of("é".repeat(1_025)).unwrap_err(), Unfit::LongKey { bytes: 2_050 });
    assert!(of("é".repeat(1_024)).is_ok());
    let incident = StoreChange::Delete { epoch: 1, key: StoreKey::Incident(IncidentId(1)) };
    assert_eq!(Put::new(incident, MONTH).unwrap_err(), Unfit::NoSignal);
}

#[test]
fn a_signature_is_cut_to_what_an_item_holds() {
    let with = |signature: &str| item(upsert(1, &Signal { failure_signature: Some(signature.into()), ..breach() }));
    let whole = "é".repeat(100_000);
    assert_eq!(with(&whole).get("failure_signature"), Some(&text(&whole)));
    let cut = with(&"é".repeat(300_000));
    let Some(AttributeValue::S(signature)) = cut.get("failure_signature") else { panic!("{cut:?}") };
    assert!(signature.ends_with("é…"), "cut between characters, and seen to be cut");
    assert!((LARGEST_ITEM - 2..=LARGEST_ITEM).contains(&size(&cut)), "{} bytes", size(&cut));
    assert_eq!(cut.get("state"), Some(&text("CRITICAL")));
}

#[test]
fn an_item_that_is_too_large_without_its_signature_is_refused() {
    let mut item = named([("failure_signature", text("short")), ("other", text(&"x".repeat(LARGEST_ITEM)))]);
    assert!(matches!(fit(&mut item), Err(Unfit::Large { bytes }) if bytes > LARGEST_ITEM));
    let mut item = named([("other", text(&"x".repeat(LARGEST_ITEM)))]);
    assert!(matches!(fit(&mut item), Err(Unfit::Large { .. })));
}

fn signals() -> impl Strategy<Value = Signal> {
    // The years in which RFC 3339 tells all times apart.
    let time = || (-62_167_219_200_000..253_402_300_800_000_i64).prop_map(UnixMillis);
    let state = prop_oneof![
        Just(HealthState::Ok),
        Just(HealthState::Warning),
        Just(HealthState::Critical),
        Just(HealthState::Unknown)
    ];
    let verdicts = (0..=u64::MAX / 2, 0..=u64::MAX / 2, any::<u64>());
    let breach = (option::of(time()), option::of(".{0,40}"), option::of(any::<u128>()), option::of(time()));
    (".{1,40}", state, verdicts, (time(), time()), breach).prop_map(
        |(
            dataset,
            state,
            (pass, fail, warn),
            (window_start, window_end),
            (breach_start, signature, first, detected_at),
        )| {
            Signal {
                dataset: EntityId::from(dataset),
                kind: SignalKind::ContractCompliance,
                state,
                verdicts: Verdicts { pass, fail, warn },
                window_start,
                window_end,
                breach_start,
                failure_signature: signature.map(|text| Signature::from(text.as_str())),
                first_failure: first.map(EvidenceId),
                detected_at,
            }
        },
    )
}

/// What a reader makes of an item.
fn read(item: &Item) -> (u64, Signal) {
    let text = |name: &str| item.get(name).map(|value| value.as_s().unwrap().as_str());
    let number = |name: &str| item.get(name).unwrap().as_n().unwrap().parse::<u64>().unwrap();
    let time = |name: &str| text(name).map(|text| text.parse::<UnixMillis>().unwrap());
    let signal = Signal {
        dataset: text("PK").unwrap().into(),
        kind: serde_json::from_value(text("SK").unwrap().into()).unwrap(),
        state: serde_json::from_value(text("state").unwrap().into()).unwrap(),
        verdicts: Verdicts { pass: number("pass"), fail: number("fail"), warn: number("warn") },
        window_start: time("window_start").unwrap(),
        window_end: time("window_end").unwrap(),
        breach_start: time("breach_start"),
        failure_signature: text("failure_signature").map(Signature::from),
        first_failure: text("first_failure").map(|text| text.parse().unwrap()),
        detected_at: time("detected_at"),
    };
    let score = item.get("score").map(|score| score.as_n().unwrap().parse::<f64>().unwrap());
    assert_eq!(score, signal.score());
    (number("epoch"), signal)
}

proptest! {
    #[test]
    fn a_signal_is_read_back_as_it_was(signal in signals(), epoch: u64) {
        let stored = item(upsert(epoch, &signal));
        prop_assert!(!stored.contains_key("ttl"));
        prop_assert_eq!(read(&stored), (epoch, signal));
    }

    /// However long the texts: what is written fits, and only the signature is touched.
    #[test]
    fn what_is_written_fits(dataset in 1_usize..3_000, signature in 0_usize..600_000) {
        let signal = Signal {
            dataset: "ü".repeat(dataset).into(), failure_signature: Some("→".repeat(signature / 3).as_str().into()), ..breach()
        };
        match Put::new(upsert(1, &signal), MONTH) {
            Ok(put) => {
                prop_assert!(size(&put.item) <= LARGEST_ITEM);
                let (_, stored) = read(&put.item);
                prop_assert_eq!(Signal { failure_signature: signal.failure_signature.clone(), ..stored }, signal);
            }
            Err(unfit) => prop_assert_eq!(unfit, Unfit::LongKey { bytes: 2 * dataset }),
        }
    }
}
