//! Keys of JSON Web Tokens: which are read, which is chosen, and how they are exchanged for new ones.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod issuer;

use issuer::*;
use ringway_dataplane::policy::admission::Refusal;
use ringway_dataplane::policy::jwt::JwkSource;
use ringway_shared::config::{Algorithm, Algorithms, Jwt, Secret};
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn a_key_is_found_by_its_name() {
    let text = set(&[key!("rsa.jwk.json"), key!("rsa2.jwk.json"), key!("ec.jwk.json")]);
    let admission = admission(Jwt { jwks_file: Some(file(&text)), ..jwt() });
    let token = |signer: &Signer, alg: &str, kid: Option<&str>| {
        let header = kid.map_or(json!({"alg": alg}), |kid| json!({"alg": alg, "kid": kid}));
        signer.token(&header, &alice())
    };
    for (signer, alg, kid, wanted) in [
        (&RSA, "RS256", Some("rsa"), Ok("alice".into())),
        (&RSA2, "RS256", Some("rsa2"), Ok("alice".into())),
        (&EC, "ES256", Some("ec"), Ok("alice".into())),
        (&RSA2, "RS256", None, Ok("alice".into())),
        (&RSA2, "RS256", Some("rsa"), Err(Refusal::TokenSignature)),
        (&EC, "ES256", Some("rsa"), Err(Refusal::TokenAlgorithm)),
        (&RSA, "RS256", Some("RSA"), Err(Refusal::TokenKeyUnknown)),
        (&RSA, "RS256", Some(""), Err(Refusal::TokenKeyUnknown)),
    ] {
        assert_eq!(user(&admission, &token(signer, alg, kid)), wanted, "{alg} {kid:?}");
    }
    assert_eq!(admission.keys().unwrap().unknown_keys(), 2);
}

#[test]
fn keys_are_exchanged_while_connections_come_in() {
    let admission = admission(Jwt { jwks_url: Some("https://issuer.example/jwks".into()), ..jwt() });
    let ring = admission.keys().unwrap();
    let (old, new) = (
        RSA.token(&json!({"alg": "RS256", "kid": "rsa"}), &alice()),
        RSA2.token(&json!({"alg": "RS256", "kid": "rsa2"}), &alice()),
    );
    assert_eq!(user(&admission, &old), Err(Refusal::TokenKeyUnknown), "nothing has been fetched yet");
    for (keys, old_is_good, new_is_good) in [
        (set(&[key!("rsa.jwk.json")]), true, false),
        (set(&[key!("rsa.jwk.json"), key!("rsa2.jwk.json")]), true, true),
        (set(&[key!("rsa2.jwk.json")]), false, true),
    ] {
        let keys = ring.read(&keys, JwkSource::Url).unwrap();
        ring.replace(JwkSource::Url, keys);
        assert_eq!(user(&admission, &old).is_ok(), old_is_good);
        assert_eq!(user(&admission, &new).is_ok(), new_is_good);
    }
    assert_eq!(ring.unknown_keys(), 3);

    // A new configuration with the same URL begins with what was fetched, one with another does not.
    let url = |url: &str| Jwt { jwks_url: Some(url.into()), leeway: Duration::from_secs(9), ..jwt() };
    let same = try_admission(url("https://issuer.example/jwks"), Some(&admission)).unwrap();
    assert_eq!(user(&same, &new), Ok("alice".into()));
    assert_eq!(same.keys().unwrap().unknown_keys(), 3);
    let other = try_admission(url("https://issuer.example/other"), Some(&admission)).unwrap();
    assert_eq!(user(&other, &new), Err(Refusal::TokenKeyUnknown));
}

