//! What is said of files that are of no use.

use rcgen::date_time_ymd;

use super::handshakes::revocations;
use super::peers::*;
use crate::config::{CertificateFiles, TlsIn};
use crate::tls::{Originator, Terminator};

/// The lines of the error, without the folder.
fn problems(folder: &Folder, config: &TlsIn) -> Vec<String> {
    let error = Terminator::load(config).map(|_| "loaded").unwrap_err().to_string();
    lines(folder, &error)
}

fn lines(folder: &Folder, error: &str) -> Vec<String> {
    let folder = format!("{}/", folder.path("").display()).replace("//", "/");
    error.lines().map(|line| line.replace(&folder, "")).collect()
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let Site {
        authority,
        folder,
        mut config,
    } = Site::new();
    let good = authority.host(&["a.example"]);
    let pair = |chain: &str, key: &str| CertificateFiles {
        chain: folder.path(chain),
        key: folder.path(key),
    };
    folder.write("good.pem", &good.chain);
    folder.write("good.key", &good.key);
    folder.write("other.key", &authority.host(&["a.example"]).key);
    folder.write("empty", "");
    folder.write("text", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    folder.write("junk", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    folder.write("two.key", format!("{}{}", good.key, good.key));
    folder.write(
        "sealed.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    folder.write(
        "older.key",
        "-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: X\r\n\r\nMAA=\r\n\
         -----END RSA PRIVATE KEY-----\r\n",
    );
    let mut params = hosts(&["a.example"]);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 2, 3));
    folder.certificate("old", &authority.sign(&params));
    (params.not_before, params.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1));
    folder.certificate("early", &authority.sign(&params));
    config.certificates = vec![
        pair("good.pem", "good.key"),
        pair("good.pem", "other.key"),
        pair("empty", "empty"),
        pair("text", "two.key"),
        pair("junk", "sealed.key"),
        pair("old.pem", "old.key"),
        pair("early.pem", "older.key"),
    ];
    folder.write("no-list.pem", &good.chain);
    config.client_auth = client_auth(&folder.path("empty"), true);
    config.client_auth.as_mut().unwrap().revocations = Some(folder.path("no-list.pem"));
    let sealed = "the private key is encrypted, and nobody is here to be asked for its password: `openssl pkey -in \
                  FILE -out NEW-FILE` decrypts it";
    let mut expected = vec![
        "other.key: the private key does not belong to the first certificate of good.pem".to_owned(),
        "empty: holds no certificate in PEM".to_owned(),
        "empty: holds no private key in PEM".to_owned(),
        "text: is no PEM file: ".to_owned(),
        "two.key: holds 2 private keys: it has to hold one".to_owned(),
        "junk: certificate 1 cannot be understood: ".to_owned(),
        format!("sealed.key: {sealed}"),
        "old.pem: the certificate has expired at 2021-02-03T00:00:00Z".to_owned(),
        "early.pem: the certificate is not valid before 2090-01-01T00:00:00Z".to_owned(),
        format!("older.key: {sealed}"),
        "no-list.pem: holds no list of revoked certificates in PEM".to_owned(),
    ];
    let found = problems(&folder, &config);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(&mut expected) {
        let is_same = if expected.ends_with(": ") {
            found.starts_with(&*expected)
        } else {
            found == expected
        };
        assert!(is_same, "{found}\n{expected}");
    }
}

#[test]
fn files_that_cannot_be_read_are_all_named() {
    let Site { folder, mut config, .. } = Site::new();
    let missing = CertificateFiles {
        chain: folder.path("no.pem"),
        key: folder.path("no.key"),
    };
    config.certificates.push(missing.clone());
    config.certificates.push(missing);
    config.client_auth = client_auth(&folder.path("."), true);
    let found = problems(&folder, &config);
    assert_eq!(
        found,
        [
            "no.pem: cannot be read: No such file or directory (os error 2)",
            "no.key: cannot be read: No such file or directory (os error 2)",
            ".: cannot be read: Is a directory (os error 21)",
        ]
    );
}

#[test]
fn a_list_that_cannot_be_understood_is_named() {
    let (mut site, clients) = Site::with_clients(true);
    let broken = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    let file = site.folder.write("list.pem", revocations(&clients, &[1]) + broken);
    site.config.client_auth.as_mut().unwrap().revocations = Some(file);
    let found = problems(&site.folder, &site.config);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("list.pem: "), "{found:?}");
}

#[test]
fn upstreams_say_the_same() {
    let Site { authority, folder, .. } = Site::new();
    let mut config = tls_out(folder.path("no.pem"));
    let shown = authority.client("proxy");
    config.certificate = Some(CertificateFiles {
        chain: folder.write("own.pem", &shown.chain),
        key: folder.write("own.key", authority.client("proxy").key),
    });
    let load = |config: &_| {
        lines(
            &folder,
            &Originator::load(config).map(|_| "loaded").unwrap_err().to_string(),
        )
    };
    assert_eq!(
        load(&config),
        ["no.pem: cannot be read: No such file or directory (os error 2)"]
    );
    config.authorities = Some(folder.write("empty.pem", ""));
    assert_eq!(
        load(&config),
        [
            "empty.pem: holds no certificate in PEM",
            "own.key: the private key does not belong to the first certificate of own.pem",
        ]
    );
}

#[test]
fn a_certificate_for_no_name_is_of_use_unless_names_are_all_that_counts() {
    let Site {
        authority,
        folder,
        mut config,
    } = Site::new();
    let nameless = folder.certificate("nameless", &authority.client("a.example"));
    config.certificates = vec![nameless];
    Terminator::load(&config).unwrap();
    config.strict = true;
    let expected = "nameless.pem: the certificate has no names of hosts (subjectAltName), so nobody would ever get it: \
                    `strict` is set";
    assert_eq!(problems(&folder, &config), [expected]);
}
