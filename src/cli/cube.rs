//! `sluice cube`: merges, shows and slices cubes.

use clap::{Args, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::apart::Apart;
use crate::base::error::{Error, Result};
use crate::base::files::StagedFolder;
use crate::base::number::{count, percent};
use crate::base::time::Micros;
use crate::base::{escape, json, time};
use crate::cli::summary::row_counts_text;
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_data, print_json};
use crate::cli::text::path_text;
use crate::cli::values::parse_instant;
use crate::replay;
use crate::replay::{Breakdown, CUBE_FILE, CellKey, Cube, Exposure};
use crate::scenario::{Arm, BreakdownBy};
use crate::words::Text;
use crate::words::commands as say;

/// Merge, show or slice cubes
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/cube.txt"))]
pub(super) struct CubeArgs {
    #[command(subcommand)]
    command: CubeCommand,
}

#[derive(Debug, Subcommand)]
enum CubeCommand {
    /// Merge cubes of different files into the cube of all of them
    Merge {
        /// Cubes of one ramp, at one as_of
        #[arg(required = true, num_args = 2.., value_name = "CUBE")]
        cubes: Vec<PathBuf>,
        /// Folder for the merged cube
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Print rows, users and sessions of a cube by layer and stage
    Show {
        /// The cube
        #[arg(value_name = "CUBE")]
        cube: PathBuf,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print sums of a part of a cube as CSV, in the cube's integer units
    Slice(SliceArgs),
}

#[derive(Debug, Args)]
struct SliceArgs {
    /// The cube
    #[arg(value_name = "CUBE")]
    cube: PathBuf,
    /// Only this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only this layer
    #[arg(long, value_name = "LAYER")]
    layer: Option<String>,
    /// Only this release
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
    /// Only windows that start at this instant or later
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    from: Option<Micros>,
    /// Only windows that start before this instant
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    until: Option<Micros>,
    /// Keys of the sums
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [By::Tenant, By::Layer, By::Stage, By::Release], value_name = "KEY,...")]
    by: Vec<By>,
    /// Paired sums instead of those of the log
    #[arg(long)]
    pairs: bool,
    /// One more key: the values of this column, which must be in analysis.breakdowns
    #[arg(long, value_name = "COLUMN", conflicts_with = "pairs")]
    breakdown: Option<String>,
}

/// A part of a cell's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum By {
    Tenant,
    Layer,
    Stage,
    Release,
    Window,
    Group,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant_id",
            Self::Layer => "layer",
            Self::Stage => "stage",
            Self::Release => "release",
            Self::Window => "window_start",
            Self::Group => "bucket_group",
        }
    }

    /// The key's part as a number that sorts like it.
    fn key_part(self, key: &CellKey) -> u64 {
        match self {
            Self::Tenant => key.tenant.into(),
            Self::Layer => key.layer.into(),
            Self::Stage => key.stage.into(),
            Self::Release => key.arm as u64,
            Self::Window => key.window.into(),
            Self::Group => key.group.into(),
        }
    }

    fn show(self, cube: &Cube, number: u64) -> String {
        match self {
            Self::Tenant => cube.tenants[number as usize].clone(),
            Self::Layer => cube.layer_ids[number as usize].clone(),
            Self::Release => {
                if number == 0 {
                    cube.baseline.clone()
                } else {
                    cube.candidate.clone()
                }
            }
            Self::Window => time::format(cube.start + number as i64 * cube.window),
            Self::Stage | Self::Group => number.to_string(),
        }
    }
}

pub(super) fn run(args: &CubeArgs, terminal: &Terminal) -> Result<u8> {
    match &args.command {
        CubeCommand::Merge { cubes, out } => merge(cubes, out, terminal),
        CubeCommand::Show { cube, json } => show(&Cube::read(cube)?, *json, terminal),
        CubeCommand::Slice(args) => slice(args),
    }
}

fn merge(cubes: &[PathBuf], out: &Path, terminal: &Terminal) -> Result<u8> {
    Apart::new().reads(cubes).replaces([out]).check()?;
    let staged = StagedFolder::begin(out, CUBE_FILE)?;
    let cube = replay::merge(cubes, staged.path())?;
    staged.commit()?;
    terminal.print(&format!(
        "{}{}\n  {}\n",
        row_counts_text(&cube),
        terminal.text(&say::written()),
        path_text(out)
    ))?;
    Ok(DONE)
}

