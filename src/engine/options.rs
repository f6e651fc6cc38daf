//! The engines, and how to reach them.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// A program that runs tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The threads of this program.
    #[default]
    Local,
    /// Apache Spark, by PySpark.
    Spark,
    /// Sail, by Spark Connect. Without an address, a server is started in the driver.
    Sail,
}

impl Engine {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Spark => "spark",
            Self::Sail => "sail",
        }
    }
}

/// Who reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// The tasks of this program, which open files.
    #[default]
    Native,
    /// The engine, which passes its rows to the tasks.
    Engine,
}

/// The engine of a job, and how to reach it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineOptions {
    /// The engine.
    pub engine: Engine,
    /// Address of the cluster: a master of Spark, or `sc://` of a server of Spark Connect. Empty for
    /// the engine's own default.
    pub master: String,
    /// Settings of the session.
    pub conf: Vec<(String, String)>,
    /// The program on the executors.
    pub program: PathBuf,
    /// Whether the driver ships the program to the executors.
    pub ship: bool,
    /// The command that starts the driver, split at blanks. Empty for `python3`.
    pub submit: Vec<String>,
    /// The number of partitions of users. `None` follows from the number of users.
    pub partitions: Option<u32>,
    /// Who reads the log.
    pub scan: Reader,
    /// The time after which a driver of this program is stopped. `None` waits as long as it takes.
    #[serde(skip)]
    pub timeout: Option<Duration>,
}
