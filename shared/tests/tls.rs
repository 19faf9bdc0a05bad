//! Certificates as the configuration reads them: which are taken, and what is said of the others.

#![allow(clippy::unwrap_used)] // also in the helpers, which clippy does not take for tests

mod loading;

use loading::{load, load_with};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd};
use ringway_shared::config::{Faults, TargetClass};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

/// Files by their names.
#[derive(Default)]
struct Folder(HashMap<String, String>);

impl Folder {
    fn put(&mut self, name: &str, text: impl Into<String>) {
        self.0.insert(format!("etc/{name}"), text.into());
    }

    fn certificate(&mut self, name: &str, key: &KeyPair) {
        let mut params = CertificateParams::new(vec!["Example.org".into(), "*.example.org".into()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        self.put(&format!("{name}.pem"), params.self_signed(key).unwrap().pem());
        self.put(&format!("{name}.key"), key.serialize_pem());
    }

    fn load(&self, tls: &str) -> Result<ringway_shared::config::Config, Faults> {
        let text = format!("socks5:\n  tls: {tls}\n");
        let read = |path: &Path| {
            self.0.get(path.to_str().unwrap()).cloned().ok_or(io::Error::from(ErrorKind::NotFound))
        };
        load_with(Some(&text), &[], &[], &read).map(|loaded| loaded.config)
    }

    fn faults(&self, tls: &str) -> String {
        self.load(tls).unwrap_err().to_string()
    }
}

#[test]
fn a_certificate_tells_its_names_and_when_it_ends() {
    let mut folder = Folder::default();
    for (name, algorithm) in
        [("a", &rcgen::PKCS_ECDSA_P256_SHA256), ("b", &PKCS_ECDSA_P384_SHA384), ("c", &PKCS_ED25519)]
    {
        folder.certificate(name, &KeyPair::generate_for(algorithm).unwrap());
        let config = folder
            .load(&format!(
                "{{listen: ['127.0.0.1:0'], certificates: [{{certificate: {name}.pem, key: {name}.key}}]}}"
            ))
            .unwrap();
        let certificate = &config.socks5.tls.certificates[0];
        assert_eq!(certificate.names, ["example.org".into(), "*.example.org".into()]);
        assert_eq!(certificate.not_after, Duration::from_secs(1_893_456_000));
        assert_eq!(certificate.not_before, Duration::from_secs(1_577_836_800));
        assert!(!format!("{config:?}").contains("PRIVATE"));
    }
}

#[test]
fn every_faulty_file_is_told_with_its_place() {
    let mut folder = Folder::default();
    folder.certificate("a", &KeyPair::generate().unwrap());
    folder.certificate("b", &KeyPair::generate().unwrap());
    folder.put("empty.pem", "");
    folder.put("short.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    folder.put("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    folder.put(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    folder.put("odd.key", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n");
    folder.put("huge.pem", "x".repeat((1 << 20) + 1));
    folder.put("many.pem", folder.0["etc/a.pem"].repeat(17));
    for (certificate, key, told) in [
        (
            "gone.pem",
            "a.key",
            "etc/ringway.yaml:2:38: socks5.tls.certificates[0].certificate: cannot read \"etc/gone.pem\": entity not found",
        ),
        ("a.pem", "gone.key", "[0].key: cannot read \"etc/gone.key\""),
        ("a.pem", "b.key", "[0].key: is not the certificate's key: name the one it was made with"),
        ("a.key", "a.pem", "[0].certificate: holds no \"BEGIN CERTIFICATE\": write the certificate there"),
        ("a.pem", "a.pem", "[0].key: holds no private key in PEM"),
        ("empty.pem", "a.key", "[0].certificate: holds no \"BEGIN CERTIFICATE\""),
        ("short.pem", "a.key", "[0].certificate: holds no X.509 certificate"),
        ("cut.pem", "a.key", "[0].certificate: is no PEM"),
        ("a.pem", "locked.key", "[0].key: holds an encrypted key"),
        ("a.pem", "odd.key", "[0].key: is of a kind that cannot be used"),
        ("huge.pem", "a.key", "[0].certificate: \"etc/huge.pem\" is larger than 1048576 bytes"),
        ("many.pem", "a.key", "[0].certificate: holds more than 16 certificates"),
    ] {
        // Checked even while nobody listens.
        let faults =
            folder.faults(&format!("{{certificates: [{{certificate: {certificate}, key: {key}}}]}}"));
        assert!(faults.contains(told), "{certificate} {key}:\n{faults}");
        assert_eq!(faults.matches("ringway.yaml:").count(), 1, "{faults}");
        assert!(!faults.contains("MII"), "{faults}");
    }
    let faults = folder.faults(
        "{certificates: [{certificate: gone.pem, key: a.key}, {certificate: a.pem}, 7, {certificate: a.pem, key: a.key, password: hunter2}]}",
    );
    for told in ["[1].key: is missing", "[2]: must be a mapping", "only certificate, key may stand here"] {
        assert!(faults.contains(told), "{told}:\n{faults}");
    }
    assert!(!faults.contains("hunter2"), "{faults}");
}

#[test]
fn listeners_need_a_certificate_and_nobody_is_served_by_chance() {
    let mut folder = Folder::default();
    folder.certificate("a", &KeyPair::generate().unwrap());
    let faults = folder.faults("{listen: ['127.0.0.1:1443']}");
    assert!(faults.contains("socks5.tls.listen: there is no certificate to show"), "{faults}");
    let shown = "certificates: [{certificate: a.pem, key: a.key}]";
    let faults = folder.faults(&format!("{{listen: ['0.0.0.0:1443', '127.0.0.1:1080'], {shown}}}"));
    assert!(
        faults.contains("socks5.tls.listen: 0.0.0.0:1443 is not loopback and nobody would be asked"),
        "{faults}"
    );
    assert!(faults.contains("socks5.tls.listen: 127.0.0.1:1080 is in socks5.listen as well"), "{faults}");
    let config = folder.load(&format!("{{listen: ['0.0.0.0:1443'], {shown}}}\n  open_proxy: true")).unwrap();
    assert!(!config.socks5.allow_targets.contains(TargetClass::Private), "a listener beyond loopback");
    let faults = load(None, &[], &["websocket.tls.listen=127.0.0.1:8443"]).unwrap_err().to_string();
    assert!(faults.contains("websocket.tls.listen=…: there is no certificate"), "{faults}");
    let faults = load(None, &[], &["socks5.tls.min_version=1.1"]).unwrap_err().to_string();
    assert!(faults.contains("is not one of 1.2, 1.3"), "{faults}");
}
