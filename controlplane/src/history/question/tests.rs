use super::*;

/// 2026-11-21T10:34:47Z
const NOW: u64 = 1_795_257_287;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

fn keep() -> Keep {
    let days = |days: u64| Duration::from_secs(days * DAY);
    Keep { minutes: days(2), hours: days(90), days: days(730) }
}

fn read(written: Written<'_>) -> Result<Question, Misasked> {
    Question::read(&written, NOW, &keep())
}

#[test]
fn by_default_it_is_the_total_of_the_last_day_by_the_minute() {
    let question = read(Written::default()).unwrap();
    let from = NOW - DAY - 47;
    let expected = Question {
        by: By::Total,
        step: Step::Minute,
        from,
        to: NOW,
        key: None,
        format: Format::Json,
        cut: false,
    };
    assert_eq!(question, expected);
    assert_eq!(question.times(), 1441, "the minute under way among them");
    assert_eq!(question.index_of(NOW), Some(1440));
    assert_eq!(question.index_of(from), Some(0));
    assert_eq!(question.index_of(from - 1), None);
}

#[test]
fn moments_are_written_in_four_ways() {
    for (text, expected) in [
        ("now", NOW),
        ("-1h30m", NOW - 5400),
        ("1795250000", 1_795_250_000),
        ("2026-11-21T10:00:00Z", 1_795_255_200),
        ("2026-11-21T12:00:00+02:00", 1_795_255_200),
    ] {
        assert_eq!(moment(text, "from", NOW), Ok(expected), "{text}");
    }
    for text in ["", "-", "-5", "yesterday", "-now", "1e9", "253402207201", "99999999999999999999"] {
        let fault = moment(text, "from", NOW).unwrap_err();
        assert!(fault.detail.contains("no moment") && fault.hint.contains("-24h"), "{text}: {fault:?}");
    }
}

#[test]
fn a_moment_that_is_taken_can_be_told() {
    assert_eq!(moment("9999-12-30T22:00:00Z", "to", NOW), Ok(MOMENT_MAX));
    assert_eq!(calendar::seconds(MOMENT_MAX), "9999-12-30T22:00:00Z");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    let none = Written::default();
    for (written, detail) in [
        (Written { by: Some("target"), ..none }, "total, user, listener"),
        (Written { step: Some("week"), ..none }, "not auto, must be one of minute, hour, day"),
        (Written { format: Some("xml"), ..none }, "json, csv"),
        (Written { key: Some("alice"), ..none }, "no keys"),
        (Written { from: Some("now"), ..none }, "not before"),
        (Written { from: Some("-1h"), to: Some("-2h"), ..none }, "not before"),
    ] {
        let fault = read(written).unwrap_err();
        assert!(fault.detail.contains(detail) && !fault.hint.is_empty(), "{fault:?}");
    }
}

#[test]
fn a_step_is_chosen_that_fits_a_chart_and_is_kept() {
    for (by, from, to, step) in [
        ("total", "-24h", "now", Step::Minute),
        ("total", "-30d", "now", Step::Hour),
        ("total", "-365d", "now", Step::Day),
        // Not kept that long.
        ("total", "-60h", "-59h", Step::Hour),
        ("total", "-100d", "-99d", Step::Day),
        ("user", "-3h", "now", Step::Minute),
        ("user", "-24h", "now", Step::Hour),
        ("listener", "-30d", "now", Step::Day),
    ] {
        let question = read(Written {
            by: Some(by),
            from: Some(from),
            to: Some(to),
            step: Some("auto"),
            ..Written::default()
        });
        assert_eq!(question.unwrap().step, step, "{by} {from}");
    }
}

#[test]
fn a_span_that_is_too_long_keeps_its_end() {
    let question = read(Written { from: Some("0"), step: Some("minute"), ..Written::default() }).unwrap();
    assert!(question.cut);
    assert_eq!(question.times() as u64, TIMES_MAX);
    assert_eq!(question.index_of(NOW).map(|index| index as u64), Some(TIMES_MAX - 1));
    assert!(!read(Written { from: Some("-20d"), step: Some("hour"), ..Written::default() }).unwrap().cut);
}

#[test]
fn the_end_is_not_part_of_it() {
    let to = "2026-11-21T10:00:00Z";
    let question =
        read(Written { from: Some("-24h"), to: Some(to), step: Some("hour"), ..Written::default() }).unwrap();
    assert_eq!(question.index_of(question.to), None);
    assert_eq!(question.index_of(question.to - HOUR), Some(question.times() - 1));
}
