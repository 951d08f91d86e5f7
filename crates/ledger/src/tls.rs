//! Whom a node must prove to be: TLS to public nodes, and to one's own with a certificate of one's own.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// Why a connection cannot be protected.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificates are not in PEM form, or there is none.
    #[error("the certificates cannot be read: {0}; give a PEM file with the node's certificate authority")]
    Certificates(String),
    /// The library refuses what it was given.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// Who may vouch for a node. Cheap to copy.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// The authorities that browsers trust.
    ///
    /// # Errors
    /// [`TlsError::Setup`].
    pub fn public() -> Result<Tls, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Tls::trusting(roots)
    }

    /// Only the authorities in `pem`, for a node of one's own.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn only(pem: &[u8]) -> Result<Tls, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(|error| TlsError::Certificates(error.to_string()))?)?;
        }
        if roots.is_empty() {
            return Err(TlsError::Certificates("there is no certificate in it".to_string()));
        }
        Tls::trusting(roots)
    }

    fn trusting(roots: RootCertStore) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Tls(Arc::new(config)))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_authorities_are_there_and_junk_is_refused() {
        assert!(Tls::public().is_ok());
        for junk in [&b""[..], b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Tls::only(junk).is_err());
        }
    }
}
