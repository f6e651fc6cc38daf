//! Connections to a Redis server or cluster, and batches of commands.

use redis::cluster::{ClusterClient, ClusterConnection, ClusterPipeline, cluster_pipe};
use redis::{
    Client, Cmd, Connection, ConnectionAddr, ConnectionInfo, ConnectionLike, ErrorKind, IntoConnectionInfo,
    RedisError, RedisResult, Value,
};
use std::sync::Mutex;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::lock::lock;
use crate::publish::address::Address;

/// A connection to a server or to a cluster.
pub(super) struct Link {
    wire: Wire,
    address: String,
}

enum Wire {
    One(Box<Connection>),
    Cluster(Box<ClusterConnection>),
}

/// A pool of idle connections.
pub(super) struct Pool {
    source: LinkSource,
    address: String,
    /// The number of the database on the server.
    db: i64,
    idle: Mutex<Vec<Link>>,
    /// The longest time to wait for an answer.
    limit: Duration,
}

enum LinkSource {
    One(Client),
    Cluster(ClusterClient),
}

impl Pool {
    /// Prepares a pool without connecting. Credentials come from the address, or from
    /// `REDIS_USERNAME` and `REDIS_PASSWORD` if the address has none.
    pub(super) fn new(
        address: &Address,
        shown_address: String,
        is_cluster: bool,
        limit: Duration,
    ) -> Result<Self> {
        let wrong = |error: RedisError| {
            // The detail of a client error may quote the address, and with it the password.
            let why = if error.kind() == ErrorKind::InvalidClientConfig {
                "a broken address or missing certificates"
            } else {
                "another"
            };
            Error::usage(format!(
                "expected an address such as redis://localhost:6379/0 instead of {shown_address}, found {why}"
            ))
        };
        let rest = if address.rest.is_empty() {
            "localhost"
        } else {
            &address.rest
        };
        let info = format!("{}://{rest}", address.kind)
            .into_connection_info()
            .map_err(wrong)?;
        let mut settings = info.redis_settings().clone();
        let from_env = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        if settings.password().is_none()
            && let Some(password) = from_env("REDIS_PASSWORD")
        {
            settings = settings.set_password(password);
        }
        if settings.username().is_none()
            && let Some(user) = from_env("REDIS_USERNAME")
        {
            settings = settings.set_username(user);
        }
        let db = settings.db();
        // The connection is listed as `sluice` with its version, without other details.
        let info = info.set_redis_settings(settings.set_lib_name("sluice", env!("CARGO_PKG_VERSION")));
        let source = if is_cluster {
            LinkSource::Cluster(cluster(&info, limit).map_err(wrong)?)
        } else {
            LinkSource::One(Client::open(info).map_err(wrong)?)
        };
        Ok(Self {
            source,
            address: shown_address,
            db,
            idle: Mutex::default(),
            limit,
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The number of the database on the server.
    pub(super) fn db(&self) -> i64 {
        self.db
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.source, LinkSource::Cluster(_))
    }

    /// Takes an idle connection, or opens a new one.
    pub(super) fn take(&self) -> Result<Link> {
        if let Some(link) = lock(&self.idle).pop() {
            return Ok(link);
        }
        let wire = match &self.source {
            LinkSource::One(client) => client
                .get_connection_with_timeout(self.limit.min(CONNECT_LIMIT))
                .and_then(|connection| {
                    connection.set_read_timeout(Some(self.limit))?;
                    connection.set_write_timeout(Some(self.limit))?;
                    Ok(Wire::One(Box::new(connection)))
                }),
            LinkSource::Cluster(client) => client.get_connection().and_then(|connection| {
                connection.set_read_timeout(Some(self.limit))?;
                connection.set_write_timeout(Some(self.limit))?;
                Ok(Wire::Cluster(Box::new(connection)))
            }),
        };
        let wire = wire.map_err(|error| {
            Error::target(
                &self.address,
                format!("expected a Redis server, found: {}", message(&error)),
            )
            .hint("check host, port, user and password; the previous version is still in force")
        })?;
        Ok(Link {
            wire,
            address: self.address.clone(),
        })
    }

    /// Returns a working connection to the pool. A failed connection is dropped instead.
    pub(super) fn give(&self, link: Link) {
        lock(&self.idle).push(link);
    }
}

fn cluster(info: &ConnectionInfo, limit: Duration) -> RedisResult<ClusterClient> {
    if let ConnectionAddr::Unix(_) = info.addr() {
        return Err((ErrorKind::InvalidClientConfig, "a cluster is reached over TCP").into());
    }
    ClusterClient::builder(vec![info.clone()])
        .connection_timeout(limit.min(CONNECT_LIMIT))
        .response_timeout(limit)
        .build()
}

/// The text of an error, without credentials.
fn message(error: &RedisError) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    // Server errors name commands and keys, never a password.
    error.to_string()
}

impl Link {
    fn lost(&self, error: &RedisError) -> Error {
        Error::target(
            &self.address,
            format!("expected an answer, found: {}", message(error)),
        )
        .hint("the previous version is still in force; run it again to finish")
    }

