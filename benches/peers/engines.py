"""Compares replay on engines with replay on threads, and with the same sums in the SQL of Spark.

    pip install pysail==0.7.2 pyspark-client==4.2.0 'pandas<3' pyarrow duckdb    # one environment
    pip install pyspark==4.3.0 'pandas<3' pyarrow                                # another one, with Java 17
    cargo build --release
    python3 benches/peers/engines.py --sail SAIL/bin/python --spark SPARK/bin/python --data DIR

DIR has plan.toml, layers.parquet and log/*.parquet: run replay.py with a folder of your own, or take
those of a study. The SQL joins the log with the layer table by user id, keeps eligible users, and adds
15 columns with their counts by layer, release, hour and bucket group; once without and once with
distinct users. Sluice counts distinct users, latencies and digests in the same pass.
Each command runs in processes of its own, and starts its engine: the time of an empty job of the engine
is shown, because a cluster that is there already does not pay it. With `--scan engine` the engine reads
the log, so three fields of its cube differ. The least of the rounds is shown. At the end the other cubes
must be the same bytes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLUICE = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "sluice")

SQL = """
import sys
log, layers, out, threads, mode = sys.argv[1:6]
flags = ["success", "task_completed", "bad", "complaint", "escalated", "refused", "incident"]
columns = flags + ["latency_ms", "tool_calls", "tool_successes", "nps", "csat", "tokens_in", "tokens_out", "cost_usd"]
from pyspark.sql import SparkSession
spark = (SparkSession.builder.master(f"local[{threads}]").config("spark.ui.enabled", "false")
         .config("spark.driver.memory", "6g").config("spark.sql.shuffle.partitions", "16").getOrCreate())
if mode == "empty":
    spark.range(10).count()
    sys.exit()
spark.read.parquet(log).createOrReplaceTempView("e")
spark.read.parquet(layers).createOrReplaceTempView("l")
value = lambda c: f"cast({c} as int)" if c in flags else c
sums = ", ".join(f"sum({value(c)}) as sum_{c}, count({c}) as count_{c}" for c in columns)
users = ", count(distinct user_id) as n_users" if mode == "users" else ""
group = "case when b < 100 then b when b < 1000 then 100 + (b - 100) div 10 else 190 + (b - 1000) div 50 end"
spark.sql(f'''
  with turns as (select l.layer as of_layer, e.*, pmod(xxhash64(e.user_id), 10000) as b
                 from e join l on e.user_id = l.user_id where l.eligible)
  select of_layer, release_id, date_trunc('hour', event_time) as hour, {group} as bucket_group, count(*) as n_rows, {sums}{users}
  from turns group by 1, 2, 3, 4''').write.mode("overwrite").parquet(out)
"""


def run(command, env=None):
    """Wall seconds of a command. The CPU time of a JVM in the background is not that of a child."""
    start = time.monotonic()
    done = subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"failed: {command[:4]}: {done.stderr[-2000:]}")
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--sail", help="Python with pysail")
    parser.add_argument("--spark", help="Python with pyspark")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data, threads = os.path.abspath(args.data), str(args.threads)
        log, layers = f"{data}/log", f"{data}/layers.parquet"
        base = [SLUICE, "--threads", threads, "replay", "--traffic", log, "--layers", layers, "--plan", f"{data}/plan.toml"]
        commands = {"Sluice, threads": base + ["--out", f"{scratch}/threads"]}
        cubes = ["threads"]
        if args.sail:
            commands["Sluice on Sail"] = base + ["--out", f"{scratch}/sail", "--engine", "sail", "--submit", args.sail]
            cubes.append("sail")
            scanned = ["--scan", "engine", "--out", f"{scratch}/scanned", "--engine", "sail", "--submit", args.sail]
            commands["Sluice on Sail, --scan engine"] = base + scanned
        if args.spark:
            spark = ["--engine", "spark", "--submit", args.spark, "--master", f"local[{threads}]", "--conf", "spark.ui.enabled=false"]
            commands["Sluice on Spark"] = base + ["--out", f"{scratch}/spark", *spark]
            cubes.append("spark")
            for name, mode in [("Spark, empty job", "empty"), ("Spark SQL, sums", "sums"), ("Spark SQL, sums and distinct users", "users")]:
                commands[name] = [args.spark, "-c", SQL, log, layers, f"{scratch}/sql", threads, mode]
        best = {}
        for _ in range(args.rounds):
            for name, command in commands.items():
                env = {**os.environ, "PYSPARK_PYTHON": args.spark} if "Spark" in name else None
                found = run(command, env)
                best[name] = min(best.get(name, found), found)
        print(f"{'':38}{'wall s':>8}")
        for name, wall in best.items():
            print(f"{name:38}{wall:8.1f}", flush=True)
        for other in cubes[1:]:
            subprocess.run(["diff", "-r", f"{scratch}/threads", f"{scratch}/{other}"], check=True)
        print(f"cubes of {', '.join(cubes)}: the same bytes")


main()
