//! Connections to PostgreSQL, and conversion of the server's errors. No error holds a connection
//! string.

use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::types::FromSql;
use postgres::{Client, Config, NoTls, Row};
use std::env;
use std::error::Error as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::url::percent_decoded;
use crate::publish::address::Address;
use crate::publish::postgres::tls::Tls;

const SETTINGS: &[&str] = &["schema", "sslmode", "sslrootcert", "host", "connections"];

/// The longest time that a connection attempt may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The server, the schema of the tables and the connection settings.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    tls: Option<Tls>,
    /// The address without credentials and settings, followed by the schema.
    pub(super) address: String,
    /// The schema of all tables: lowercase letters, digits and `_`.
    pub(super) schema: String,
    /// The number of connections that copy rows at the same time, 1..=16.
    pub(super) n_connections: usize,
}

impl Server {
    /// Reads the server from an address. Missing parts come from libpq's environment variables.
    /// `limit` is the longest time without an answer. Nothing is contacted yet.
    pub(super) fn open(address: &Address, limit: Duration) -> Result<Self> {
        address.allow(SETTINGS)?;
        let wrong = |message: &str| Error::usage(format!("{address}: {message}"));
        let (credentials, rest) = address.rest.rsplit_once('@').unwrap_or(("", &address.rest));
        let (user, password) = credentials
            .split_once(':')
            .map_or((credentials, None), |(user, password)| (user, Some(password)));
        let decoded = |text: &str| {
            percent_decoded(text)
                .ok_or_else(|| wrong("expected user and password as text, found broken %-signs"))
        };
        let user = match decoded(user)? {
            user if !user.is_empty() => user,
            _ => env::var("PGUSER").map_err(|_| {
                wrong("expected a user, found none").hint("postgres://USER@HOST/DB, or set PGUSER")
            })?,
        };
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let database = match decoded(database)? {
            database if !database.is_empty() => database,
            _ => env::var("PGDATABASE").unwrap_or_else(|_| user.clone()),
        };
        let (host, port) =
            host_and_port(authority).ok_or_else(|| wrong("expected HOST:PORT with a port of 1 to 65535"))?;
        let host = address.get("host").map_or(host, str::to_owned);
        let host = if host.is_empty() {
            env::var("PGHOST").unwrap_or_else(|_| "localhost".into())
        } else {
            host
        };
        let port = match (port, env::var("PGPORT")) {
            (Some(port), _) => port,
            (None, Ok(text)) => text
                .parse()
                .map_err(|_| wrong("expected a port in PGPORT, found other text"))?,
            (None, Err(_)) => 5432,
        };
        let password = match password {
            Some(password) => Some(decoded(password)?),
            None => env::var("PGPASSWORD").ok(),
        };
        let schema = address.get_or("schema", "sluice").to_owned();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if schema.is_empty()
            || schema.len() > 63
            || !schema.chars().all(is_plain)
            || schema.starts_with("pg_")
        {
            return Err(
                wrong("expected a schema of the letters a-z, digits and _, found another")
                    .hint("?schema=sluice"),
            );
        }
        let n_connections = match address.get_or("connections", "2").parse() {
            Ok(n @ 1..=16) => n,
            _ => return Err(wrong("expected 1 to 16 connections")),
        };

        let ssl_mode = ssl_mode(address, &host)?;
        let mut config = Config::new();
        config
            .user(&user)
            .dbname(&database)
            .host(&host)
            .port(port)
            .application_name("sluice publish")
            .ssl_mode(ssl_mode)
            .connect_timeout(limit.min(CONNECT_LIMIT))
            .tcp_user_timeout(limit)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3);
        if let Some(password) = password {
            config.password(password);
        }
        let roots = address
            .get("sslrootcert")
            .map(str::to_owned)
            .or_else(|| env::var("PGSSLROOTCERT").ok());
        let tls = if ssl_mode == SslMode::Disable {
            None
        } else {
            Some(Tls::trusting(roots.as_deref().map(Path::new))?)
        };
        Ok(Self {
            config,
            tls,
            address: format!("{address}?schema={schema}"),
            schema,
            n_connections,
        })
    }

    /// Opens a connection whose search path is the schema.
    pub(super) fn connect(&self) -> Result<Client> {
        let client = match &self.tls {
            Some(tls) => self.config.connect(tls.clone()),
            None => self.config.connect(NoTls),
        };
        let mut client =
            client.map_err(|error| self.failed("expected a PostgreSQL that takes the connection", &error))?;
        // The server ends a session soon after its client was killed, and releases its locks.
        let settings = format!(
            "set search_path to \"{}\"; set client_min_messages to warning; set lock_timeout to '5s'; set timezone to 'UTC';
             do $$ begin perform set_config('client_connection_check_interval', '1s', false); exception when others then null; end $$",
            self.schema
        );
        client
            .batch_execute(&settings)
            .map_err(|error| self.failed("expected a session", &error))?;
        Ok(client)
    }

    /// Reads a value of a row. `what` describes it in the error.
    ///
    /// # Errors
    /// A value of another type, or a null where the type allows none.
    pub(super) fn value<'r, T: FromSql<'r>>(&self, row: &'r Row, idx: usize, what: &str) -> Result<T> {
        row.try_get(idx).map_err(|error| {
            self.failed(&format!("expected {what}"), &error).hint(
                "the tables were changed, or belong to another program: restore their types, or name a schema of its own with ?schema=",
            )
        })
    }

    /// Builds an error with the server's own message and address.
    pub(super) fn failed(&self, expected: &str, error: &postgres::Error) -> Error {
        let message = match error.as_db_error() {
            Some(db_error) => {
                let detail = db_error
                    .detail()
                    .map(|detail| format!(" ({detail})"))
                    .unwrap_or_default();
                format!("{}{detail}", db_error.message())
            }
            None => {
                let mut texts = vec![error.to_string()];
                let mut source = error.source();
                while let Some(cause) = source {
                    texts.push(cause.to_string());
                    source = cause.source();
                }
                texts.dedup();
                texts.join(": ")
            }
        };
        let hint = match error.code() {
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                "check the user, and PGPASSWORD"
            }
            Some(&SqlState::INVALID_CATALOG_NAME) => "create the database; Sluice makes its own schema in it",
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                "the user must own the schema, or may create it: grant create on database ... to ..."
            }
            Some(&SqlState::DISK_FULL) => "free some space on the server, then run it again",
            Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                "another transaction holds a table for long: run it again when it is done"
            }
            Some(_) => "readers still see the previous version; run it again",
            None if message.contains("TLS") || message.contains("certificate") => {
                "sslrootcert names the authority to trust; sslmode=disable connects in clear text"
            }
            None => "readers see the previous version or the complete new version; run it again to finish",
        };
        Error::target(&self.address, format!("{expected}, found: {message}")).hint(hint)
    }
}

