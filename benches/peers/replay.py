"""Compares replay in Sluice with DuckDB and Polars, from files to the sums of the cube, in one run.

    pip install duckdb polars
    cargo build --release
    python3 benches/peers/replay.py                # 20 million turns of 20 million users, ten days
    python3 benches/peers/replay.py --data DIR     # plan.toml, layers.parquet, log/*.parquet of a run
    python3 benches/peers/replay.py --users 2000000 --turns 2000000
    python3 benches/peers/replay.py --sizes 2000000 20000000 60000000    # Sluice alone, the cost of a row

Every engine reads the same files, joins the log with the layer table by user id (or takes the layer
of the log), and keeps eligible users. It adds 15 columns and their counts of values that are not
null, by layer, release, hour and bucket group.
Sluice does more in the same pass: exact distinct users for each stage and bucket group, a latency
histogram, digests of all inputs, and the files that later merges need. Therefore DuckDB is also timed
with count(distinct user_id). The other engines assign users by their own hash, which is cheaper than
the hash of the plan.
The floor is the least work: benches/peers/replay_floor.rs reads the same columns with the Parquet
crate and hashes the user ids, and does nothing else. The goal is at most twice its CPU time.
The engines take turns, each in its own process. The least and the median of all rounds are shown. At
the end the sums and the distinct users must equal
those of DuckDB exactly.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

from turns import by_turns, least, run, show

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLUICE = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "sluice")
FLAGS = ["success", "task_completed", "bad", "complaint", "escalated", "refused", "incident"]
COLUMNS = FLAGS + ["latency_ms", "tool_calls", "tool_successes", "nps", "csat", "tokens_in", "tokens_out", "cost_usd"]
UNITS = {"latency_ms": 1e6, "nps": 1e6, "csat": 1e6, "cost_usd": 1e9}

DUCKDB = """
import duckdb, sys
log, layers, out, threads, mode = sys.argv[1:6]
con = duckdb.connect()
con.execute(f"set threads = {threads}")
flags = %r
sums = ", ".join(f"sum({c}::int) as sum_{c}, count({c}) as count_{c}" if c in flags else f"sum({c}) as sum_{c}, count({c}) as count_{c}" for c in %r)
join = "layer" not in mode
layer = "l.layer" if join else "e.layer"
source = f"read_parquet('{log}') e" + (f" join read_parquet('{layers}') l using (user_id) where l.eligible" if join else "")
users = ", count(distinct user_id)" if "users" in mode else ""
group = "case when b < 100 then b when b < 1000 then 100 + (b - 100) // 10 else 190 + (b - 1000) // 50 end"
con.execute(f'''copy (
  with turns as (select {layer} as layer, e.* exclude (layer), hash(user_id) %% 10000 as b from {source})
  select layer, release_id, time_bucket(interval 1 hour, event_time) as hour, {group} as bucket_group, count(*) as n_rows, {sums}{users}
  from turns group by all) to '{out}' (format parquet)''')
""" % (FLAGS, COLUMNS)

POLARS = """
import polars as pl, sys
log, layers, out, threads, mode = sys.argv[1:6]
columns = %r
turns = pl.scan_parquet(log)
if "layer" not in mode:
    users = pl.scan_parquet(layers).filter(pl.col("eligible")).select("user_id", pl.col("layer").cast(pl.String))
    turns = turns.drop("layer").join(users, on="user_id")
