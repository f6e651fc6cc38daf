//! The HTTP client of object stores. It uses ureq with rustls and ring instead of the crate's own
//! client, which needs a second TLS library.
//!
//! A request blocks the calling thread, and its response is read completely. Callers request a few
//! megabytes at a time.

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, io};
use ureq::Agent;
use ureq::http::{Method, Request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::base::limits::Limit;
use crate::base::lock::lock;
use crate::base::objects::listing::{SkippedKeys, without_odd_keys};
use crate::base::open;

/// Creates HTTP clients.
#[derive(Debug, Default)]
pub(super) struct Connector {
    /// Keys that were taken out of lists.
    pub(super) skipped: Arc<Mutex<SkippedKeys>>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = options
            .get_config_value(&ClientConfigKey::AllowHttp)
            .is_some_and(|value| value == "true");
        let failed = |source: io::Error| object_store::Error::Generic {
            store: "S3",
            source: Box::new(source),
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&trusted().map_err(failed)?))
            .build();
        let config = Agent::config_builder()
            .https_only(!allow_http)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .timeout_per_write(Some(Duration::from_secs(60)))
            .tls_config(tls)
            .build();
        Ok(HttpClient::new(Service {
            agent: Agent::new_with_config(config),
            skipped: Arc::clone(&self.skipped),
        }))
    }
}

/// The certificates of `AWS_CA_BUNDLE`, or those that the system trusts.
fn trusted() -> io::Result<Vec<Certificate<'static>>> {
    let Ok(path) = env::var("AWS_CA_BUNDLE") else {
        return Ok(system_certificates());
    };
    let wrong = |found: String| {
        io::Error::other(format!(
            "expected certificates in PEM in AWS_CA_BUNDLE, found {found}"
        ))
    };
    let text = open::read(Path::new(&path)).map_err(|error| wrong(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        Err(wrong("none".into()))
    } else {
        Ok(certificates)
    }
}

/// The certificates that the system trusts. Those that cannot be read are skipped.
pub(crate) fn system_certificates() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect()
}

#[derive(Debug)]
struct Service {
    agent: Agent,
    skipped: Arc<Mutex<SkippedKeys>>,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let is_list = parts
            .uri
            .query()
            .is_some_and(|query| query.split('&').any(|part| part == "list-type=2"));
        let body = body.collect().await?.to_bytes();
        let answer = if body.is_empty() && [Method::GET, Method::HEAD, Method::DELETE].contains(&parts.method)
        {
            self.agent.run(Request::from_parts(parts, ()))
        } else {
            self.agent.run(Request::from_parts(parts, body.as_ref()))
        };
        let (parts, mut body) = answer.map_err(failed)?.into_parts();
        // An answer is a part of an object, a page of a list, or an error.
        let mut bytes = body
            .with_config()
            .limit(Limit::Answer.value())
            .read_to_vec()
            .map_err(failed)?;
        if is_list
            && parts.status.is_success()
            && let Ok(page) = std::str::from_utf8(&bytes)
        {
            bytes = without_odd_keys(page, &mut lock(&self.skipped)).into_bytes();
        }
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }
}

fn failed(error: ureq::Error) -> HttpError {
    let kind = match &error {
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => HttpErrorKind::Connect,
        ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
        ureq::Error::Io(inner) if inner.kind() == io::ErrorKind::ConnectionRefused => HttpErrorKind::Connect,
        ureq::Error::Io(_) | ureq::Error::Protocol(_) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}
