//! JSON Web Tokens as issuers and attackers write them: each is believed, or refused for its own reason.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Signed, EncodingKey, crypto};
use proptest::prelude::*;
use ringway_dataplane::policy::admission::{Admission, Facts, Identity, Refusal};
use ringway_dataplane::policy::jwt::JwkSource;
use ringway_shared::config::{self, Algorithm, Algorithms, GatewayAuth, Jwt, KeyFile, OneSession, Secret};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECRET: &str = "a secret of more than thirty-two bytes";
const NOW: u64 = 1_800_000_000;

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!("jwt_keys/", $name))
    };
}

fn jwt() -> Jwt {
    Jwt {
        secret: None,
        public_keys: Vec::new(),
        jwks_file: None,
        jwks_url: None,
        jwks_refresh: Duration::from_secs(300),
        issuer: None,
        audience: None,
        leeway: Duration::ZERO,
        algorithms: Algorithm::ALL.into_iter().fold(Algorithms::default(), Algorithms::with),
    }
}

fn with_secret() -> Jwt {
    Jwt { secret: Some(Secret(SECRET.as_bytes().into())), ..jwt() }
}

fn with_pem(text: &str) -> Jwt {
    Jwt { public_keys: vec![file(text)], ..jwt() }
}

fn file(text: &str) -> KeyFile {
    KeyFile { path: "keys/one.pem".into(), text: text.into() }
}

fn set(keys: &[&str]) -> String {
    format!("{{\"keys\": [{}]}}", keys.join(","))
}

fn try_admission(jwt: Jwt, before: Option<&Admission>) -> Result<Admission, String> {
    let config = config::Admission {
        auth: GatewayAuth::Jwt(Arc::new(jwt)),
        allowed_origins: Vec::new(),
        connections_per_user: None,
        one_session: OneSession::Off,
        connection_rate: None,
    };
    Admission::new(&config, before)
}

fn admission(jwt: Jwt) -> Admission {
    try_admission(jwt, None).unwrap()
}

fn fault(jwt: Jwt) -> String {
    try_admission(jwt, None).err().unwrap()
}

enum Signer {
    Secret(&'static [u8]),
    Rsa(&'static str),
    Ec(&'static str),
}

const HS: Signer = Signer::Secret(SECRET.as_bytes());
const RSA: Signer = Signer::Rsa(key!("rsa.pem"));
const RSA2: Signer = Signer::Rsa(key!("rsa2.pem"));
const EC: Signer = Signer::Ec(key!("ec.pem"));

impl Signer {
    fn sign(&self, message: &str) -> String {
        let (algorithm, key) = match self {
            Signer::Secret(secret) => (Signed::HS256, EncodingKey::from_secret(secret)),
            Signer::Rsa(pem) => (Signed::RS256, EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()),
            Signer::Ec(pem) => (Signed::ES256, EncodingKey::from_ec_pem(pem.as_bytes()).unwrap()),
        };
        crypto::sign(message.as_bytes(), &key, algorithm).unwrap()
    }

    /// A token with exactly this header and these claims.
    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(&header.to_string()), encoded(&claims.to_string()));
        format!("{message}.{}", self.sign(&message))
    }
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn alice() -> Value {
    json!({"sub": "alice", "exp": NOW + 60})
}

fn user(admission: &Admission, token: &str) -> Result<String, Refusal> {
    admission.identify(token, NOW).map(|identity| identity.user.to_string())
}

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
        (changed(key!("ec.jwk.json"), "y", "A".repeat(43).into()), JwkSource::Url, false),
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
