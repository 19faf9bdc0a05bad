//! JSON Web Tokens as issuers and attackers write them: each is believed, or refused for its own reason.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use issuer::*;
use proptest::prelude::*;
use ringway_dataplane::policy::admission::{Facts, Identity, Refusal};
use ringway_shared::config::Jwt;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

mod issuer;

#[test]
fn a_token_signed_by_the_configured_key_is_believed() {
    for (jwt, signer, alg) in [
        (with_secret(), HS, "HS256"),
        (with_pem(key!("rsa.pub.pem")), RSA, "RS256"),
        (with_pem(key!("rsa.pkcs1.pub.pem")), RSA, "RS256"),
        (with_pem(key!("ec.pub.pem")), EC, "ES256"),
    ] {
        let token = signer.token(&json!({"alg": alg, "typ": "JWT"}), &alice());
        assert_eq!(user(&admission(jwt), &token), Ok("alice".into()), "{alg}");
    }
}

#[test]
fn the_token_says_who_it_is_and_what_for() {
    let claims = json!({
        "sub": "алиса", "exp": NOW as f64 + 59.9, "iat": NOW, "channels": ["news", "personal:1"],
        "info": {"name": "A", "n": [1, 2.50]}, "other": {"deep": [[[]]]},
    });
    let identity = admission(with_secret()).identify(&HS.token(&json!({"alg": "HS256"}), &claims), NOW);
    let wanted = Identity {
        user: "алиса".into(),
        expires_at: Some(NOW + 59),
        channels: ["news".into(), "personal:1".into()].into(),
        info: Some(r#"{"name":"A","n":[1,2.5]}"#.into()),
    };
    assert_eq!(identity, Ok(wanted));
    let anonymous = HS.token(&json!({"alg": "HS256"}), &json!({"sub": "", "channels": null, "exp": null}));
    assert_eq!(admission(with_secret()).identify(&anonymous, NOW), Ok(Identity::of_user("".into())));
}

#[test]
fn a_request_carries_its_token_in_a_header_or_in_the_url() {
    let token = HS.token(&json!({"alg": "HS256"}), &alice());
    let (header, query) = (format!("Bearer {token}"), format!("a=b&token={token}"));
    let facts = Facts { host: "gateway.example", ..Facts::default() };
    let admission = admission(with_secret());
    for facts in [Facts { authorization: Some(&header), ..facts }, Facts { query: Some(&query), ..facts }] {
        assert_eq!(&*admission.judge(&facts, NOW).unwrap().user, "alice");
    }
    assert_eq!(admission.judge(&facts, NOW), Err(Refusal::TokenMissing));
}

#[test]
fn times_are_judged_to_the_second() {
    let judged = |claims: Value, leeway_s: u64| {
        let jwt = Jwt { leeway: Duration::from_secs(leeway_s), ..with_secret() };
        let mut claims = claims;
        claims["sub"] = "alice".into();
        let identity = admission(jwt).identify(&HS.token(&json!({"alg": "HS256"}), &claims), NOW);
        identity.map(|identity| identity.expires_at)
    };
    for (claims, leeway_s, wanted) in [
        (json!({}), 0, Ok(None)),
        (json!({"exp": NOW + 1}), 0, Ok(Some(NOW + 1))),
        (json!({"exp": NOW}), 0, Err(Refusal::TokenExpired)),
        (json!({"exp": NOW as f64 + 0.9}), 0, Err(Refusal::TokenExpired)),
        (json!({"exp": NOW}), 1, Ok(Some(NOW + 1))),
        (json!({"exp": NOW - 10}), 10, Err(Refusal::TokenExpired)),
        (json!({"exp": -1}), 0, Err(Refusal::TokenExpired)),
        (json!({"exp": 0}), 0, Err(Refusal::TokenExpired)),
        (json!({"exp": 1e300}), 3600, Ok(Some(u64::MAX))),
        (json!({"exp": u64::MAX}), 3600, Ok(Some(u64::MAX))),
        (json!({"exp": "1900000000"}), 0, Err(Refusal::TokenMalformed)),
        (json!({"exp": [NOW + 1]}), 0, Err(Refusal::TokenMalformed)),
        (json!({"nbf": NOW}), 0, Ok(None)),
        (json!({"nbf": NOW + 1}), 0, Err(Refusal::TokenEarly)),
        (json!({"nbf": NOW as f64 + 0.1}), 0, Err(Refusal::TokenEarly)),
        (json!({"nbf": NOW + 5}), 5, Ok(None)),
        (json!({"nbf": -5}), 0, Ok(None)),
        (json!({"nbf": 1e300}), 3600, Err(Refusal::TokenEarly)),
        (json!({"exp": NOW - 1, "nbf": NOW + 1}), 0, Err(Refusal::TokenExpired)),
    ] {
        assert_eq!(judged(claims.clone(), leeway_s), wanted, "{claims}, leeway {leeway_s} s");
    }
}

#[test]
fn issuer_audience_and_subject_must_be_the_right_ones() {
    let jwt = || Jwt { issuer: Some("us".into()), audience: Some("chat".into()), ..with_secret() };
    for (claims, wanted) in [
        (json!({"sub": "a", "iss": "us", "aud": "chat"}), Ok("a".into())),
        (json!({"sub": "a", "iss": "us", "aud": ["other", "chat"]}), Ok("a".into())),
        (json!({"sub": "a", "aud": "chat"}), Err(Refusal::TokenIssuer)),
        (json!({"sub": "a", "iss": "US", "aud": "chat"}), Err(Refusal::TokenIssuer)),
        (json!({"sub": "a", "iss": null, "aud": "chat"}), Err(Refusal::TokenIssuer)),
        (json!({"sub": "a", "iss": ["us"], "aud": "chat"}), Err(Refusal::TokenMalformed)),
        (json!({"sub": "a", "iss": "us"}), Err(Refusal::TokenAudience)),
        (json!({"sub": "a", "iss": "us", "aud": "chat2"}), Err(Refusal::TokenAudience)),
        (json!({"sub": "a", "iss": "us", "aud": []}), Err(Refusal::TokenAudience)),
        (json!({"iss": "us", "aud": "chat"}), Err(Refusal::TokenSubject)),
        (json!({"sub": null, "iss": "us", "aud": "chat"}), Err(Refusal::TokenSubject)),
        (json!({"sub": "x".repeat(256), "iss": "us", "aud": "chat"}), Err(Refusal::TokenSubject)),
        (json!({"sub": 7, "iss": "us", "aud": "chat"}), Err(Refusal::TokenMalformed)),
    ] {
        let token = HS.token(&json!({"alg": "HS256"}), &claims);
        assert_eq!(user(&admission(jwt()), &token), wanted, "{claims:.60}");
    }
}

/// RFC 8725 sections 2.1 and 3.1: what a token says of its algorithm turns no key into another.
#[test]
fn no_algorithm_can_be_confused_with_another() {
    let public = key!("rsa.pub.pem");
    let confusing = Signer::Secret(public.as_bytes());
    let jwt = || Jwt { public_keys: vec![file(public), file(key!("ec.pub.pem"))], ..jwt() };
    let claims = alice();
    for (token, wanted) in [
        (confusing.token(&json!({"alg": "HS256"}), &claims), Refusal::TokenKeyUnknown),
        (confusing.token(&json!({"alg": "RS256"}), &claims), Refusal::TokenSignature),
        (RSA.token(&json!({"alg": "ES256"}), &claims), Refusal::TokenSignature),
        (EC.token(&json!({"alg": "RS256"}), &claims), Refusal::TokenSignature),
        (RSA2.token(&json!({"alg": "RS256"}), &claims), Refusal::TokenSignature),
        (RSA.token(&json!({"alg": "RS512"}), &claims), Refusal::TokenAlgorithm),
        (RSA.token(&json!({"alg": "PS256"}), &claims), Refusal::TokenAlgorithm),
        (RSA.token(&json!({"alg": "rs256"}), &claims), Refusal::TokenAlgorithm),
        (RSA.token(&json!({"alg": ""}), &claims), Refusal::TokenAlgorithm),
        (RSA.token(&json!({"alg": null}), &claims), Refusal::TokenMalformed),
        (RSA.token(&json!({}), &claims), Refusal::TokenMalformed),
    ] {
        assert_eq!(user(&admission(jwt()), &token), Err(wanted), "{token:.60}");
    }
    for none in ["none", "None", "NONE", "nOnE"] {
        let message =
            format!("{}.{}", encoded(&json!({"alg": none}).to_string()), encoded(&claims.to_string()));
        for token in [format!("{message}."), format!("{message}.{}", RSA.sign(&message)), message.clone()] {
            assert!(user(&admission(jwt()), &token).is_err(), "{token}");
        }
    }
    // A key's name does not lend it another algorithm either.
    let named = Jwt { jwks_file: Some(file(&set(&[key!("rsa.jwk.json")]))), ..with_secret() };
    let token = HS.token(&json!({"alg": "HS256", "kid": "rsa"}), &claims);
    assert_eq!(user(&admission(named), &token), Err(Refusal::TokenAlgorithm));
}

#[test]
fn what_is_no_token_is_refused_without_a_fuss() {
    let admission = admission(with_secret());
    let good = HS.token(&json!({"alg": "HS256"}), &alice());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let deep = "[".repeat(5_000);
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "\u{feff}a.b.c",
        &good.replace('.', ""),
        &format!("{good}.x"),
        &format!(".{good}"),
        &format!("{good}="),
        &format!("{message}.{signature}\n"),
        &format!("{message}.."),
        &format!("{}.x.y", encoded("{\"alg\":\"HS256\",\"alg\":\"HS256\"}")),
        &format!("{}.x.y", encoded(&deep)),
        &HS.token(&json!({"alg": "HS256", "crit": ["exp"]}), &alice()),
        &HS.token(&json!({"alg": "HS256", "crit": []}), &alice()),
        &HS.token(&json!({"alg": "HS256"}), &json!("alice")),
        &HS.token(&json!({"alg": "HS256"}), &json!(["alice"])),
        &HS.token(&json!({"alg": "HS256"}), &json!({"sub": "a", "channels": "news"})),
        &HS.token(&json!(["HS256"]), &alice()),
    ] {
        assert!(
            matches!(user(&admission, token), Err(Refusal::TokenMalformed | Refusal::TokenSignature)),
            "{token:.80}: {:?}",
            user(&admission, token)
        );
    }
    // base64url has one spelling of each value: no second one of a good token is another good token.
    let padded = format!("{good}A");
    assert!(user(&admission, &padded).is_err());
    assert_eq!(user(&admission, &good), Ok("alice".into()));
}

