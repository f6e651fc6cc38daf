#!/usr/bin/env python3
"""Compares `sluice import` of OTLP as JSON lines with DuckDB's read_json, in one run.

    pip install duckdb
    cargo build --release
    python3 benches/peers/traces.py                     # 250,000 traces of four spans, 1.7 GB
    python3 benches/peers/traces.py --traces 50000 --rounds 3
    python3 benches/peers/traces.py --log PATH --program PATH_OF_SLUICE

DuckDB flattens the spans, takes the attributes that it needs, and groups the spans by trace: tokens,
calls of tools and failed ones, latency, user, release. It does less than the import:
- it reads one dialect of attributes and one form of each value;
- it drops no repeated spans, builds no tree, and finds no wrappers whose tokens would count twice;
- a trace is one row, even if it has several roots;
- it fails at a value of another type, and does not count what it passes over.
The programs take turns, on one thread and on two; the smallest CPU time of all rounds is shown. At the
end the sums over all turns must be equal.
"""

import argparse
import json
import os
import random
import sys
import tempfile

import duckdb
from turns import by_turns, least

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLUICE = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "sluice")
TEXT = "The customer asks for a refund of order 4711 because the parcel was damaged on its way. " * 12
START = 1_779_926_400_000_000_000

VALUE = "STRUCT(stringValue VARCHAR, intValue VARCHAR, doubleValue DOUBLE)"
ATTRIBUTES = f"STRUCT(key VARCHAR, value {VALUE})[]"
SPAN = (
    "STRUCT(traceId VARCHAR, spanId VARCHAR, parentSpanId VARCHAR, startTimeUnixNano BIGINT, "
    f"endTimeUnixNano BIGINT, attributes {ATTRIBUTES}, status STRUCT(code INTEGER))"
)
RESOURCE = f"STRUCT(resource STRUCT(attributes {ATTRIBUTES}), scopeSpans STRUCT(spans {SPAN}[])[])[]"
QUERY = f"""
import duckdb, sys
log, out, n_threads = sys.argv[1:]
duckdb.sql(f"set threads = {{n_threads}}")
duckdb.sql(f'''copy (
    with lines as (
        select unnest(resourceSpans) r from read_json('{{log}}', format = 'newline_delimited',
            maximum_object_size = 33554432, columns = {{{{resourceSpans: '{RESOURCE}'}}}})
    ),
    scopes as (select unnest(r.scopeSpans) scope from lines),
    spans as (select unnest(scope.spans) s from scopes),
    flat as (
        select s.traceId trace, s.parentSpanId parent, s.startTimeUnixNano start_at, s.endTimeUnixNano end_at,
            s.status.code code, map_from_entries(
                [(a.key, coalesce(a.value.stringValue, a.value.intValue)) for a in s.attributes]) m
        from spans
    )
    select trace,
        sum(cast(m['gen_ai.usage.input_tokens'] as bigint)) tokens_in,
        sum(cast(m['gen_ai.usage.output_tokens'] as bigint)) tokens_out,
        count(*) filter (m['gen_ai.operation.name'] = 'execute_tool') tool_calls,
        count(*) filter (m['gen_ai.operation.name'] = 'execute_tool' and code = 2) tool_failures,
        max(end_at - start_at) filter (parent is null) / 1e6 latency_ms,
        max(m['user.id']) user_id, max(m['release_id']) release_id
    from flat group by trace) to '{{out}}' (format parquet)''')
"""
SUMS = (
    "select count(*), sum(tokens_in), sum(tokens_out), sum(tool_calls), sum({failures}), sum(latency_ms), "
    "count(distinct user_id), count(distinct release_id) from '{path}'"
)


