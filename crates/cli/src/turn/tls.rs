//! The certificate of a server, from PEM files.

use std::path::Path;
use std::sync::Arc;

use peerline::default_provider;
use peerline_turn_server::TlsConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Reads a chain of certificates, the server's own first, and its key.
pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Arc<TlsConfig>, String> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| cannot_read(certificate, &error, "CERTIFICATE"))?;
    if chain.is_empty() {
        return Err(cannot_read(certificate, &pem::Error::NoItemsFound, "CERTIFICATE"));
    }
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| cannot_read(key, &error, "PRIVATE KEY"))?;
    let builder = TlsConfig::builder_with_provider(default_provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = builder.with_no_client_auth().with_single_cert(chain, key_der);
    let config = config.map_err(|error| {
        format!(
            "{} and {} do not go together: {error}\n  the key has to be that of the first certificate in its file",
            certificate.display(),
            key.display()
        )
    })?;
    Ok(Arc::new(config))
}

fn cannot_read(path: &Path, error: &pem::Error, label: &str) -> String {
    let path = path.display();
    match error {
        pem::Error::NoItemsFound => {
            format!("{path} has none of what is looked for: lines between -----BEGIN {label}----- and its end")
        }
        error => format!("{path} cannot be read: {error}"),
    }
}
