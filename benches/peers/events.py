"""Compares features from events in Sluice with DuckDB and Polars, from file to file.

    pip install duckdb polars
    cargo build --release
    python3 benches/peers/events.py                      # 15 million generated events of 3 million users
    python3 benches/peers/events.py --ids number         # whole numbers as ids
    python3 benches/peers/events.py --sizes 1500000,150000000   # cost per event and memory, of Sluice alone

Every engine reads the same Parquet file and writes one row per user with zstd level 1: the first and
the last event, the numbers of events and of days with events, the uses of the last 30 days, and the
value of the last 365 days. Sluice sorts the users into layers as well, which the others do not. The
engines take turns, each in its own process with --threads threads. CPU seconds are user + system
time from the kernel. The least and the median of all rounds are shown.
The features are compared row by row at the end: times and counts are equal, values to 1e-6.
"""

import argparse
import os
import subprocess
import sys
import tempfile

from turns import by_turns, least, run, show

AS_OF = "2026-05-25"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Times lie in the 400 days before AS_OF and in the day after it. Users differ in their numbers of
# events: the square of a uniform draw picks the user.
GENERATE = """
import duckdb, sys
out, rows, users, ids = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
con = duckdb.connect()
con.execute("set enable_progress_bar = false")
con.execute("set threads = 2")
user = "user_no" if ids == "number" else "'u' || lpad(user_no::varchar, 9, '0')"
con.execute(f'''
copy (
  with drawn as (
    select hash(i, 1) % {users} as uniform, hash(i, 2) % 1000000 / 1e6 as skew, (hash(i, 3) % 34646400000)::bigint as ms, hash(i, 4) as v
    from range({rows}) t(i)),
  picked as (select (case when v % 3 = 0 then floor({users} * skew * skew) else uniform end)::bigint as user_no, * from drawn)
  select {user} as user_id,
    make_timestamp(1779753600000000 - ms * 1000) as event_time,
    case when v % 20 = 0 then null else round((v % 1000000) / 100.0, 2) end as value
  from picked
) to '{out}' (format parquet, compression zstd, row_group_size 500000)''')
"""

DUCKDB = """
import duckdb, sys
events, out, threads = sys.argv[1:4]
con = duckdb.connect()
con.execute("set enable_progress_bar = false")
con.execute(f"set threads = {threads}")
con.execute("set preserve_insertion_order = false")
con.execute(f'''
copy (
  select user_id, min(first) as first_event_time, max(last) as last_use_time, sum(n)::bigint as n_events, count(*) as n_days,
    sum(uses)::bigint as use_count, sum(of_window) as user_value
  from (
    select user_id, event_time::date as day, min(event_time) as first, max(event_time) as last, count(*) as n,
      count(*) filter (event_time >= timestamp '2026-05-25' - interval 30 day) as uses,
      coalesce(sum(value) filter (event_time >= timestamp '2026-05-25' - interval 365 day), 0) as of_window
    from read_parquet('{events}') where event_time < timestamp '2026-05-25' group by user_id, day)
  group by user_id
) to '{out}' (format parquet, compression zstd, compression_level 1)''')
"""

# The plain query: one group by user, and a set of days for each.
DUCKDB_DISTINCT = """
import duckdb, sys
events, out, threads = sys.argv[1:4]
con = duckdb.connect()
con.execute("set enable_progress_bar = false")
con.execute(f"set threads = {threads}")
con.execute("set preserve_insertion_order = false")
con.execute(f'''
copy (
  select user_id, min(event_time) as first_event_time, max(event_time) as last_use_time, count(*) as n_events,
    count(distinct event_time::date) as n_days,
    count(*) filter (event_time >= timestamp '2026-05-25' - interval 30 day) as use_count,
    coalesce(sum(value) filter (event_time >= timestamp '2026-05-25' - interval 365 day), 0) as user_value
  from read_parquet('{events}') where event_time < timestamp '2026-05-25' group by user_id
) to '{out}' (format parquet, compression zstd, compression_level 1)''')
"""

POLARS = """
import polars as pl, sys
from datetime import datetime, timedelta
events, out, threads = sys.argv[1:4]
as_of = datetime(2026, 5, 25)
at, value = pl.col("event_time"), pl.col("value")
(pl.scan_parquet(events)
 .filter(at < as_of)
 .group_by("user_id")
 .agg(at.min().alias("first_event_time"), at.max().alias("last_use_time"), pl.len().cast(pl.Int64).alias("n_events"),
      at.dt.date().n_unique().cast(pl.Int64).alias("n_days"),
      (at >= as_of - timedelta(days=30)).sum().cast(pl.Int64).alias("use_count"),
      value.filter(at >= as_of - timedelta(days=365)).sum().alias("user_value"))
 .sink_parquet(out, compression="zstd", compression_level=1))
"""