def attribute(key, value):
    return {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def spans_of(number, rng):
    """Four spans of a trace: two requests to a model, a call of a tool, and the agent above them."""
    trace, root = f"{rng.getrandbits(128):032x}", f"{number * 8 + 1:016x}"
    start = START + number * 3_000_000
    common = [
        attribute("tenant.id", f"t{number % 7}"),
        attribute("release_id", f"rel_{number % 2}"),
        attribute("gen_ai.conversation.id", f"c{number // 3}"),
    ]

    def span(offset, name, kind, times, attributes, status, parent=root):
        ids = {"traceId": trace, "spanId": f"{number * 8 + offset:016x}"}
        parent = {} if parent is None else {"parentSpanId": parent}
        begin, end = (str(start + at) for at in times)
        rest = {"flags": 256, "name": name, "kind": kind, "startTimeUnixNano": begin, "endTimeUnixNano": end}
        return {**ids, **parent, **rest, "attributes": common + attributes, "status": status}

    for offset in (2, 3):
        prompt = '[{"role":"user","content":"' + TEXT[: rng.randrange(500, 1000)] + '"}]'
        attributes = [
            attribute("gen_ai.operation.name", "chat"),
            attribute("gen_ai.provider.name", "openai"),
            attribute("gen_ai.request.model", "gpt-4o-mini"),
            attribute("gen_ai.response.model", "gpt-4o-mini-2025"),
            attribute("gen_ai.usage.input_tokens", rng.randrange(200, 2000)),
            attribute("gen_ai.usage.output_tokens", rng.randrange(20, 300)),
            attribute("gen_ai.usage.cache_read.input_tokens", 0),
            attribute("gen_ai.input.messages", prompt),
            attribute("gen_ai.output.messages", TEXT[:400]),
        ]
        yield span(offset, "chat gpt", 3, (1_000, 500_000_000), attributes, {})
    attributes = [
        attribute("gen_ai.operation.name", "execute_tool"),
        attribute("gen_ai.tool.name", "refund"),
        attribute("gen_ai.tool.call.arguments", f'{{"order":"o-{number}"}}'),
    ]
    status = {"code": 2} if number % 9 == 0 else {}
    yield span(5, "execute_tool refund", 1, (2_000, 3_000), attributes, status)
    attributes = [
        attribute("gen_ai.operation.name", "invoke_agent"),
        attribute("user.id", f"u{number % 50_000}"),
        attribute("gen_ai.agent.name", "cs"),
    ]
    yield span(1, "invoke_agent", 1, (0, 600_000_000), attributes, {}, parent=None)


def write_log(path, n_traces):
    rng = random.Random(7)
    names = [("service.name", "cs-agent"), ("service.version", "r2"), ("deployment.environment.name", "production")]
    resource_of_all = {"attributes": [attribute(key, value) for key, value in names]}
    encode = json.JSONEncoder(separators=(",", ":")).encode
    with open(path, "w") as log:
        for number in range(n_traces):
            for span in spans_of(number, rng):
                scopes = [{"scope": {"name": "x"}, "spans": [span]}]
                document = {"resourceSpans": [{"resource": resource_of_all, "scopeSpans": scopes}]}
                log.write(encode(document) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=250_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--log", help="a log that this script wrote before")
    parser.add_argument("--program", default=SLUICE)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = args.log or os.path.join(folder, "log.jsonl")
        if args.log is None:
            write_log(log, args.traces)
        gigabytes = os.path.getsize(log) / 1e9
        ours, theirs = os.path.join(folder, "ours.parquet"), os.path.join(folder, "theirs.parquet")
        programs = {}
        for n_threads in ("1", "2"):
            programs[n_threads, "sluice"] = [
                args.program, "import", log, "--format", "otlp", "--out", ours, "--threads", n_threads]
            programs[n_threads, "DuckDB"] = [sys.executable, "-c", QUERY, log, theirs, n_threads]
        best = {name: least(runs) for name, runs in by_turns(programs, args.rounds).items()}
        print(f"{gigabytes:.2f} GB, DuckDB {duckdb.__version__}")
        for (n_threads, name), (cpu, wall, memory) in best.items():
            each = f"{cpu / gigabytes:5.2f} s a GB"
            print(f"{n_threads} threads  {name:7} CPU {cpu:6.2f} s ({each})  wall {wall:6.2f} s  {memory:6.0f} MB")
        for n_threads in ("1", "2"):
            ratio = best[n_threads, "DuckDB"][0] / best[n_threads, "sluice"][0]
            print(f"{n_threads} threads  DuckDB / sluice, CPU: {ratio:.2f}")
        found = duckdb.sql(SUMS.format(path=ours, failures="tool_calls - tool_successes")).fetchall()[0]
        expected = duckdb.sql(SUMS.format(path=theirs, failures="tool_failures")).fetchall()[0]
        print("sluice:", *found)
        print("DuckDB:", *expected)
        is_equal = all(abs(a - b) <= 1e-9 * abs(b) for a, b in zip(found, expected))
        assert is_equal, "the sums differ"


if __name__ == "__main__":
    main()
