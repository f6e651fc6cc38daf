//! The options of engines: `--engine`, `--master`, `--conf`.

use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::duration::parse_duration;
use crate::base::error::{Error, Result};
use crate::base::time::Micros;
use crate::engine::{Engine, EngineOptions, Reader};

#[derive(Debug, Args)]
pub(super) struct EngineArgs {
    /// Where tasks run: on the threads of this program, on Apache Spark, or on Sail
    #[arg(long, value_enum, value_name = "ENGINE", default_value_t)]
    engine: EngineName,
    /// Address of the engine, such as local[4], spark://host:7077, yarn or sc://host:50051
    #[arg(long, value_name = "URL")]
    master: Option<String>,
    /// Command that starts the driver, such as "spark-submit --deploy-mode client"; python3 by
    /// default. It is split at blanks and runs without a shell
    #[arg(long, value_name = "COMMAND")]
    submit: Option<String>,
    /// Setting of the engine's session, such as spark.executor.memory=4g; repeatable
    #[arg(long = "conf", value_name = "KEY=VALUE", value_parser = parse_conf)]
    conf: Vec<(String, String)>,
    /// Number of partitions of users in a replay; by default one for each 2 million users, at least 8
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    /// This program on the executors; by default the path of this one, or a copy that the driver ships
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Who reads the log: tasks of this program open its files, or the engine reads Parquet files and
    /// tables of its catalogs (--traffic catalog://NAME)
    #[arg(long, value_enum, value_name = "READER")]
    scan: Option<ReaderName>,
    /// Time limit of the engine, such as 30m: then the driver is stopped, and the command fails. No
    /// limit by default
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    engine_timeout: Option<Micros>,
}

/// A job that others submit.
#[derive(Debug, Args)]
pub(super) struct PreparedArgs {
    /// Write the job for the engine to this folder, and stop: for those who submit it themselves
    #[arg(long, value_name = "DIR", conflicts_with_all = ["prepared", "engine_timeout"])]
    prepare: Option<PathBuf>,
    /// Read the results of a job that --prepare wrote and the engine ran
    #[arg(long, value_name = "DIR")]
    prepared: Option<PathBuf>,
}

impl PreparedArgs {
    /// Whether others run the job.
    pub(super) fn is_given(&self) -> bool {
        self.prepare.is_some() || self.prepared.is_some()
    }

    /// The folder for a job. `None` to run the job, or to read its results.
    pub(super) fn prepare(&self) -> Option<&Path> {
        self.prepare.as_deref()
    }

    /// The folder of a job that others ran. `None` to run the job.
    pub(super) fn prepared(&self) -> Option<&Path> {
        self.prepared.as_deref()
    }
}

/// The names of the engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum EngineName {
    #[default]
    Local,
    Spark,
    Sail,
}

/// The names of the readers of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReaderName {
    Native,
    Engine,
}

fn parse_conf(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as spark.executor.memory=4g".to_owned()),
    }
}

impl EngineArgs {
    /// The engine of a command that can prepare a job. `None` for this program.
    ///
    /// # Errors
    /// As [`Self::options`], or when a job is prepared for no engine.
    pub(super) fn options_for(&self, prepared: &PreparedArgs) -> Result<Option<EngineOptions>> {
        let options = self.options()?;
        if options.is_none() && prepared.prepare.is_some() {
            return Err(Error::usage(
                "expected --engine spark or --engine sail beside --prepare, found none",
            ));
        }
        Ok(options.or_else(|| prepared.prepared.as_ref().map(|_| EngineOptions::default())))
    }

    /// The engine that is asked for, for a command of several stages.
    ///
    /// # Errors
    /// As [`Self::options`], and when the engine is to read the log: other stages read it too.
    pub(super) fn options_of_stages(&self) -> Result<Option<EngineOptions>> {
        let options = self.options()?;
        if options
            .as_ref()
            .is_some_and(|options| options.scan == Reader::Engine)
        {
            return Err(Error::usage(
                "expected --scan native, found engine: other stages of this command read the log without it",
            )
            .hint("run the stages one by one: sluice replay --scan engine is one of them"));
        }
        Ok(options)
    }

    /// The engine that is asked for. `None` for this program.
    ///
    /// # Errors
    /// An option of engines is given without one, or this program has no path.
    pub(super) fn options(&self) -> Result<Option<EngineOptions>> {
        let engine = match self.engine {
            EngineName::Local => {
                let is_given = self.master.is_some()
                    || self.submit.is_some()
                    || !self.conf.is_empty()
                    || self.partitions.is_some()
                    || self.program.is_some()
                    || self.scan.is_some()
                    || self.engine_timeout.is_some();
                if is_given {
                    return Err(Error::usage(
                        "expected --engine spark or --engine sail beside --master, --submit, --conf, \
                         --partitions, --program, --scan and --engine-timeout, found the local engine",
                    ));
                }
                return Ok(None);
            }
            EngineName::Spark => Engine::Spark,
            EngineName::Sail => Engine::Sail,
        };
        let master = self.master.clone().unwrap_or_default();
        let is_near = engine == Engine::Sail
            || master.is_empty()
            || ["local", "sc://"].iter().any(|word| master.starts_with(word));
        let own = || {
            std::env::current_exe()
                .map_err(|error| Error::usage(format!("expected the path of this program, found {error}")))
        };
        let program = match &self.program {
            Some(path) => path.clone(),
            None => own()?,
        };
        let submit = self.submit.iter().flat_map(|command| command.split_whitespace());
        Ok(Some(EngineOptions {
            engine,
            master,
            conf: self.conf.clone(),
            ship: !is_near && self.program.is_none(),
            program,
            submit: submit.map(str::to_owned).collect(),
            partitions: self.partitions,
            scan: match self.scan {
                Some(ReaderName::Engine) => Reader::Engine,
                Some(ReaderName::Native) | None => Reader::Native,
            },
            timeout: self
                .engine_timeout
                .map(|micros| Duration::from_micros(micros.unsigned_abs())),
        }))
    }
}