def sluice(args, events, out):
    return [args.sluice, "--threads", str(args.threads), "layer", "--events", events, "--as-of", AS_OF, "--audit", "never",
            "--absent", "accept_score,is_allow_gray", "--out", os.path.join(out, "layers.parquet")]


def generate(args, folder, n):
    path = os.path.join(folder, f"events-{args.ids}-{n}.parquet")
    if not os.path.exists(path):
        n_users = max(1, n * args.users // args.rows)
        subprocess.check_call([sys.executable, "-c", GENERATE, path + ".part", str(n), str(n_users), args.ids])
        os.rename(path + ".part", path)
    return path


def sizes(args, folder):
    print(f"{'events':>12} {'CPU s':>8} {'wall s':>8} {'ns/event':>8} {'peak MB':>8}")
    for n in map(int, args.sizes.split(",")):
        events = generate(args, folder, n)
        cpu, wall, memory = least([run(sluice(args, events, folder)) for _ in range(args.runs)])
        print(f"{n:>12,} {cpu:>8.2f} {wall:>8.2f} {cpu / n * 1e9:>8.1f} {memory:>8.0f}", flush=True)


def compare(args, folder):
    import duckdb

    events = args.events or generate(args, folder, args.rows)
    out = {name: os.path.join(folder, f"{name}.parquet") for name in ["duckdb", "duckdb distinct", "polars"]}
    out["sluice"] = os.path.join(folder, "features.parquet")
    threads = str(args.threads)
    python = lambda code, name: [sys.executable, "-c", code, events, out[name], threads]
    engines = {
        "sluice": lambda: run(sluice(args, events, folder)),
        "duckdb": lambda: run(python(DUCKDB, "duckdb")),
        "duckdb distinct": lambda: run(python(DUCKDB_DISTINCT, "duckdb distinct")),
        "polars": lambda: run(python(POLARS, "polars"), {"POLARS_MAX_THREADS": threads}),
    }
    wanted = args.engines.split(",") if args.engines else list(engines)
    show(by_turns({name: engines[name] for name in wanted}, args.runs))
    con = duckdb.connect()
    con.execute(f"set threads = {threads}")
    for peer in [name for name in wanted if name != "sluice" and "sluice" in wanted]:
        n, n_theirs, n_other, n_values = con.execute(f"""
            select count(*), (select count(*) from read_parquet('{out[peer]}')),
              count(*) filter ((epoch_us(a.first_event_time), epoch_us(a.last_use_time), a.n_events, a.n_days, a.use_count)
                is distinct from (epoch_us(b.first_event_time), epoch_us(b.last_use_time), b.n_events, b.n_days, b.use_count)),
              count(*) filter (abs(a.user_value - b.user_value) > 1e-6)
            from read_parquet('{out['sluice']}') a join read_parquet('{out[peer]}') b on a.user_id = b.user_id::varchar""").fetchone()
        n_ours = con.execute(f"select count(*) from read_parquet('{out['sluice']}')").fetchone()[0]
        print(f"against {peer}: {n:,} users joined, {n_other} features and {n_values} values differ")
        if (n, n, 0, 0) != (n_ours, n_theirs, n_other, n_values):
            sys.exit(f"sluice and {peer} disagree")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    parser.add_argument("--events", help="a Parquet file with user_id, event_time and value; generated by default")
    parser.add_argument("--rows", type=int, default=15_000_000, help="events to generate (15,000,000)")
    parser.add_argument("--users", type=int, default=3_000_000, help="users of --rows events (3,000,000)")
    parser.add_argument("--ids", choices=["text", "number"], default="text", help="the type of generated ids (text)")
    parser.add_argument("--sizes", help="measure Sluice alone at these numbers of generated events")
    parser.add_argument("--engines", help="only these engines, with commas between them")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--sluice", default=os.path.join(target, "release/sluice"))
    parser.add_argument("--folder", help="where generated events and outputs go, and stay; a temporary folder by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        os.makedirs(folder, exist_ok=True)
        (sizes if args.sizes else compare)(args, folder)


main()
