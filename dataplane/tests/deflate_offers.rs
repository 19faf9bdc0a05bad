//! Offers of permessage-deflate: RFC 7692 sections 5 and 7.1, in the grammar of RFC 6455 section 9.1.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use ringway_dataplane::proto::deflate::{Negotiated, Settings, negotiate, well_formed};

const USUAL: Settings = Settings { window_bits: 15, context_takeover: false };
const KEEPING: Settings = Settings { context_takeover: true, ..USUAL };

fn answer(offer: &str, settings: &Settings) -> Option<String> {
    negotiate(&[offer], settings).map(|(_, answer)| answer)
}

#[test]
fn offers_are_answered_with_what_they_allow() {
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for (offer, usual, keeping) in [
        ("permessage-deflate", both, "permessage-deflate; server_no_context_takeover"),
        (
            "permessage-deflate; client_max_window_bits",
            both,
            "permessage-deflate; server_no_context_takeover",
        ),
        (
            "permessage-deflate;client_max_window_bits=15",
            both,
            "permessage-deflate; server_no_context_takeover",
        ),
        (
            "permessage-deflate; client_max_window_bits=8",
            both,
            "permessage-deflate; server_no_context_takeover",
        ),
        (
            "permessage-deflate; server_no_context_takeover",
            both,
            "permessage-deflate; server_no_context_takeover",
        ),
        ("permessage-deflate ; client_no_context_takeover", both, both),
        (
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
        ),
        (
            "permessage-deflate; server_max_window_bits = \"1\\0\"",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
        ),
    ] {
        assert_eq!(answer(offer, &USUAL).as_deref(), Some(usual), "{offer}");
        assert_eq!(answer(offer, &KEEPING).as_deref(), Some(keeping), "{offer}");
    }
}

#[test]
fn a_smaller_window_of_ours_is_said_and_asked_for() {
    let settings = Settings { window_bits: 11, ..KEEPING };
    for (offer, said, server_window_bits, client_window_bits) in [
        (
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=11",
            11,
            15,
        ),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=11; client_max_window_bits=11",
            11,
            11,
        ),
        (
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
            9,
            9,
        ),
        (
            "permessage-deflate; client_max_window_bits=12; server_max_window_bits=12",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=11; client_max_window_bits=11",
            11,
            11,
        ),
    ] {
        let (negotiated, answer) = negotiate(&[offer], &settings).unwrap();
        assert_eq!(answer, said, "{offer}");
        let expected =
            Negotiated { client_no_context_takeover: false, server_window_bits, client_window_bits };
        assert_eq!(negotiated, expected, "{offer}");
    }
    let bits =
        |window_bits| negotiate(&["permessage-deflate"], &Settings { window_bits, ..USUAL }).unwrap().0;
    assert_eq!((bits(0).server_window_bits, bits(200).server_window_bits), (9, 15), "the nearest counts");
}

#[test]
fn offers_with_faults_are_declined() {
    for parameters in [
        "unknown",
        "Server_no_context_takeover",
        "server_no_context_takeover=1",
        "client_no_context_takeover=\"x\"",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits",
        "server_max_window_bits=8",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=+10",
        "server_max_window_bits=1e1",
        "server_max_window_bits=4294967306",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=0x9",
    ] {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(well_formed(&offer), Ok(()), "{offer}");
        assert_eq!(answer(&offer, &USUAL), None, "{offer}");
        let with_second = format!("{offer}, permessage-deflate");
        assert!(answer(&with_second, &USUAL).is_some(), "the second of {with_second}");
    }
}

#[test]
fn the_first_offer_that_can_be_honoured_wins() {
    let chosen = |fields: &[&str]| negotiate(fields, &KEEPING).map(|(_, answer)| answer);
    assert_eq!(chosen(&[]), None);
    assert_eq!(chosen(&["x-webkit-deflate-frame", "permessage-bzip2; level=9"]), None);
    let ten = Some("permessage-deflate; server_no_context_takeover; server_max_window_bits=10".to_owned());
    assert_eq!(chosen(&["permessage-deflate; server_max_window_bits=10, permessage-deflate"]), ten);
    assert_eq!(
        chosen(&[
            "mux; max=4, permessage-deflate; server_max_window_bits=8",
            ",permessage-deflate; server_max_window_bits=10 ,"
        ]),
        ten
    );
}

#[test]
fn malformed_fields_are_told() {
    for field in [
        ";",
        "=",
        "a;",
        "a b",
        "a;b=",
        "a;b=\"",
        "a;b=\"\"",
        "a;b=\"c d\"",
        "a;b=\"c\\",
        "a;b=\"c\"d",
        "a;b=c=d",
        "a/b",
        "a;;b",
        "permessage-deflate; x=\"ü\"",
        "(a)",
    ] {
        assert!(well_formed(field).is_err(), "{field}");
        assert_eq!(answer(&format!("permessage-deflate, {field}"), &USUAL), None, "{field}");
    }
    for field in ["", ",", " , ,", "a", "a , b;c;d=e;f=\"g\\h\"", "a\t;\tb\t=\tc"] {
        assert_eq!(well_formed(field), Ok(()), "{field}");
    }
}

#[test]
fn who_takes_a_shared_message() {
    let with = |offer: &str, settings| negotiate(&[offer], &settings).unwrap().0;
    assert!(with("permessage-deflate", USUAL).takes_shared(15));
    let small = with("permessage-deflate; server_max_window_bits=10", USUAL);
    assert!(small.takes_shared(9) && small.takes_shared(10) && !small.takes_shared(11));
}

proptest! {
    #[test]
    fn arbitrary_fields_never_panic(fields in vec("[a-z;=,\" \\\\0-9_-]{0,60}", 0..4)) {
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        if negotiate(&fields, &USUAL).is_some() {
            prop_assert!(fields.iter().all(|field| well_formed(field).is_ok()));
        }
    }
}
