"""Counts the turns of traces by a plain reading, for a comparison with `sluice import`.

    python3 counts.py            writes expected.json: each turn of each folder of `FOLDERS`
    python3 counts.py PATH...    prints the turns of these files and their totals

The rules are written anew here, from the formats of the systems: this file shares no code with
Sluice, needs Python's standard library only, and holds everything in memory. A trace is one turn of
each of its roots. What counts:

- tokens and cost of the innermost spans that have tokens, judges and what is below them left out
- embeddings with their cost and without tokens
- of a service with rows of cost in a turn, those rows alone
- cached tokens inside the input; beside it if they are more than the input has
- a call within a call of a tool as one, unless an agent or a model lies between
- of a span that is there twice, the row with the later end
"""

import ast
import csv
import datetime
import gzip
import json
import os
import sys
from decimal import ROUND_HALF_EVEN, Decimal

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = ["otlp/genai", "otlp/openinference", "otlp/openllmetry", "otlp/agentops", "otlp/vercel",
           "litellm_real/payloads", "litellm_real/spend_logs", "litellm_real/page", "mlflow_real/lines",
           "mlflow_real/csv", "phoenix_real/lines", "phoenix_real/page", "phoenix_real/csv",
            "langsmith_real/plain", "langsmith_real/sums", "langsmith_real/page",
           "mlflow", "phoenix", "langsmith", "litellm/spend_logs.jsonl",
           "litellm/LiteLLM_SpendLogs.csv", "litellm_s3", "langfuse/cl_proj_01/traces+langfuse/cl_proj_01/observations",
           "langfuse/cl_proj_01/observations_v2/2026-05-28T01-00-00.jsonl"]  # fmt: skip
NAMES = ["trace", "user", "release", "failed", "eval", "shadow", "tokens_in", "cached_in", "tokens_out",
         "nano_usd", "tool_calls", "tool_errors", "latency_ns"]  # fmt: skip