    /// Sends one command and returns its answer.
    pub(super) fn ask<T: redis::FromRedisValue>(&mut self, command: &Cmd) -> Result<T> {
        let answer = match &mut self.wire {
            Wire::One(connection) => command.query(connection.as_mut()),
            Wire::Cluster(connection) => command.query(connection.as_mut()),
        };
        answer.map_err(|error| self.lost(&error))
    }

    /// Sends the commands of a batch, waits for all answers, and empties the batch.
    pub(super) fn send(&mut self, batch: &mut Batch) -> Result<Vec<Value>> {
        let sent = match (&mut self.wire, batch) {
            (_, batch) if batch.n == 0 => return Ok(Vec::new()),
            (Wire::One(connection), batch) => {
                let answers = connection.req_packed_commands(&batch.packed, 0, batch.n);
                batch.packed.clear();
                batch.n = 0;
                answers
            }
            (Wire::Cluster(connection), batch) => {
                batch.n = 0;
                let pipe = batch.pipe.replace(cluster_pipe()).unwrap_or_else(cluster_pipe);
                pipe.query(connection.as_mut())
            }
        };
        let answers = sent.map_err(|error| self.lost(&error))?;
        match answers.iter().find_map(|answer| {
            if let Value::ServerError(error) = answer {
                Some(error)
            } else {
                None
            }
        }) {
            None => Ok(answers),
            Some(error) => Err(self.lost(&RedisError::from(error.clone()))),
        }
    }
}

/// Commands that are sent together.
pub(super) struct Batch {
    /// The commands in the wire protocol, for one server. The client's own pipeline is too slow.
    packed: Vec<u8>,
    n: usize,
    /// The commands for a cluster, where each command has its own server; `None` for one server.
    pipe: Option<ClusterPipeline>,
}

impl Batch {
    pub(super) fn new(pool: &Pool) -> Self {
        Self {
            packed: Vec::new(),
            n: 0,
            pipe: pool.is_cluster().then(cluster_pipe),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.n
    }

    /// Adds a command, given by its parts.
    pub(super) fn push(&mut self, parts: &[&[u8]]) {
        self.n += 1;
        if let Some(pipe) = &mut self.pipe {
            let mut command = Cmd::new();
            parts.iter().for_each(|part| {
                command.arg(*part);
            });
            pipe.add_command(command);
            return;
        }
        let mut number = itoa::Buffer::new();
        self.packed.push(b'*');
        self.packed
            .extend_from_slice(number.format(parts.len()).as_bytes());
        self.packed.extend_from_slice(b"\r\n");
        for part in parts {
            self.packed.push(b'$');
            self.packed
                .extend_from_slice(number.format(part.len()).as_bytes());
            self.packed.extend_from_slice(b"\r\n");
            self.packed.extend_from_slice(part);
            self.packed.extend_from_slice(b"\r\n");
        }
    }
}

/// The longest time that a connection attempt may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
