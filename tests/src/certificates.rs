//! Certificates for one test, signed by an authority of its own.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Signs certificates. It is none that a server could show.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// A certificate and its key.
pub struct Identity {
    certificate: Certificate,
    key: KeyPair,
    serial: SerialNumber,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key();
        let certificate = params.self_signed(&key).expect("an authority signs itself");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// Of a server with these names.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.sign(of_server(names))
    }

    /// The same, and its time is over.
    pub fn expired(&self, names: &[&str]) -> Identity {
        let mut params = of_server(names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    /// Of a client of that common name.
    pub fn client(&self, name: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// A list, in PEM, of certificates that are revoked.
    pub fn revoke(&self, revoked: &[&Identity]) -> String {
        let revoked = revoked.iter().map(|identity| RevokedCertParams {
            serial_number: identity.serial.clone(),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("an authority signs lists");
        list.pem().expect("a list can be written as PEM")
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn sign(&self, mut params: CertificateParams) -> Identity {
        let key = new_key();
        // Its own key is as good a number as any: nobody else has it.
        let serial = SerialNumber::from_slice(
            &key.public_key_raw()[1..9]
                .iter()
                .map(|byte| byte & 0x7f)
                .collect::<Vec<_>>(),
        );
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority signs");
        Identity {
            certificate,
            key,
            serial,
        }
    }
}

impl Identity {
    /// The certificate, and behind it the key.
    pub fn pem(&self) -> String {
        self.chain_pem() + &self.key_pem()
    }

    pub fn chain_pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// Both in one file.
    pub fn save(&self, folder: &Path, name: &str) -> PathBuf {
        let file = folder.join(name);
        fs::write(&file, self.pem()).expect("a file in a folder of the test's");
        file
    }
}

fn of_server(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).expect("names of hosts");
    params.distinguished_name = named(names.first().map_or("nobody", String::as_str));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, "Spliceway");
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}