/// Not a bar, a fact: printed with `--nocapture`, and measured in release (docs/websocket.md has the figures).
#[test]
fn verifying_costs_what_it_costs() {
    let rounds = if cfg!(debug_assertions) { 3 } else { 2_000 };
    for (jwt, signer, alg) in [
        (with_secret(), HS, "HS256"),
        (with_pem(key!("rsa.pub.pem")), RSA, "RS256"),
        (with_pem(key!("ec.pub.pem")), EC, "ES256"),
    ] {
        let (admission, token) = (admission(jwt), signer.token(&json!({"alg": alg}), &alice()));
        let start = Instant::now();
        assert!((0..rounds).all(|_| admission.identify(&token, NOW).is_ok()));
        println!("{alg}: {:.1} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_breaks_it(token in ".{0,200}") {
        prop_assert!(admission(with_secret()).identify(&token, NOW).is_err());
    }

    /// One changed character of a good token makes it a bad one.
    #[test]
    fn no_change_goes_unnoticed(at: prop::sample::Index, with in "[A-Za-z0-9_.-]") {
        let good = HS.token(&json!({"alg": "HS256"}), &alice());
        let at = at.index(good.len());
        let changed = format!("{}{with}{}", &good[..at], &good[at + 1..]);
        let judged = user(&admission(with_secret()), &changed);
        prop_assert_eq!(judged.is_ok(), changed == good);
    }

    /// Whatever is signed, nothing but its own text comes out of it.
    #[test]
    fn any_claims_are_judged(sub in ".{0,80}", exp: f64, nbf: f64, deep in 0..60usize) {
        let mut other = json!(1);
        for _ in 0..deep {
            other = json!([other]);
        }
        let claims = json!({"sub": sub, "exp": exp, "nbf": nbf, "other": other});
        let token = HS.token(&json!({"alg": "HS256"}), &claims);
        match admission(with_secret()).identify(&token, NOW) {
            Ok(identity) => prop_assert_eq!(&*identity.user, &*sub),
            Err(refusal) => {
                prop_assert!(matches!(refusal, Refusal::TokenExpired | Refusal::TokenEarly), "{:?}", refusal);
            }
        }
    }
}
