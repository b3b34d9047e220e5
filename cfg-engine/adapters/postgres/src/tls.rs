//! The connection string, and TLS as its `sslmode` asks for it.
//!
//! The words mean what they mean to libpq: `prefer` and `require` encrypt without looking at the
//! certificate, unless `sslrootcert` names who must have signed it; `verify-ca` looks at the signature and
//! `verify-full` at the host's name too, with the web's authorities where no file is named.

use std::sync::Arc;

use cfg_engine::adapter::AdapterError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::errors::setup;

/// How much of the server's certificate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    Nothing,
    Signature,
    SignatureAndName,
}

/// A connection string, read.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) config: Config,
    pub(crate) tls: MakeRustlsConnect,
    /// Host and port for messages, without credentials.
    pub(crate) place: String,
}

/// Reads a connection string.
///
/// # Errors
///
/// [`AdapterError::Setup`], which repeats nothing of it.
pub(crate) fn target(uri: &str) -> Result<Target, AdapterError> {
    let (plain, ssl_mode, root_file) = without_tls_words(uri);
    let mut config: Config = plain.parse().map_err(|_| bad_uri("it cannot be read"))?;
    let verify = match ssl_mode.as_deref() {
        None => None,
        Some("disable") => Some((SslMode::Disable, Verify::Nothing)),
        Some("allow" | "prefer") => Some((SslMode::Prefer, Verify::Nothing)),
        Some("require") => Some((SslMode::Require, Verify::Nothing)),
        Some("verify-ca") => Some((SslMode::Require, Verify::Signature)),
        Some("verify-full") => Some((SslMode::Require, Verify::SignatureAndName)),
        Some(_) => {
            return Err(bad_uri("its sslmode is none of disable, allow, prefer, require, verify-ca, verify-full"));
        }
    };
    let (mode, mut verify) = verify.unwrap_or((SslMode::Prefer, Verify::Nothing));
    if verify == Verify::Nothing && root_file.is_some() && mode == SslMode::Require {
        verify = Verify::Signature;
    }
    config.ssl_mode(mode);
    if config.get_application_name().is_none() {
        config.application_name("cfg-engine");
    }
    if config.get_user().is_none() {
        return Err(bad_uri("it names no user"));
    }
    let place = place(&config);
    Ok(Target { tls: MakeRustlsConnect::new(client(verify, root_file.as_deref())?), config, place })
}

fn bad_uri(problem: &str) -> AdapterError {
    setup(
        format!("the uri of the database cannot be used: {problem}"),
        "write postgresql://user:password@host:5432/database, with ?sslmode=verify-full where the network is not yours",
    )
}

/// Takes the words about TLS out of a connection string: the driver knows fewer of them.
fn without_tls_words(uri: &str) -> (String, Option<String>, Option<String>) {
    let (mut mode, mut root) = (None, None);
    let mut take = |word: &str| -> bool {
        match word.split_once('=') {
            Some((key, value)) if key.trim() == "sslmode" => mode = Some(unquoted(value)),
            Some((key, value)) if key.trim() == "sslrootcert" => root = Some(unquoted(value)),
            _ => return false,
        }
        true
    };
    let plain = if uri.contains("://") {
        match uri.split_once('?') {
            None => uri.to_owned(),
            Some((before, parameters)) => {
                let kept: Vec<&str> = parameters.split('&').filter(|word| !take(word)).collect();
                if kept.is_empty() { before.to_owned() } else { format!("{before}?{}", kept.join("&")) }
            }
        }
    } else {
        let kept: Vec<&str> = uri.split_whitespace().filter(|word| !take(word)).collect();
        // Only where something was taken: white space inside quotes is the user's.
        if kept.len() == uri.split_whitespace().count() { uri.to_owned() } else { kept.join(" ") }
    };
    (plain, mode, root)
}

fn unquoted(value: &str) -> String {
    percent_encoding::percent_decode_str(value.trim().trim_matches('\'')).decode_utf8_lossy().into_owned()
}

fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |at: usize| ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432);
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(at)),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts: Vec<String> = hosts.collect();
    if hosts.is_empty() { "no host".to_owned() } else { hosts.join(",") }
}

fn client(verify: Verify, root_file: Option<&str>) -> Result<ClientConfig, AdapterError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| setup("TLS cannot be set up", "use sslmode=disable"))?;
    if verify == Verify::Nothing {
        let unchecked = Arc::new(Checked { inner: None, provider });
        return Ok(builder.dangerous().with_custom_certificate_verifier(unchecked).with_no_client_auth());
    }
    let roots = Arc::new(roots(root_file)?);
    if verify == Verify::SignatureAndName {
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|_| setup("the certificates of sslrootcert cannot be used", "name a PEM file with the authority"))?;
    let checked = Arc::new(Checked { inner: Some(inner), provider });
    Ok(builder.dangerous().with_custom_certificate_verifier(checked).with_no_client_auth())
}

fn roots(file: Option<&str>) -> Result<RootCertStore, AdapterError> {
    let Some(file) = file.filter(|file| *file != "system") else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let unusable = || setup("the file that sslrootcert names cannot be read", "name a PEM file with the authority");
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|_| unusable())? {
        store.add(certificate.map_err(|_| unusable())?).map_err(|_| unusable())?;
    }
    if store.is_empty() { Err(unusable()) } else { Ok(store) }
}

/// Looks at a certificate's signature and not at its name, or at neither.
#[derive(Debug)]
struct Checked {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(certificate, between, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_tls_are_taken_out() {
        let split = |uri: &str| without_tls_words(uri);
        assert_eq!(
            split("postgresql://u@h/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&connect_timeout=3"),
            ("postgresql://u@h/d?connect_timeout=3".into(), Some("verify-full".into()), Some("/etc/ca.pem".into()))
        );
        assert_eq!(split("host=h sslmode=disable user=u"), ("host=h user=u".into(), Some("disable".into()), None));
        assert_eq!(split("host=h password='a  b'").0, "host=h password='a  b'");
    }

    #[test]
    fn strings_that_cannot_be_used_are_refused_without_being_repeated() {
        for bad in
            ["postgresql://me:hunter2@h/d?sslmode=maybe", "hunter2", "postgresql://h/d?nonsense=hunter2", "host=h"]
        {
            let Err(error) = target(bad) else { panic!("{bad}") };
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{bad}: {error}");
        }
        let fine = target("postgresql://me:hunter2@h1:1,h2:2/d?sslmode=require");
        assert_eq!(fine.map(|target| target.place).ok().as_deref(), Some("h1:1,h2:2"));
    }
}
