#!/usr/bin/env python3
"""Recomputes the numbers of a generated study with DuckDB from the Parquet files alone, and
compares them with those of Sluice.

    pip install duckdb
    sluice run scenarios/ecommerce.toml --out out/ecommerce
    python3 benches/peers/recompute.py out/ecommerce

Users of each layer, users and rows of each stage and release, rates, effects, QoS, and the
sample-ratio statistic with its p-value must agree within a relative difference of 1e-9.
"""
import json
import math
import sys

import duckdb

REL = 1e-9
METRICS = {
    "availability": ("sum(success::int)", "count(success)"),
    "latency_mean_ms": ("sum(latency_ms)", "count(latency_ms)"),
    "tool_success_rate": ("sum(tool_successes)", "sum(tool_calls)"),
    "task_completion_rate": ("sum(task_completed::int)", "count(task_completed)"),
    "bad_rate": ("sum(bad::int)", "count(bad)"),
    "complaint_rate": ("sum(complaint::int)", "count(complaint)"),
    "csat_mean": ("sum(csat)", "count(csat)"),
    "cost_per_turn_usd": ("sum(cost_usd)", "count(cost_usd)"),
}


def main(out):
    analysis = json.load(open(f"{out}/analysis.json"))
    summary = json.load(open(f"{out}/layers.summary.json"))
    db = duckdb.connect()
    db.execute(f"create view layers as select * from '{out}/layers.parquet'")
    db.execute(f"create view traffic as select * from read_parquet('{out}/data/traffic/*/*.parquet', hive_partitioning = false)")
    n_checks = 0

    def same(what, ours, theirs):
        nonlocal n_checks
        n_checks += 1
        if theirs is None or ours is None:
            assert ours == theirs, f"{what}: {ours} against {theirs}"
        else:
            assert math.isclose(ours, float(theirs), rel_tol=REL, abs_tol=1e-15), f"{what}: {ours!r} against {theirs!r}"

    users = dict(db.sql("select layer, count(*) from layers group by 1").fetchall())
    eligible = dict(db.sql("select layer, count(*) filter (eligible) from layers group by 1").fetchall())
    for layer in summary["layers"]:
        same(f"users of {layer['layer']}", layer["n_users"], users.get(layer["layer"], 0))
        same(f"eligible of {layer['layer']}", layer["n_eligible"], eligible.get(layer["layer"], 0))

    sums = ", ".join(f"{num} as n{idx}, {den} as d{idx}" for idx, (num, den) in enumerate(METRICS.values()))
    for layer in analysis["layers"]:
        for stage in layer["stages"]:
            where = f"""from traffic t join layers l using (user_id)
                where l.eligible and l.layer = '{layer['layer']}'
                and epoch_us(event_time) >= {stage['start']} and epoch_us(event_time) < {stage['end']}"""
            arms = {}
            for arm in ("baseline", "candidate"):
                release = analysis[arm]
                late = analysis["as_of"] - 48 * 3600 * 1_000_000
                query = sums.replace("sum(csat)", f"sum(csat) filter (epoch_us(event_time) <= {late})")
                query = query.replace("count(csat)", f"count(csat) filter (epoch_us(event_time) <= {late})")
                row = db.sql(f"select count(*), count(distinct t.user_id), {query} {where} and release_id = '{release}'").fetchall()[0]
                place = f"{layer['layer']} {stage['ratio']} {arm}"
                same(f"{place} rows", stage["rows"][arm], row[0])
                same(f"{place} users", stage["users"][arm], row[1])
                arms[arm] = {}
                for idx, metric in enumerate(METRICS):
                    num, den = row[2 + 2 * idx], row[3 + 2 * idx]
                    rate = float(num) / float(den) if den else None
                    arms[arm][metric] = rate
                    ours = next(m for m in stage["metrics"] if m["metric"] == metric)[arm]
                    same(f"{place} {metric}", ours["estimate"], rate)
                qos = stage["qos"][arm]
                if "qos" in qos:
                    same(f"{place} QoS", qos["qos"], qos_of(arms[arm]))
            for metric in stage["metrics"]:
                if metric["metric"] in METRICS and "effect_size" in metric["effect"]:
                    control, treatment = arms["baseline"][metric["metric"]], arms["candidate"][metric["metric"]]
                    ours = metric["effect"]["effect_size"]
                    assert math.isclose(ours, treatment - control, rel_tol=REL, abs_tol=1e-12), (metric, treatment - control)
                    n_checks += 1
            if stage["srm"]:
                counts = [stage["users"]["baseline"], stage["users"]["candidate"]]
                total, shares = sum(counts), [1 - stage["ratio"], stage["ratio"]]
                statistic = sum((n - total * s) ** 2 / (total * s) for n, s in zip(counts, shares))
                same("SRM statistic", stage["srm"]["statistic"], statistic)
                same("SRM p-value", stage["srm"]["p_value"], math.erfc(math.sqrt(statistic / 2)))
    print(f"{n_checks} numbers agree within {REL:g}")


def qos_of(r):
    u = 1 - min(r["bad_rate"] * 3, 1.0)
    t = r["availability"] * 0.4 + (1 - min(r["latency_mean_ms"] / 5000, 1.0)) * 0.3 + r["tool_success_rate"] * 0.3
    b = r["task_completion_rate"] * 0.6 + (1 - min(r["complaint_rate"] * 10, 1.0)) * 0.4
    return 0.3 * u + 0.2 * t + 0.5 * b


if __name__ == "__main__":
    main(sys.argv[1])