#[test]
fn of_a_set_what_can_be_used_is_used() {
    let admission = admission(with_secret());
    let ring = admission.keys().unwrap();
    let read = |keys: &[&str], source| ring.read(&set(keys), source).map(|keys| (keys.len(), keys.skipped));
    let changed = |key: &str, name: &str, value: Value| {
        let mut key: Value = serde_json::from_str(key).unwrap();
        key[name] = value;
        key.to_string()
    };
    let rsa = key!("rsa.jwk.json");
    let secret = r#"{"kty": "oct", "k": "YSBzZWNyZXQgb2YgbW9yZSB0aGFuIHRoaXJ0eS10d28gYnl0ZXM"}"#;
    for (key, source, used) in [
        (rsa.to_owned(), JwkSource::Url, true),
        (changed(rsa, "use", Value::Null), JwkSource::Url, true),
        (changed(rsa, "use", "enc".into()), JwkSource::Url, false),
        (changed(rsa, "alg", "RS512".into()), JwkSource::Url, false),
        (changed(rsa, "alg", "HS256".into()), JwkSource::Url, false),
        (changed(rsa, "key_ops", json!(["verify"])), JwkSource::Url, true),
        (changed(rsa, "key_ops", json!(["sign"])), JwkSource::Url, false),
        (changed(rsa, "kty", "rsa".into()), JwkSource::Url, false),
        (changed(rsa, "n", "AQAB".into()), JwkSource::Url, false),
        (changed(rsa, "n", "A".repeat(2_000).into()), JwkSource::Url, false),
        (changed(rsa, "n", "!!".into()), JwkSource::Url, false),
        (changed(rsa, "e", "".into()), JwkSource::Url, false),
        (changed(rsa, "kid", 7.into()), JwkSource::Url, false),
        (key!("ec.jwk.json").to_owned(), JwkSource::Url, true),
        (changed(key!("ec.jwk.json"), "crv", "P-384".into()), JwkSource::Url, false),
        (changed(key!("ec.jwk.json"), "x", "AQAB".into()), JwkSource::Url, false),
        (secret.to_owned(), JwkSource::File, true),
        (secret.to_owned(), JwkSource::Url, false),
        (changed(secret, "k", "c2hvcnQ".into()), JwkSource::File, false),
        ("7".into(), JwkSource::Url, false),
        ("{}".into(), JwkSource::Url, false),
    ] {
        // Beside a good one, what cannot be used is left out; alone, it is an error.
        let (with, alone) = (read(&[&key, key!("ec2.jwk.json")], source), read(&[&key], source));
        assert_eq!(with, Ok((1 + usize::from(used), usize::from(!used))), "{key:.80}");
        assert_eq!(alone.is_ok(), used, "{key:.80}");
    }
    for (text, told) in [
        ("", "is no JWK Set"),
        ("[]", "is no JWK Set"),
        ("{\"keys\": {}}", "is no JWK Set"),
        ("{}", "is no JWK Set"),
        ("{\"keys\": []}", "holds no key for HS256 or RS256 or ES256, of 0 keys in it"),
        (&" ".repeat(262_145), "is larger than 262144 bytes"),
    ] {
        let fault = ring.read(text, JwkSource::Url).err().unwrap();
        assert!(fault.starts_with(told), "{fault}");
    }
    let many = vec![key!("ec.jwk.json"); 100];
    assert_eq!(read(&many, JwkSource::Url), Ok((64, 36)));
}

#[test]
fn faulty_key_files_are_told_with_their_name_and_without_their_content() {
    let told = |text: &str| fault(with_pem(text));
    for (text, fault) in [
        (key!("rsa1024.pub.pem"), "is an RSA key of less than 2048 or more than 4096 bits"),
        (key!("p384.pub.pem"), "is neither an RSA key nor one on P-256"),
        (key!("ed25519.pub.pem"), "is neither an RSA key nor one on P-256"),
        (key!("rsa.pem"), "holds a private key"),
        (key!("ec.pem"), "holds a private key"),
        (concat!(key!("ec.pub.pem"), key!("ec2.pub.pem")), "is not one public key in PEM"),
        ("", "is not one public key in PEM"),
        (key!("rsa.jwk.json"), "is not one public key in PEM"),
        ("-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----\n", "is neither an RSA key"),
    ] {
        let text = told(text);
        assert!(text.starts_with("websocket.jwt.public_key_files keys/one.pem: "), "{text}");
        assert!(text.contains(fault) && !text.contains("hunter2"), "{text}");
    }
    let jwks = fault(Jwt { jwks_file: Some(file("{\"keys\": [\"hunter2\"]}")), ..jwt() });
    assert!(jwks.starts_with("websocket.jwt.jwks_file keys/one.pem: holds no key"), "{jwks}");
    let short = fault(Jwt { secret: Some(Secret(b"hunter2"[..].into())), ..jwt() });
    assert!(short.contains("has 7 bytes") && !short.contains("hunter2"), "{short}");
    let shown = format!("{:?}", with_secret());
    assert!(shown.contains("<redacted>") && !shown.contains("thirty-two"), "{shown}");
}

/// No more keys are tried than a few, whatever a token leaves out.
#[test]
fn a_token_without_a_name_is_tried_with_a_few_keys_only() {
    let other = key!("rsa2.jwk.json").replace("\"kid\": \"rsa2\", ", "");
    let keys = |others: usize| set(&[vec![&*other; others], vec![key!("rsa.jwk.json")]].concat());
    let token = RSA.token(&json!({"alg": "RS256"}), &alice());
    for (others, wanted) in [(3, Ok("alice".into())), (4, Err(Refusal::TokenSignature))] {
        let admission = admission(Jwt { jwks_file: Some(file(&keys(others))), ..jwt() });
        assert_eq!(user(&admission, &token), wanted);
    }
}

#[test]
fn only_the_configured_algorithms_are_accepted() {
    let only = |algorithm| Algorithms::default().with(algorithm);
    let token = HS.token(&json!({"alg": "HS256"}), &alice());
    let keys = Some(file(&set(&[
        key!("ec.jwk.json"),
        r#"{"kty": "oct", "k": "YSBzZWNyZXQgb2YgbW9yZSB0aGFuIHRoaXJ0eS10d28gYnl0ZXM"}"#,
    ])));
    let all = Jwt { jwks_file: keys.clone(), ..jwt() };
    assert_eq!(user(&admission(all), &token), Ok("alice".into()));
    let es256 = Jwt { jwks_file: keys, algorithms: only(Algorithm::Es256), ..jwt() };
    assert_eq!(user(&admission(es256), &token), Err(Refusal::TokenAlgorithm));
    let told = fault(Jwt { algorithms: only(Algorithm::Hs256), ..with_pem(key!("ec.pub.pem")) });
    assert!(
        told.contains("keys/one.pem: is for ES256, which websocket.jwt.algorithms does not name"),
        "{told}"
    );
}
