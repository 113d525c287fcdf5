//! Strings that are of a form by its RFC, or just not, and what becomes of them by a slip.

use faultline_contracts::document::{Limits, Parser};
use serde_json::{Value, json};

use crate::{compare, departures::Departure, judges::Judged};

/// A format, and a text of lines `+ "of that form"` and `- "not of it"`, as JSON strings.
const FORMATS: [(&str, &str); 9] = [
    ("date-time", include_str!("formats/date-time.txt")),
    ("date", include_str!("formats/date.txt")),
    ("time", include_str!("formats/time.txt")),
    ("email", include_str!("formats/email.txt")),
    ("uuid", include_str!("formats/uuid.txt")),
    ("uri", include_str!("formats/uri.txt")),
    ("hostname", include_str!("formats/hostname.txt")),
    ("ipv4", include_str!("formats/ipv4.txt")),
    ("ipv6", include_str!("formats/ipv6.txt")),
];

/// Each format's strings, and whether its RFC has them.
fn known() -> Vec<(&'static str, Vec<(String, bool)>)> {
    let line = |line: &str| {
        let (mark, text) = line.split_once(' ').unwrap();
        assert!(mark == "+" || mark == "-", "{line}");
        (serde_json::from_str(text).unwrap(), mark == "+")
    };
    let lines = |text: &'static str| text.lines().filter(|line| !line.starts_with('#')).map(line).collect();
    FORMATS.map(|(format, text)| (format, lines(text))).into()
}

/// `text` cut short at each place, and with each character left out, written twice, replaced by another and preceded by
/// another, as JSON.
fn slips(text: &str) -> Vec<String> {
    let others = "0129.:-+/@[]%\"\\ \u{0}aAfFgxzZtTé\u{301}\u{ff11}_~,#?\n";
    let mut slips = vec![text.to_owned(), format!("{text}{text}"), text.to_uppercase(), text.to_lowercase()];
    for (place, character) in text.char_indices() {
        let (before, from) = text.split_at(place);
        let after = &from[character.len_utf8()..];
        slips.extend([
            before.to_owned(),
            from.to_owned(),
            format!("{before}{after}"),
            format!("{before}{character}{from}"),
        ]);
        slips.extend(
            others.chars().flat_map(|other| [format!("{before}{other}{after}"), format!("{before}{other}{from}")]),
        );
    }
    slips.extend(others.chars().map(|other| format!("{text}{other}")));
    slips.into_iter().map(|slip| Value::from(slip).to_string()).collect()
}

/// All days that look like some, in years that tell calendars apart.
fn days() -> Vec<String> {
    let mut days = Vec::new();
    for year in ["0000", "0004", "0100", "1600", "1900", "1970", "2000", "2023", "2024", "2100", "2400", "9999"] {
        for month in 0..=13 {
            days.extend((0..=32).flat_map(|day| {
                let date = format!("{year}-{month:02}-{day:02}");
                [format!("\"{date}\""), format!("\"{date}T23:59:60Z\"")]
            }));
        }
    }
    days
}

/// Times of day at the borders, with leap seconds, under offsets at the borders.
fn clocks() -> Vec<String> {
    let mut clocks = Vec::new();
    for hour in [0, 1, 11, 12, 22, 23, 24] {
        for minute in [0, 1, 29, 30, 58, 59, 60] {
            for second in ["00", "59", "59.9", "60", "60.0", "61"] {
                for offset in [
                    "Z", "+00:00", "-00:00", "+00:01", "-00:01", "+01:00", "-01:00", "+23:59", "-23:59", "+24:00",
                    "-00:60",
                ] {
                    let clock = format!("{hour:02}:{minute:02}:{second}{offset}");
                    clocks.extend([format!("\"{clock}\""), format!("\"2016-12-31T{clock}\"")]);
                }
            }
        }
    }
    clocks
}

#[test]
fn strings_are_of_a_form_as_its_rfc_says() {
    let mut parser = Parser::new(Limits::default());
    for (format, strings) in known() {
        let judged = Judged::new(&json!({"format": format}));
        for (text, expected) in strings {
            let document = Value::from(text).to_string();
            assert_eq!(judged.our_verdict(&mut parser, &document), expected, "{format}: {document}");
        }
    }
}

#[test]
fn strings_are_of_a_form_for_both_or_for_none() {
    for (format, strings) in known() {
        let slips = strings.iter().flat_map(|(text, _)| slips(text));
        let tally = compare(&[json!({"format": format})], slips);
        let departures = match format {
            "email" => {
                vec![Departure::AsksForALabels, Departure::RefusesEscapedBlanks, Departure::TakesNamesForMailboxes]
            }
            "hostname" => vec![Departure::AsksForALabels],
            _ => Vec::new(),
        };
        assert_eq!(tally.departures(), departures, "{format}");
        assert!(tally.valid > 100 && tally.invalid > 1_000, "{format}: {tally:?}");
    }
}

#[test]
fn times_are_on_the_calendar_for_both_or_for_none() {
    let of_time = ["date", "time", "date-time"].map(|format| json!({"format": format}));
    let tally = compare(&of_time, [days(), clocks()].concat());
    assert!(tally.departures.is_empty() && tally.valid > 5_000 && tally.invalid > 5_000, "{tally:?}");
}
