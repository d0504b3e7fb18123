//! How a TLS client begins: with a real ClientHello.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// What a client sends that asks for that name, and offers these protocols.
///
/// # Errors
/// No client can ask for that.
pub fn client_hello(name: &str, alpn: &[String]) -> Result<Vec<u8>, String> {
    let failed = |error: rustls::Error| format!("cannot make a ClientHello: {error}");
    let host = ServerName::try_from(name.to_owned()).map_err(|_| format!("{name:?} is no name of a host"))?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    // It never hears an answer that it could trust.
    let mut config = config
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let mut client = ClientConnection::new(Arc::new(config), host).map_err(failed)?;
    let mut hello = Vec::new();
    client
        .write_tls(&mut hello)
        .map_err(|error| format!("cannot make a ClientHello: {error}"))?;
    Ok(hello)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;
    use crate::detect::Sight;

    #[test]
    fn the_proxy_finds_in_it_what_was_asked_for() {
        let hello = client_hello("a.example", &["h2".to_owned()]).unwrap();
        let mut sight = Sight::new(defaults::DETECTION, true);
        sight.look(&hello);
        let found = sight.hello().unwrap();
        assert_eq!(
            (found.server_name.as_deref(), found.alpn.as_slice()),
            (Some("a.example"), &["h2".to_owned()][..])
        );
        assert!(client_hello("not a name", &[]).is_err());
    }
}
