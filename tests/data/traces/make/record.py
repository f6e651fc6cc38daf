"""The parts that the OTLP generators share: a clock, an exporter and the layout of the files.

Needs: opentelemetry-sdk, opentelemetry-exporter-otlp-proto-common, openai (and its httpx or httpx2).

The clock stands still unless a generator moves it, so that every duration is known. The ids come
from a seeded generator. A second run differs only in the time to the first chunk of a stream, which
the instrumentation measures with a clock of its own.
"""

import base64
import contextlib
import json
import os
import random
import re

try:
    import httpx2 as httpx
except ImportError:
    import httpx
import opentelemetry.sdk.trace as sdk_trace
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator

DATA = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START = 1_795_856_400_000_000_000  # 2026-11-28T09:00:00Z


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def tick(self, ms):
        self.now += int(ms * 1_000_000)


clock = Clock()
sdk_trace.time_ns = clock


class Ids(IdGenerator):
    def __init__(self, seed):
        self.random = random.Random(seed)

    def generate_span_id(self):
        return self.random.getrandbits(64) or 1

    def generate_trace_id(self):
        return self.random.getrandbits(128) or 1


class Kept(SpanExporter):
    """Keeps the spans in the order in which they ended: children before parents."""

    def __init__(self):
        self.spans = []

    def export(self, spans):
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


def provider(seed, service="cs-agent", version="2.4.0", kept=None, **attributes):
    found = {"service.name": service, "deployment.environment.name": "production"}
    if version:
        found["service.version"] = version
    found.update(attributes)
    tracers = TracerProvider(resource=Resource(found), id_generator=Ids(seed), shutdown_on_exit=False)
    kept = kept or Kept()
    tracers.add_span_processor(SimpleSpanProcessor(kept))
    return tracers, kept


def plain(message):
    """The OTLP JSON form: ids in hex, enums as numbers; protobuf's own JSON has base64 and names."""
    found = MessageToDict(message, use_integers_for_enums=True)

    def walk(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in ("traceId", "spanId", "parentSpanId") and isinstance(inner, str):
                    value[key] = base64.b64decode(inner).hex()
                else:
                    walk(inner)
            if value.get("key") == "exception.stacktrace":  # Without the paths of the machine.
                text = value["value"]["stringValue"]
                value["value"]["stringValue"] = re.sub(r'File "[^"]*/', 'File "app/', text)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(found)
    return found


def lines(spans, batch):
    """One document for each batch of spans, as the collector's file exporter writes them."""
    return [plain(encode_spans(spans[at : at + batch])) for at in range(0, len(spans), batch)]


def each_span(document):
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            yield from scope["spans"]


def old_style(document):
    """Older collectors wrote an empty parent id instead of none, and an empty status."""
    for span in each_span(document):
        span.setdefault("parentSpanId", "")
        span.setdefault("status", {})
    return document


def write(path, documents):
    path = os.path.join(DATA, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as out:
        for document in documents:
            out.write(json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n")
    print(path, os.path.getsize(path))


class Model:
    """An OpenAI-compatible service behind the real client; each answer is queued by a generator."""

    def __init__(self):
        self.queue = []
        self.number = 0
        self.client = httpx.Client(transport=httpx.MockTransport(self.answer))

    def next(self, ms, prompt, completion, cached=0, status=200, text="Within 7 days.", **more):
        self.queue.append((ms, prompt, completion, cached, status, text, more))

    def answer(self, request):
        ms, prompt, completion, cached, status, text, more = self.queue.pop(0)
        clock.tick(ms)
        self.number += 1
        if status != 200:
            error = {"message": "upstream failed", "type": "server_error", "code": str(status)}
            return httpx.Response(status, json={"error": error})
        asked = json.loads(request.content)
        model = more.get("model", asked["model"])
        if request.url.path.endswith("/embeddings"):
            usage = {"prompt_tokens": prompt, "total_tokens": prompt}
            row = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}
            return httpx.Response(200, json={"object": "list", "data": [row], "model": model, "usage": usage})
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": more.get("reasoning", 0)},
        }
        head = {"id": f"chatcmpl-{self.number}", "created": clock.now // 1_000_000_000, "model": model}
        if asked.get("stream"):
            delta = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            parts = [{**head, "object": "chat.completion.chunk", "choices": [delta], "usage": None}]
            if asked.get("stream_options", {}).get("include_usage"):
                parts.append({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
            body = "".join(f"data: {json.dumps(part)}\n\n" for part in parts) + "data: [DONE]\n\n"
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)
        message = {"role": "assistant", "content": text}
        calls = more.get("calls", [])
        if calls:
            message["content"] = None
            message["tool_calls"] = [
                {"id": f"call_{self.number}_{n}", "type": "function", "function": {"name": name, "arguments": "{}"}}
                for n, name in enumerate(calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        return httpx.Response(200, json={**head, "object": "chat.completion", "choices": [choice], "usage": usage})


@contextlib.contextmanager
def tolerated(*kinds):
    with contextlib.suppress(*kinds):
        yield
