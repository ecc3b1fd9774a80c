//! TLS: which certificates are trusted, by which cryptography. rustls with aws-lc-rs, chosen here
//! and not through the process-wide default, so that no other crate can change it.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// The configuration of every TLS connection: the platform's roots (the roots of webpki where the
/// platform has none) and `extra_roots`, TLS 1.2 and 1.3, no client certificate.
///
/// # Errors
/// Why it cannot be made, in the words of rustls.
pub fn client_config(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, String> {
    config_with(verifier(extra_roots)?)
}

/// The same, with another idea of who is to be trusted.
pub(crate) fn config_with(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Who is to be trusted.
pub(crate) fn verifier(
    extra_roots: &[CertificateDer<'static>],
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    match platform_verifier(extra_roots, provider()) {
        Ok(verifier) => Ok(verifier),
        Err(why) => {
            tracing::debug!(%why, "the platform has no trusted roots; using those of webpki");
            let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            for root in extra_roots {
                roots.add(root.clone()).map_err(|error| error.to_string())?;
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            verifier
                .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
                .map_err(|error| error.to_string())
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A configuration that trusts nobody, for clients that speak plain HTTP only: the platform's roots
/// take tens of milliseconds to load.
///
/// # Errors
/// Why it cannot be made, in the words of rustls.
pub fn trusting_nobody() -> Result<ClientConfig, String> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

/// The certificates of a PEM file.
pub(crate) fn parse_roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let roots: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("not PEM: {error}"))?;
    if roots.is_empty() {
        return Err("no `BEGIN CERTIFICATE` in it".to_owned());
    }
    Ok(roots)
}

fn platform_verifier(
    extra_roots: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
    // Asked first without the extra roots: with them it would be content with those alone.
    let plain = Verifier::new(provider.clone())?;
    if extra_roots.is_empty() {
        return Ok(Arc::new(plain));
    }
    Ok(Arc::new(Verifier::new_with_extra_roots(extra_roots.iter().cloned(), provider)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_that_are_none_are_refused() {
        for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"] {
            assert!(parse_roots(pem.as_bytes()).is_err(), "{pem:?}");
        }
    }
}