/// Users of a stage, and rows and sessions by release.
type StageCounts = (Exposure, [u64; 2], [u64; 2]);

fn show(cube: &Cube, json: bool, terminal: &Terminal) -> Result<u8> {
    let mut stages: BTreeMap<(u32, u8, u8), StageCounts> = BTreeMap::new();
    for row in &cube.exposures {
        let users = &mut stages.entry((row.tenant, row.layer, row.stage)).or_default().0;
        users.add(&row.users);
    }
    for (key, values) in cube.cells.iter() {
        stages.entry((key.tenant, key.layer, key.stage)).or_default().1[key.arm as usize] +=
            values[0].unsigned_abs();
    }
    for row in &cube.sessions {
        stages.entry((row.tenant, row.layer, row.stage)).or_default().2[row.arm as usize] += row.n_sessions;
    }
    if json {
        let stage = |(tenant, layer, stage): &(u32, u8, u8)| {
            cube.layers
                .iter()
                .find(|row| (row.tenant, row.layer) == (*tenant, *layer))
                .and_then(|row| row.stages.get(usize::from(*stage)))
        };
        let rows: Vec<serde_json::Value> = stages
            .iter()
            .map(|(key, (users, rows, sessions))| {
                serde_json::json!({
                    "tenant": cube.tenants[key.0 as usize], "layer": cube.layer_ids[usize::from(key.1)], "stage": key.2,
                    "start": stage(key).map(|stage| time::format(stage.start)), "ratio": stage(key).map(|stage| stage.ratio),
                    "rows": {"baseline": rows[0], "candidate": rows[1]}, "users": users,
                    "sessions": cube.counts_sessions.then(|| serde_json::json!({"baseline": sessions[0], "candidate": sessions[1]})),
                })
            })
            .collect();
        let document = serde_json::json!({"plan_id": cube.plan_id, "as_of": time::format(cube.as_of), "counts": cube.counts, "stages": rows});
        print_json(&json::to_json(&document))?;
        return Ok(DONE);
    }
    let said = say::cube_of(
        &cube.plan_id,
        &cube.candidate,
        &cube.baseline,
        time::format(cube.start),
        time::format(cube.as_of),
    );
    let head = format!("{}\n{}\n", terminal.text(&said), row_counts_text(cube));
    let mut text = terminal.fill(&head);
    let title = |text: Text| column(terminal.text(&text));
    let mut columns = vec![
        if cube.tenants.len() > 1 {
            title(say::tenant())
        } else {
            title(say::tenant()).wide()
        },
        title(say::layer()),
        title(say::stage()).right(),
        title(say::from()).rank(2),
        title(say::ratio()).right(),
        title(say::rows_baseline()).right(),
        title(say::candidate()).right(),
        title(say::users_baseline()).right(),
        title(say::candidate()).right(),
        title(say::both()).right().rank(3),
        title(say::first_exposed()).right().wide(),
    ];
    if cube.counts_sessions {
        columns.extend([
            title(say::sessions_baseline()).right().wide(),
            title(say::candidate()).right().wide(),
        ]);
    }
    let mut table = Table::new(columns);
    for ((tenant, layer, stage), (users, rows, sessions)) in &stages {
        let of = cube
            .layers
            .iter()
            .find(|row| (row.tenant, row.layer) == (*tenant, *layer))
            .and_then(|row| row.stages.get(usize::from(*stage)));
        let mut cells = vec![
            cube.tenants[*tenant as usize].clone(),
            cube.layer_ids[usize::from(*layer)].clone(),
            stage.to_string(),
            of.map_or_else(String::new, |stage| time::format(stage.start)),
            of.map_or_else(String::new, |stage| percent(stage.ratio.share())),
        ];
        cells.extend(rows.iter().copied().map(count));
        cells.extend(
            [
                users.n_baseline,
                users.n_candidate,
                users.n_crossover,
                users.n_first_candidate,
            ]
            .map(count),
        );
        if cube.counts_sessions {
            cells.extend(sessions.iter().copied().map(count));
        }
        table.add_row(cells);
    }
    text.push_str(&table.render(terminal));
    terminal.print(&text)?;
    Ok(DONE)
}