def opened(value):
    """The object in a text of JSON or Python; other values as they are."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "[", '"'):
        try:
            return opened(json.loads(value, parse_float=Decimal))
        except ValueError:
            try:  # Cells that pandas wrote as objects of Python.
                return ast.literal_eval(value)
            except (ValueError, SyntaxError):
                return value
    return value


def obj(value):
    value = opened(value)
    return value if isinstance(value, dict) else {}


def whole(value):
    return None if value in (None, "") else int(Decimal(str(value)))


def usd(value):
    return None if value in (None, "") else Decimal(str(value))


def nanos(value):
    """Nanoseconds since 1970 of a text without an offset (UTC) or with one, or of seconds."""
    if value in (None, ""):
        return None
    try:
        number = Decimal(str(value))
        return int(number * 10**9) if number < 10**11 else int(number)
    except ArithmeticError:
        at = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        at = at.replace(tzinfo=at.tzinfo or datetime.timezone.utc)
        since = at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


def first(places, *keys):
    """The first of the keys that one of the places has."""
    for key in keys:
        for place in places:
            if place.get(key) not in (None, ""):
                return place[key]
    return None


class Span:
    def __init__(self, trace, id, parent, start, end):
        self.trace, self.id, self.parent, self.start, self.end = trace, id, parent or "", start, end
        self.kind, self.failed, self.judged, self.shadow, self.is_trace = "other", False, False, False, False
        self.input = self.output = self.read = self.write = self.cost = None
        self.beside, self.inside, self.one_turn, self.loose = False, False, False, None
        self.user = self.release = self.service = None
        self.version = end or 0

    def tokens(self):
        given = [self.input, self.output, self.read, self.write]
        if self.input is None and self.output is None:
            return None
        found = [n or 0 for n in given]
        if self.inside:
            return found
        if self.beside or found[2] + found[3] > found[0]:
            found[0] += found[2] + found[3]
        return found

    def has_tokens(self):
        return any(n for n in [self.input, self.output, self.read, self.write])


# Kinds of spans in the words of the dialects, in the order in which they are believed.
WORDS = {
    "llm": "chat text_completion generate_content completion llm generation chat_model",
    "agent": "invoke_agent create_agent invoke_workflow agent chain workflow session",
    "tool": "execute_tool tool",
    "embed": "embeddings embedding embed reranker rerank",
    "judge": "evaluator judge scorer",
}
KIND_KEYS = ["openinference.span.kind", "gen_ai.operation.name", "mcp.method.name", "traceloop.span.kind",
             "agentops.span.kind", "mlflow.spanType", "llm.request.type", "gen_ai.request.type"]  # fmt: skip


def kind_of(a, span):
    operation = a.get("ai.operationId")  # The AI SDK of Vercel: its `.do...` spans ask the model.
    if operation:
        return "tool" if operation == "ai.toolCall" else "llm" if ".do" in operation else "agent"
    for key in KIND_KEYS:
        word = str(opened(a.get(key) or "")).lower()
        if key == "mcp.method.name":
            if word == "tools/call":
                return "tool"
            continue
        if word in ("", "unknown", "span", "event", "none"):
            continue
        return next((kind for kind, words in WORDS.items() if word in words.split()), "step")
    return "llm" if span.has_tokens() else "other"


def understand(span, a, resource=None):
    """What attributes say, in the dialects of OpenTelemetry."""
    resource = resource or {}
    metadata = obj(a.get("metadata"))
    metadata = {**metadata, **{k[9:]: v for k, v in a.items() if k.startswith("metadata.")}}
    usage = obj(a.get("mlflow.chat.tokenUsage"))
    pick = lambda *keys: whole(first([a], *keys))
    known = lambda value, more: value if value is not None else whole(more)
    span.input = known(pick("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
                            "llm.usage.prompt_tokens", "ai.usage.inputTokens", "ai.usage.promptTokens"),
                       usage.get("input_tokens"))  # fmt: skip
    span.output = known(pick("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
                             "llm.token_count.completion", "llm.usage.completion_tokens", "ai.usage.outputTokens",
                             "ai.usage.completionTokens"), usage.get("output_tokens"))  # fmt: skip
    span.read = known(pick("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
                           "llm.token_count.prompt_details.cache_read", "ai.usage.cachedInputTokens"),
                      usage.get("cache_read_input_tokens"))  # fmt: skip
    span.write = known(pick("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
                            "gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write"),
                       usage.get("cache_creation_input_tokens"))  # fmt: skip
    span.cost = usd(first([a], "llm.cost.total", "gen_ai.usage.total_cost", "gen_ai.usage.cost", "cost_usd"))
    if span.cost is None:
        span.cost = usd(obj(a.get("mlflow.llm.cost")).get("total_cost"))
    span.kind = kind_of(a, span)
    properties = {k.rsplit(".", 1)[1]: v for k, v in a.items() if k.startswith("traceloop.association.properties.")}
    span.user = opened(first([a, resource], "user.id", "workflow.user_id", "ai.telemetry.metadata.userId", "user_id", "enduser.id", "gen_ai.user"))
    span.user = properties.get("user_id") or span.user or metadata.get("user_id")
    span.release = first([a], "release_id", "ai.telemetry.metadata.release_id") or properties.get("release_id") or metadata.get("release_id")
    span.release = span.release or first([a], "feature_flag.result.variant") or first([a], "operation.version")
    span.release = span.release or first([resource], "release_id", "service.version") or first([a], "gen_ai.agent.version")
    span.service = resource.get("service.name")
    failed_call = str(a.get("tool.status", "")).lower() == "failed"
    for key in ("gen_ai.tool.call.result", "traceloop.entity.output", "output.value", "mlflow.spanOutputs"):
        failed_call |= obj(a.get(key)).get("isError") is True
    span.failed |= str(a.get("agentops.session.end_state")).lower() in ("error", "fail", "failed", "failure")
    span.failed |= bool(a.get("error.type")) or span.kind == "tool" and failed_call
    span.judged |= any(a.get(key) for key in ("gen_ai.test_case.id", "gen_ai.test_case.name", "test.case.name"))


def plain(value):
    """The value in an `AnyValue` of OTLP."""
    (kind, inner), = value.items() if value else [("", None)]
    if kind == "arrayValue":
        return [plain(v) for v in inner.get("values", [])]
    if kind == "kvlistValue":
        return {v["key"]: plain(v["value"]) for v in inner.get("values", [])}
    return int(inner) if kind == "intValue" else inner


def read_otlp(document):
    for resource in document.get("resourceSpans", []):
        shared = {a["key"]: plain(a["value"]) for a in resource.get("resource", {}).get("attributes", [])}
        for scope in resource.get("scopeSpans", []):
            for raw in scope.get("spans", []):
                times = [int(raw[key]) or None for key in ("startTimeUnixNano", "endTimeUnixNano")]
                span = Span(raw["traceId"], raw["spanId"], raw.get("parentSpanId"), *times)
                span.failed = raw.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR")
                understand(span, {a["key"]: plain(a["value"]) for a in raw.get("attributes", [])}, shared)
                yield span


def read_phoenix(row):
    if "context" in row or "context.trace_id" in row:
        context = obj(row.get("context"))
        ids = [context.get(key) or row.get(f"context.{key}") for key in ("trace_id", "span_id")]
        span = Span(*ids, row.get("parent_id"), nanos(row["start_time"]), nanos(row.get("end_time")))
        span.failed = row.get("status_code") == "ERROR"
        flat = {}

        def flatten(prefix, value):
            for key, inner in value.items():
                if isinstance(inner, dict):
                    flatten(f"{prefix}{key}.", inner)
                elif inner is not None:
                    flat[prefix + key] = inner

        flatten("", obj(row.get("attributes")))
        flatten("", {k[11:]: v for k, v in row.items() if k.startswith("attributes.") and v not in (None, "")})
        understand(span, {"openinference.span.kind": row.get("span_kind"), **flat})
        yield span


def read_mlflow(row):
    row = obj(row.get("trace")) or row
    info, data = obj(row.get("info")), obj(row.get("data"))
    if not info:  # A row of a table of traces.
        info = {**row, "trace_metadata": row.get("trace_metadata"), "tags": row.get("tags")}
        data = {"spans": opened(row.get("spans"))}
    metadata, tags = obj(info.get("trace_metadata")), obj(info.get("tags"))
    trace = info.get("trace_id") or info.get("request_id")
    for raw in data.get("spans", []):
        end = whole(raw.get("end_time_unix_nano"))
        span = Span(trace, raw["span_id"], raw.get("parent_span_id"), whole(raw["start_time_unix_nano"]), end)
        span.one_turn = True
        span.failed = raw.get("status", {}).get("code") == "STATUS_CODE_ERROR"
        understand(span, {k: v if k.endswith("Usage") else opened(v) for k, v in obj(raw["attributes"]).items()})
        if not span.parent:
            span.failed |= info.get("state") == "ERROR"
            if span.kind == "other":
                span.kind = "agent"
        span.user = metadata.get("mlflow.trace.user") or span.user
        span.release = tags.get("release_id") or metadata.get("release_id") or span.release
        span.judged |= "mlflow.trace.sourceScorer" in {**metadata, **tags}
        yield span


def read_langsmith(row):
    if "run_type" not in row:
        return
    span = Span(row.get("trace_id") or row["id"], row["id"], row.get("parent_run_id"), nanos(row["start_time"]),
                nanos(row.get("end_time")))  # fmt: skip
    span.one_turn = True
    span.kind = {"llm": "llm", "chain": "agent", "tool": "tool", "embedding": "embed"}.get(row["run_type"], "step")
    metadata = obj(obj(row.get("extra")).get("metadata"))
    wrapped = obj(metadata.get("usage_metadata")) or obj(obj(row.get("outputs")).get("usage_metadata"))
    details = obj(row.get("prompt_token_details"))
    span.input, span.output = whole(row.get("prompt_tokens")), whole(row.get("completion_tokens"))
    if span.input is None and span.output is None:
        span.input, span.output = whole(wrapped.get("input_tokens")), whole(wrapped.get("output_tokens"))
        details = obj(wrapped.get("input_token_details"))
    span.read, span.write = whole(details.get("cache_read")), whole(details.get("cache_creation"))
    span.cost = usd(first([row], "total_cost"))
    if span.cost is None:
        span.cost = usd(wrapped.get("total_cost"))
    if span.kind in ("tool", "step") and not span.has_tokens():
        span.input = span.output = None
        span.cost = span.cost or None
    span.failed = bool(row.get("error")) or row.get("status") == "error"
    span.user, span.release = metadata.get("user_id"), metadata.get("release_id")
    span.judged = bool(row.get("reference_example_id"))
    yield span


def read_litellm(row):
    id = row.get("request_id") or row.get("id")
    span = Span(id, id, "", nanos(row["startTime"]), nanos(row.get("endTime")))
    span.version = nanos(row.get("updated_at")) or span.end
    metadata = obj(row.get("metadata"))
    logged, asked = obj(metadata.get("spend_logs_metadata")), obj(metadata.get("requester_metadata"))
    call = row.get("call_type") or ""
    span.kind = "embed" if "embedding" in call or "rerank" in call else "llm"
    span.failed = (row.get("status") or metadata.get("status")) == "failure"
    span.input, span.output = whole(row.get("prompt_tokens")), whole(row.get("completion_tokens"))
    usage = obj(metadata.get("usage_object"))
    span.read = whole(obj(usage.get("prompt_tokens_details")).get("cached_tokens"))
    if span.failed and not span.input:
        span.inside = True  # Of an attempt that was not billed: never added.
    else:
        span.write = whole(usage.get("cache_creation_input_tokens"))
    span.cost = usd(first([row], "spend", "response_cost"))
    if span.failed and span.cost is None:
        span.cost = Decimal(0)
    span.shadow = str(metadata.get("is_silent_experiment")).lower() == "true"
    span.user = row.get("end_user") or metadata.get("user_api_key_end_user_id")
    span.user = span.user or obj(row.get("model_parameters")).get("user")
    tags = opened(row.get("request_tags")) or []
    tagged = [t.split(":", 1)[1] for t in tags if t.startswith(("release:", "release_id:"))]
    span.release = first([logged, asked], "release_id") or (tagged or [None])[0]
    if call == "call_mcp_tool":
        span.kind, span.loose = "tool", row.get("session_id") or row.get("trace_id")
    span.session = row.get("session_id") or row.get("trace_id")
    yield span


def read_langfuse(row):
    camel = {"traceId": "trace_id", "parentObservationId": "parent_observation_id", "startTime": "start_time",
             "endTime": "end_time", "userId": "user_id", "usageDetails": "usage_details",
             "costDetails": "cost_details", "updatedAt": "updated_at", "calculatedTotalCost": "total_cost",
             "totalCost": "total_cost"}  # fmt: skip
    row = {camel.get(key, key): value for key, value in row.items()}
    metadata = obj(row.get("metadata"))
    if "start_time" not in row:
        span = Span(row["id"], "", "", nanos(row["timestamp"]), None)
        span.is_trace, span.kind = True, "agent"
    else:
        parent = "" if row.get("is_root_observation") else row.get("parent_observation_id")
        span = Span(row["trace_id"], row["id"], parent, nanos(row["start_time"]), nanos(row.get("end_time")))
        kinds = {"GENERATION": "llm", "AGENT": "agent", "CHAIN": "agent", "TOOL": "tool", "EMBEDDING": "embed",
                 "EVALUATOR": "judge"}  # fmt: skip
        span.kind = kinds.get(row.get("type"), "step")
        usage = {k: whole(v) for k, v in obj(row.get("usage_details")).items()}
        span.beside = usage.get("total") != (usage.get("input") or 0) + (usage.get("output") or 0)
        cached = {k: v for k, v in usage.items() if "cache" in k}
        span.input = usage.get("input")
        span.output = usage.get("output")
        if "output_reasoning_tokens" in usage:
            span.output = (span.output or 0) + usage["output_reasoning_tokens"]
        span.write = sum(v for k, v in cached.items() if "creation" in k or "write" in k) if cached else None
        span.read = sum(cached.values()) - span.write if cached else None
        span.cost = usd(row.get("total_cost"))
        if span.cost is None:
            span.cost = usd(obj(row.get("cost_details")).get("total"))
        span.failed = row.get("level") == "ERROR"
    span.one_turn = True
    span.version = nanos(row.get("updated_at")) or span.end
    span.user, span.release = row.get("user_id"), row.get("release") or metadata.get("release_id")
    environment = row.get("environment") or ""
    span.judged = environment.startswith("langfuse-") or environment == "sdk-experiment"
    yield span


def reader_of(row):
    if "resourceSpans" in row or "resourceLogs" in row:
        return read_otlp
    if "info" in row or "trace_metadata" in row:
        return read_mlflow
    if "run_type" in row:
        return read_langsmith
    if "startTime" in row and ("request_id" in row or "call_type" in row):
        return read_litellm
    if "context" in row or "context.trace_id" in row:
        return read_phoenix
    if "run_id" in row and "key" in row:  # Feedback.
        return lambda row: ()
    if "observation_id" in row or "observationId" in row or "annotator_kind" in row or "window" in row:
        return lambda row: ()
    return read_langfuse


def rows_of(path):
    if path.endswith(".csv"):
        csv.field_size_limit(1 << 30)
        with open(path, newline="") as file:
            return list(csv.DictReader(file))
    with gzip.open(path, "rt") if path.endswith(".gz") else open(path) as file:
        text = file.read()
    try:
        rows = json.loads(text, parse_float=Decimal)
        rows = rows if isinstance(rows, list) else [rows]
    except ValueError:
        rows = [json.loads(line, parse_float=Decimal) for line in text.splitlines() if line.strip()]
    pages = [next((row[k] for k in ("data", "runs") if isinstance(row.get(k), list)), [row]) for row in rows]
    return [row for page in pages for row in page]


def fold(spans):
    latest = {}
    for span in spans:
        key = (span.trace, span.id)
        if key not in latest or span.version > latest[key].version:
            latest[key] = span
    traces = {}
    for span in latest.values():
        if not span.loose:
            traces.setdefault(span.trace, []).append(span)
    turns = [turn for trace in traces.values() for turn in turns_of(trace)]
    for tool in (span for span in latest.values() if span.loose):  # It belongs to the request before it.
        own = [turn for turn in turns if turn["session"] == tool.loose]
        before = [turn for turn in own if turn["start"] <= tool.start] or own[:1]
        turn = max(before, key=lambda turn: turn["start"])
        turn["tool_calls"] += 1
        turn["tool_errors"] += tool.failed
    return sorted(turns, key=lambda turn: (turn["start"], turn["trace"]))


def turns_of(trace):
    by_id = {span.id: span for span in trace if span.id}
    for span in trace:
        span.above = by_id.get(span.parent)
    header = next((span for span in trace if span.is_trace), None)
    tops = sorted((s for s in trace if s.above is None and s is not header), key=lambda s: s.start)
    roots = [header] if header else [span for span in tops if not span.parent] or tops[:1]
    lacks_root = not header and not any(not span.parent for span in tops)
    if any(span.one_turn for span in trace):
        roots = roots[:1]
    for span in tops:
        if span not in roots:
            span.above = roots[0]
    for root in roots:
        turn = turn_of(root, [s for s in trace if root in chain(s)], lacks_root)
        if turn:
            yield turn


def chain(span):
    """The span and all spans above it."""
    found = []
    while span is not None:
        found.append(span)
        span = span.above
    return found


def turn_of(root, all_spans, lacks_root):
    if all(span.kind == "other" and not span.has_tokens() for span in all_spans):
        return None
    is_judge = root.kind == "judge"
    spans = [s for s in all_spans if is_judge or all(a.kind != "judge" for a in chain(s))]
    above = {id(a) for s in spans if s.kind != "embed" and s.has_tokens() for a in chain(s)[1:]}
    billed = {s.service for s in spans if s.kind != "embed" and s.cost is not None and s.has_tokens()} - {None}
    counted = [s for s in spans if s.kind != "embed" and s.tokens() and (s.cost is not None or s.service not in billed)]
    above = {id(a) for s in counted if s.has_tokens() for a in chain(s)[1:]}
    above_any = {id(a) for s in counted for a in chain(s)[1:]}
    counted = [s for s in counted if id(s) not in above and (s.has_tokens() or id(s) not in above_any)]
    sums = [sum(column) for column in zip(*(s.tokens() for s in counted))] or [None] * 4
    alone = [s for s in spans if s.kind == "embed" or s.kind == "llm" and not s.tokens()]
    costs = [s.cost for s in counted + alone if s.cost is not None or s.has_tokens()]
    cost = None if None in costs or not costs else sum(costs)
    with_models = {id(a) for s in spans if s.kind == "llm" for a in chain(s)[1:]}

    def is_within(tool):
        for outer in chain(tool)[1:]:
            if outer.kind == "agent" or id(outer) in with_models:
                return False
            if outer.kind == "tool":
                return True
        return False

    tools = [s for s in spans if s.kind == "tool" and not is_within(s)]
    start, end = root.start, root.end
    if root.is_trace or root.one_turn or lacks_root:
        start = min(s.start for s in spans)
        end = max((s.end for s in spans if s.end is not None), default=None)
    tops = [s for s in spans if s is root or s.above is root and not s.parent] if root.one_turn else [root]
    latency = None if end is None or end < start else end - start
    ordered = [root] + sorted((s for s in spans if s is not root), key=lambda s: s.start)
    known = lambda name: next((getattr(s, name) for s in ordered if getattr(s, name)), None)
    nano = cost if cost is None else int((cost * 10**9).to_integral_value(ROUND_HALF_EVEN))
    return {
        "trace": root.trace, "user": known("user"), "release": known("release"),
        "failed": any(s.failed for s in tops), "eval": is_judge or any(s.judged for s in spans),
        "shadow": any(s.shadow for s in spans), "tokens_in": sums[0], "cached_in": sums[2],
        "tokens_out": sums[1], "nano_usd": nano, "tool_calls": len(tools),
        "tool_errors": sum(s.failed for s in tools), "latency_ns": latency, "start": start,
        "session": getattr(root, "session", None),
    }  # fmt: skip


def files_of(paths):
    for path in paths:
        if os.path.isdir(path):
            for folder, _, names in sorted(os.walk(path)):
                yield from (os.path.join(folder, name) for name in sorted(names) if not name.endswith(".parquet"))
        else:
            yield path


def count(paths):
    rows = [row for path in files_of(paths) for row in rows_of(path)]
    return fold([span for row in rows for span in reader_of(row)(row)])


def totals(turns):
    waits = [turn["latency_ns"] for turn in turns if turn["latency_ns"] is not None]
    sums = {name: sum(turn[name] or 0 for turn in turns) for name in NAMES[3:-1]}
    mean = sum(waits) / len(waits) / 1e6 if waits else None
    return {"turns": len(turns), "users": len({t["user"] for t in turns} - {None}), **sums, "latency_mean_ms": mean}


def main():
    if len(sys.argv) > 1:
        turns = count(sys.argv[1:])
        for turn in turns:
            print(*(turn[name] for name in NAMES), sep=",")
        print(json.dumps(totals(turns)))
        return
    expected = {}
    for folders in FOLDERS:
        turns = count([os.path.join(HERE, folder) for folder in folders.split("+")])
        expected[folders] = {"totals": totals(turns), "turns": [[turn[name] for name in NAMES] for turn in turns]}
    with open(os.path.join(HERE, "expected.json"), "w") as out:
        lines = [f"{json.dumps(key)}: {{\"totals\": {json.dumps(value['totals'])}, \"turns\": [\n"
                 + ",\n".join(f"  {json.dumps(turn)}" for turn in value["turns"]) + "\n]}"
                 for key, value in expected.items()]  # fmt: skip
        out.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