b = pl.col("b")
group = pl.when(b < 100).then(b).when(b < 1000).then(100 + (b - 100) // 10).otherwise(190 + (b - 1000) // 50)
(turns.with_columns(b=(pl.col("user_id").hash(0) %% 10000).cast(pl.Int32))
 .with_columns(bucket_group=group, hour=pl.col("event_time").dt.truncate("1h"))
 .group_by("layer", "release_id", "hour", "bucket_group")
 .agg([pl.len()] + [pl.col(c).sum().alias("sum_" + c) for c in columns] + [pl.col(c).count().alias("count_" + c) for c in columns])
 .sink_parquet(out))
""" % COLUMNS

CHECK = """
import duckdb, sys
log, layers, cube = sys.argv[1:4]
units, flags, columns = %r, %r, %r
con = duckdb.connect()
con.execute("set enable_progress_bar = false")
whole = lambda c: f"sum({c}::int)::hugeint" if c in flags else f"sum(round_even({c} * {units.get(c, 1)}, 0)::hugeint)"
own = ", ".join(f"sum(sum_{c})::hugeint" for c in columns)
peer = ", ".join(f"coalesce({whole(c)}, 0)" for c in columns)
ours = con.sql(f"select layer::varchar as l, release::varchar as r, sum(rows)::hugeint, {own} from '{cube}/cells.parquet' group by l, r order by l, r").fetchall()
theirs = con.sql(f"select l.layer::varchar as l, release_id::varchar as r, count(*)::hugeint, {peer} from read_parquet('{log}') e join read_parquet('{layers}') l using (user_id) where l.eligible group by l.layer, r order by 1, 2").fetchall()
assert ours == theirs, (ours, theirs)
ours = con.sql(f"select count(*) from '{cube}/users.parquet'").fetchall()
theirs = con.sql(f"select count(distinct user_id) from read_parquet('{log}') e join read_parquet('{layers}') l using (user_id) where l.eligible").fetchall()
assert ours == theirs, (ours, theirs)
print(f"sums of {len(columns)} columns and {ours[0][0]} distinct users: equal")
""" % (UNITS, FLAGS, COLUMNS)


def make_data(folder, n_users, n_turns):
    """Makes ten days of turns, each sorted by time like a log, and the layer table."""
    import duckdb

    text = open(os.path.join(ROOT, "scenarios", "ecommerce.toml")).read()
    plan = os.path.join(folder, "plan.toml")
    open(plan, "w").write(text.replace('start = "2026-05-25T00:00:00Z"', 'start = "2026-05-19T00:00:00Z"'))
    data = os.path.join(folder, "data")
    run([SLUICE, "generate", "ecommerce", "--scenario", plan, "--users", str(n_users), "--rows", str(n_turns), "--out", data])
    run([SLUICE, "layer", "--users", f"{data}/users.parquet", "--config", plan, "--as-of", "2026-05-19", "--out", f"{folder}/layers.parquet"])
    os.makedirs(f"{folder}/log", exist_ok=True)
    for day in sorted(os.listdir(f"{data}/traffic")):
        duckdb.sql(f"copy (select * from read_parquet('{data}/traffic/{day}/*.parquet', hive_partitioning = false) order by event_time) "
                   f"to '{folder}/log/{day}.parquet' (format parquet, compression zstd, compression_level 1)")


def floor_program():
    """Builds the program of the floor; returns its path."""
    command = ["cargo", "bench", "--no-run", "--bench", "replay_floor", "--message-format", "json"]
    built = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "replay_floor")


def count_rows(paths):
    import duckdb

    return duckdb.sql(f"select count(*) from read_parquet('{paths}')").fetchall()[0][0]


def compare_sizes(sizes, threads, rounds):
    """Prints what a turn costs in logs of several sizes, each with as many users as turns, or in folders
    with data of this program. The last column replays the last day alone against all users."""
    print(f"{'turns':>12}{'users':>12}{'CPU s':>8}{'wall s':>8}{'MB':>7}{'ns CPU a turn':>15}{'bytes a user':>14}"
          f"{'last day: CPU s':>17}{'MB':>7}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            data = scratch if size.isdigit() else size
            if size.isdigit():
                make_data(data, int(size), int(size))
            log, layers = f"{data}/log/*.parquet", f"{data}/layers.parquet"
            last = f"{data}/log/{sorted(os.listdir(f'{data}/log'))[-1]}"
            command = lambda paths: [SLUICE, "--threads", str(threads), "replay", "--traffic", paths, "--layers", layers,
                                     "--plan", f"{data}/plan.toml", "--out", f"{scratch}/cube"]
            runs = by_turns({paths: command(paths) for paths in (log, last)}, rounds)
            n_turns, n_users = count_rows(log), count_rows(layers)
            (cpu, wall, memory), (cpu_of_day, _, memory_of_day) = least(runs[log]), least(runs[last])
            print(f"{n_turns:12}{n_users:12}{cpu:8.2f}{wall:8.2f}{memory:7.0f}{cpu / n_turns * 1e9:15.0f}"
                  f"{memory * 2**20 / n_users:14.0f}{cpu_of_day:17.2f}{memory_of_day:7.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--users", type=int, default=20_000_000)
    parser.add_argument("--turns", type=int, default=20_000_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--floor", help="the program of the floor; built by default")
    parser.add_argument("--sizes", nargs="+", metavar="TURNS_OR_DIR")
    args = parser.parse_args()
    if args.sizes:
        return compare_sizes(args.sizes, args.threads, args.rounds)
    floor = args.floor or floor_program()
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        data = args.data or scratch
        if not args.data:
            make_data(data, args.users, args.turns)
        log, layers, plan = f"{data}/log/*.parquet", f"{data}/layers.parquet", f"{data}/plan.toml"
        days = sorted(os.listdir(f"{data}/log"))
        sluice = [SLUICE, "--threads", str(args.threads), "replay", "--traffic", log, "--layers", layers, "--plan", plan, "--out"]
        peer = lambda code, mode: [sys.executable, "-c", code, log, layers, f"{scratch}/{mode}.parquet", str(args.threads), mode]
        os.environ["POLARS_MAX_THREADS"] = str(args.threads)
        os.makedirs(f"{scratch}/before")
        for day in days[:-1]:
            os.symlink(os.path.abspath(f"{data}/log/{day}"), f"{scratch}/before/{day}")
        run([*sluice[:4], "--traffic", f"{scratch}/before", *sluice[6:], f"{scratch}/earlier"])
        commands = {
            "Sluice": sluice + [f"{scratch}/cube"],
            "Sluice --memory-limit 300MB": sluice + [f"{scratch}/limited", "--memory-limit", "300MB"],
            f"Sluice --since, 1 new day of {len(days)}": sluice + [f"{scratch}/since", "--since", f"{scratch}/earlier"],
            "DuckDB": peer(DUCKDB, "join"),
            "DuckDB, distinct users too": peer(DUCKDB, "join-users"),
            "Polars": peer(POLARS, "join"),
            "DuckDB, layer in the log": peer(DUCKDB, "layer"),
            "DuckDB, layer in the log, distinct users too": peer(DUCKDB, "layer-users"),
            "Polars, layer in the log": peer(POLARS, "layer"),
            "floor: the columns read, the ids hashed": [floor, layers, *sorted(glob.glob(log))],
        }
        runs = by_turns(commands, args.rounds)
        show(runs, 46)
        ours, floor = least(runs["Sluice"]), least(runs["floor: the columns read, the ids hashed"])
        cpu, wall = ours.cpu / floor.cpu, ours.wall / floor.wall
        print(f"Sluice takes {cpu:.2f} times the CPU time of the floor, {wall:.2f} times its wall time")
        for other in ["limited", "since"]:
            subprocess.run(["diff", "-r", f"{scratch}/cube", f"{scratch}/{other}"], check=True)
        print("cubes of the three Sluice runs: the same bytes")
        subprocess.run([sys.executable, "-c", CHECK, log, layers, f"{scratch}/cube"], check=True)


main()
