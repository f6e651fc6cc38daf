#!/usr/bin/env python3
"""Compares derived columns in Sluice with the plain scan, with Polars and with DuckDB, in one run.

    pip install duckdb polars
    cargo build --release
    sluice generate ecommerce --rows 20000000 --users 1000000 --out out/derive
    python3 benches/peers/derive.py out/derive

Five columns are derived: latency, cost, success, rating and tokens. The CPU time of `replay` with
them is compared with the plain replay of the same columns, and with the time that Polars needs to
read and compute the same expressions. The engines take turns; the least of all rounds is
shown. At the end the sums of the cube must equal those that DuckDB computes from the same
expressions, and the derived cube must equal the plain one in every byte.
"""

import filecmp
import os
import sys
import tempfile

import duckdb
from turns import by_turns, least, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLUICE = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "sluice")
DERIVE = {
    "latency_ms": "latency_ms / 1000 * 1000",
    "cost_usd": "cost_usd * 1.0",
    "success": "case when success then true when not success then false end",
    "bad": "case when bad then true when not bad then false end",
    "tokens_in": "tokens_in + 0",
}
UNITS = {"latency_ms": 1_000_000, "cost_usd": 1_000_000_000, "success": 1, "bad": 1, "tokens_in": 1}
POLARS = """
import polars as pl, sys
columns = {columns}
scan = pl.scan_parquet(sys.argv[1], hive_partitioning=False)
sums = [pl.sql_expr(text).alias(name).sum() for name, text in columns.items()]
print(scan.select(sums).collect(engine="streaming"))
"""
ROUNDS = int(os.environ.get("ROUNDS", "3"))


def main():
    data = sys.argv[1]
    log = os.path.join(data, "traffic")
    scenario = os.path.join(ROOT, "scenarios", "ecommerce.toml")
    with tempfile.TemporaryDirectory() as folder:
        layers = os.path.join(folder, "layers.parquet")
        users = os.path.join(data, "users.parquet")
        run([SLUICE, "layer", "--users", users, "--scenario", scenario, "--out", layers])
        replay = [SLUICE, "replay", "--traffic", log, "--layers", layers, "--scenario", scenario]
        derive = [arg for name, text in DERIVE.items() for arg in ("--derive", f"{name}={text}")]
        plain, derived = os.path.join(folder, "plain"), os.path.join(folder, "derived")
        engines = {
            "plain scan": replay + ["--out", plain],
            "five derived columns": replay + derive + ["--out", derived],
            "filter": replay + ["--where", "tool_calls >= 0", "--out", os.path.join(folder, "filter")],
            "Polars, expressions": [sys.executable, "-c", POLARS.format(columns=DERIVE), os.path.join(log, "**/*.parquet")],
        }
        best = {name: least(runs) for name, runs in by_turns(engines, ROUNDS).items()}
        for name, (cpu, wall, _) in best.items():
            print(f"{name:22} CPU {cpu:7.2f} s   wall {wall:7.2f} s")
        limit = 1.5 * best["plain scan"][0] + best["Polars, expressions"][0]
        cost = best["five derived columns"][0]
        print(f"limit (1.5 x plain + Polars) {limit:.2f} s, found {cost:.2f} s: {cost / limit:.2f}")
        assert filecmp.cmp(os.path.join(plain, "cells.parquet"), os.path.join(derived, "cells.parquet"), False)
        def value(text):
            return f"({text})::int" if "case" in text else f"({text})"

        # The cube has whole units of eligible users: millionths, and billionths of money.
        sums = ", ".join(f"sum(round({value(text)} * {UNITS[name]})::hugeint)" for name, text in DERIVE.items())
        rows = f"read_parquet('{log}/**/*.parquet', hive_partitioning=false)"
        users = f"(select user_id from '{layers}' where eligible)"
        of_log = duckdb.sql(f"select count(*), {sums} from {rows} join {users} using (user_id)").fetchall()[0]
        names = ", ".join(f"sum(sum_{name})" for name in DERIVE)
        of_cube = duckdb.sql(f"select sum(rows), {names} from '{derived}/cells.parquet'").fetchall()[0]
        print("DuckDB:", *of_log)
        print("cube:  ", *of_cube)
        assert of_log == of_cube


main()
