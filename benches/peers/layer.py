"""Compares layering in Sluice with DuckDB, Polars and a minimal program, from file to file.

    pip install duckdb polars
    cargo build --release
    python3 benches/peers/layer.py                      # 20 million generated users
    python3 benches/peers/layer.py --users PATH         # your own: a Parquet file, or a folder of them
    python3 benches/peers/layer.py --sizes 1000000,200000000   # cost per user and memory, of Sluice alone

Every engine reads the same file and writes user_id, score, layer, eligible with zstd level 1 on
--threads threads. The engines take turns, each in its own process. CPU seconds are user + system
time from the kernel. The least and the median of all runs are shown.
The outputs are compared row by row at the end.
Columns of the users: user_id, last_use_time (timestamp), use_count, user_value, accept_score,
is_allow_gray (optional). The minimal program reads the four feature columns and writes two columns.
It is left out when the columns have other types than those of the generator.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

from turns import by_turns, least, run, show

AS_OF = "2026-05-25"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

DUCKDB = """
import duckdb, sys
users, out, threads, consent, dtype = sys.argv[1:6]
con = duckdb.connect()
con.execute(f"set threads = {threads}")
last = "epoch_us(last_use_time) / 1e6" if dtype == "instant" else "last_use_time"
eligible = "coalesce(is_allow_gray, false)" if consent == "1" else "false"
con.execute(f'''
copy (
  with parts as (
    select user_id, {eligible} as eligible,
      greatest(1 - least((epoch(timestamp '2026-05-25') - coalesce({last}, 0)) / 2592000.0::double, 1), 0) as r,
      least(greatest(coalesce(use_count, 0) / 100.0::double, 0), 1) as f,
      least(greatest(1 - least(coalesce(user_value, 0) / 100000.0::double, 1), 0), 1) as m,
      least(greatest(coalesce(accept_score, 0) / 10.0::double, 0), 1) as a,
      last_use_time is null and use_count is null and user_value is null and accept_score is null as unknown
    from read_parquet('{users}')),
  scored as (select *, round(.2::double * r + .2::double * f + .3::double * m + .3::double * a, 4) as score from parts)
  select user_id, score,
    case when unknown then 'vip' when score >= .8 then 'early' when score >= .6 then 'regular' when score >= .3 then 'high_value'
      else 'vip' end as layer,
    eligible from scored
) to '{out}' (format parquet, compression zstd, compression_level 1)''')
"""

POLARS = """
import polars as pl, sys
users, out, threads, consent, dtype = sys.argv[1:6]
last = pl.col("last_use_time").dt.epoch("us") / 1e6 if dtype == "instant" else pl.col("last_use_time").cast(pl.Float64)
part = lambda x, missing: x.clip(0, 1).fill_null(missing)
r = part(1 - ((1779667200.0 - last) / 2592000.0).clip(upper_bound=1), 0.0)
f = part(pl.col("use_count") / 100.0, 0.0)
m = part(1 - (pl.col("user_value") / 100000.0).clip(upper_bound=1), 1.0)
a = part(pl.col("accept_score") / 10.0, 0.0)
unknown = pl.all_horizontal(pl.col("last_use_time", "use_count", "user_value", "accept_score").is_null())
eligible = pl.col("is_allow_gray").fill_null(False) if consent == "1" else pl.lit(False)
score = pl.col("score")
(pl.scan_parquet(users)
 .select("user_id", (.2 * r + .2 * f + .3 * m + .3 * a).round(4).alias("score"), unknown.alias("unknown"), eligible.alias("eligible"))
 .select("user_id", "score",
         pl.when(pl.col("unknown")).then(pl.lit("vip")).when(score >= .8).then(pl.lit("early")).when(score >= .6).then(pl.lit("regular"))
         .when(score >= .3).then(pl.lit("high_value")).otherwise(pl.lit("vip")).alias("layer"),
         "eligible")
 .sink_parquet(out, compression="zstd", compression_level=1))