fn find_breakdown<'a>(cube: &'a Cube, column: &str) -> Result<&'a Breakdown> {
    let wanted = BreakdownBy::Column(column.to_owned());
    cube.breakdowns.iter().find(|breakdown| breakdown.by == wanted).ok_or_else(|| {
        Error::usage(format!("expected a column that the cube is broken down by, found \"{column}\""))
            .hint("name it in the scenario's `analysis.breakdowns`, and create the cube again with `sluice replay`")
    })
}

fn slice(args: &SliceArgs) -> Result<u8> {
    let cube = Cube::read(&args.cube)?;
    let known = |what: &str, name: &Option<String>, names: &[&String]| match name {
        Some(name) if !names.contains(&name) => {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            Err(Error::usage(format!(
                "expected {what} {}, found \"{name}\"",
                names.join(", ")
            )))
        }
        _ => Ok(()),
    };
    known(
        "a layer out of",
        &args.layer,
        &cube.layer_ids.iter().collect::<Vec<_>>(),
    )?;
    known(
        "a release out of",
        &args.release,
        &[&cube.baseline, &cube.candidate],
    )?;
    if args
        .tenant
        .as_ref()
        .is_some_and(|tenant| !cube.tenants.contains(tenant))
    {
        return Err(Error::usage(format!(
            "expected a tenant of the cube, found \"{}\"",
            args.tenant.as_deref().unwrap_or_default()
        )));
    }
    let is_wanted = |key: &CellKey| {
        let at = cube.start + i64::from(key.window) * cube.window;
        let release = if key.arm == Arm::Baseline {
            &cube.baseline
        } else {
            &cube.candidate
        };
        args.tenant
            .as_ref()
            .is_none_or(|tenant| *tenant == cube.tenants[key.tenant as usize])
            && args
                .layer
                .as_ref()
                .is_none_or(|layer| *layer == cube.layer_ids[usize::from(key.layer)])
            && args.release.as_ref().is_none_or(|wanted| wanted == release)
            && args.from.is_none_or(|from| at >= from)
            && args.until.is_none_or(|until| at < until)
    };
    let breakdown = args
        .breakdown
        .as_ref()
        .map(|column| find_breakdown(&cube, column))
        .transpose()?;
    let cells = if args.pairs {
        &cube.pairs
    } else {
        breakdown.map_or(&cube.cells, |breakdown| &breakdown.cells)
    };
    let mut sums: BTreeMap<Vec<u64>, Vec<i128>> = BTreeMap::new();
    for (idx, (key, values)) in cells.iter().enumerate().filter(|(_, (key, _))| is_wanted(key)) {
        let value = breakdown.map(|breakdown| u64::from(breakdown.value_of[idx]));
        let total = sums
            .entry(args.by.iter().map(|by| by.key_part(key)).chain(value).collect())
            .or_insert_with(|| vec![0; values.len()]);
        total
            .iter_mut()
            .zip(values)
            .for_each(|(total, value)| *total += i128::from(*value));
    }
    let there: Vec<usize> = (0..cube.measures.len())
        .filter(|idx| cube.measures[*idx].present)
        .collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Error::usage(format!("expected to write CSV, found: {error}"));
    let names = args
        .by
        .iter()
        .map(|by| by.name().to_owned())
        .chain(args.breakdown.clone())
        .chain(there.iter().map(|idx| cube.measures[*idx].sum.column_name()));
    writer.write_record(names).map_err(failed)?;
    for (key, total) in &sums {
        let value = breakdown.and_then(|breakdown| breakdown.values.get(*key.last()? as usize).cloned());
        let parts = args
            .by
            .iter()
            .zip(key)
            .map(|(by, number)| by.show(&cube, *number))
            .chain(value);
        writer
            .write_record(
                parts
                    .map(|text| escape::csv_field(&text).into_owned())
                    .chain(there.iter().map(|idx| total[*idx].to_string())),
            )
            .map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::usage(format!("expected to write CSV, found: {error}")))?;
    print_data(&String::from_utf8_lossy(&bytes))?;
    Ok(DONE)
}