/// Parses `HOST`, `HOST:PORT` or `[::1]:PORT`. `None` for other text. The inner `None` is a missing
/// port.
fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let port = |text: &str| text.parse().ok().filter(|port: &u16| *port > 0);
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        let after = match after {
            "" => None,
            after => Some(port(after.strip_prefix(':')?)?),
        };
        return Some((host.to_owned(), after));
    }
    match authority.split_once(':') {
        Some((host, text)) => Some((percent_decoded(host)?, Some(port(text)?))),
        None => Some((percent_decoded(authority)?, None)),
    }
}

/// The encryption mode. Connections to the same machine are not encrypted unless requested.
fn ssl_mode(address: &Address, host: &str) -> Result<SslMode> {
    let asked = address
        .get("sslmode")
        .map(str::to_owned)
        .or_else(|| env::var("PGSSLMODE").ok());
    let is_near = host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match asked.as_deref() {
        None if is_near => Ok(SslMode::Disable),
        None | Some("prefer" | "allow") => Ok(SslMode::Prefer),
        Some("disable") => Ok(SslMode::Disable),
        Some("require" | "verify-ca" | "verify-full") if host.starts_with('/') => Err(Error::usage(format!(
            "{address}: expected a host for TLS, found a socket of this machine"
        ))
        .hint("leave sslmode out")),
        Some("require" | "verify-ca" | "verify-full") => Ok(SslMode::Require),
        Some(_) => Err(Error::usage(format!(
            "{address}: expected sslmode disable, prefer, require, verify-ca or verify-full, found another"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        let host = |text| host_and_port(text).map(|(host, port)| format!("{host} {port:?}"));
        assert_eq!(host("db.example").as_deref(), Some("db.example None"));
        assert_eq!(host("db:5433").as_deref(), Some("db Some(5433)"));
        assert_eq!(host("[::1]:5433").as_deref(), Some("::1 Some(5433)"));
        assert_eq!(host("").as_deref(), Some(" None"));
        assert!(
            ["db:0", "db:70000", "db:x", "[::1", "[::1]x"]
                .iter()
                .all(|text| host(text).is_none())
        );
    }
}