"""


def sluice(args, users, out):
    return [args.sluice, "--threads", str(args.threads), "layer", "--users", users, "--as-of", AS_OF, "--audit", "never", "--out", out]


def generate(args, folder, n):
    path = os.path.join(folder, f"users-{n}")
    if not os.path.exists(path):
        subprocess.check_call([args.sluice, "generate", "users", "--rows", str(n), "--out", path], stdout=subprocess.DEVNULL)
    return os.path.join(path, "users.parquet")


def sizes(args, folder):
    print(f"{'users':>12} {'CPU s':>8} {'wall s':>8} {'ns/user':>8} {'peak MB':>8}")
    for n in map(int, args.sizes.split(",")):
        users = args.users or generate(args, folder, n)
        cpu, wall, memory = least([run(sluice(args, users, os.path.join(folder, "out.parquet"))) for _ in range(args.runs)])
        print(f"{n:>12,} {cpu:>8.2f} {wall:>8.2f} {cpu / n * 1e9:>8.1f} {memory:>8.0f}", flush=True)


def compare(args, folder):
    import duckdb

    users = args.users or generate(args, folder, args.rows)
    files = os.path.join(users, "**/*.parquet") if os.path.isdir(users) else users
    con = duckdb.connect()
    con.execute(f"set threads = {args.threads}")
    columns = {row[0]: row[1] for row in con.execute(f"describe select * from read_parquet('{files}')").fetchall()}
    n = con.execute(f"select count(*) from read_parquet('{files}')").fetchone()[0]
    consent = "1" if "is_allow_gray" in columns else "0"
    dtype = "instant" if columns["last_use_time"].startswith(("TIMESTAMP", "DATE")) else "number"
    out = {name: os.path.join(folder, f"{name}.parquet") for name in ["sluice", "duckdb", "polars", "floor"]}
    common = [str(args.threads), consent, dtype]
    engines = {
        "sluice": lambda: run(sluice(args, users, out["sluice"])),
        "duckdb": lambda: run([sys.executable, "-c", DUCKDB, files, out["duckdb"], *common]),
        "polars": lambda: run([sys.executable, "-c", POLARS, files, out["polars"], *common], {"POLARS_MAX_THREADS": str(args.threads)}),
    }
    usual = columns["use_count"] == "BIGINT" and columns["user_value"] == columns["accept_score"] == "DOUBLE"
    if os.path.exists(args.floor) and usual and dtype == "instant" and not glob.has_magic(files):
        engines["floor"] = lambda: run([args.floor, users, out["floor"]], {"RAYON_NUM_THREADS": str(args.threads)})
    print(f"{n:,} users, {args.threads} threads")
    show(by_turns(engines, args.runs))
    print("MB written:", {name: round(os.path.getsize(path) / 1e6, 1) for name, path in out.items() if name in engines})
    for peer in ["duckdb", "polars"]:
        # Compares each row by its id. Other engines round halves differently from Python, so their
        # scores may differ by one step.
        row = con.execute(f"""
            select count(*), count(*) filter (abs(a.score - b.score) > 1.5e-4), count(*) filter (a.score <> b.score),
                   count(*) filter (a.layer <> b.layer), count(*) filter (a.eligible <> b.eligible)
            from read_parquet('{out['sluice']}') a join read_parquet('{out[peer]}') b using (user_id)""").fetchone()
        joined, off, halves, layers, eligible = row
        print(f"against {peer}: {joined:,} users joined, {halves} scores rounded otherwise, {layers} layers of those, {eligible} consents differ")
        if joined != n or off or eligible or layers > halves:
            sys.exit(f"sluice and {peer} disagree")


def bench_program(name):
    """Builds a bench; returns the path of its program."""
    command = ["cargo", "bench", "--no-run", "--bench", name, "--message-format", "json"]
    built = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    parser.add_argument("--users", help="a Parquet file or a folder of them; generated by default")
    parser.add_argument("--rows", type=int, default=20_000_000, help="users to generate (20,000,000)")
    parser.add_argument("--sizes", help="measure Sluice alone at these numbers of generated users")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--sluice", default=os.path.join(target, "release/sluice"))
    parser.add_argument("--floor", help="the program of the floor; built by default")
    parser.add_argument("--folder", help="where generated users and outputs go, and stay; a temporary folder by default")
    args = parser.parse_args()
    args.floor = args.floor or (None if args.sizes else bench_program("layer_floor"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        os.makedirs(folder, exist_ok=True)
        (sizes if args.sizes else compare)(args, folder)


main()
