"""Spans and annotations of Phoenix: sent to a server of its own, and read back by its client.

Needs: arize-phoenix 20.26.1, arize-phoenix-client 3.5.0, openinference-instrumentation-openai 0.1.66,
pyarrow. The server listens on a free port of this machine, and ends with the script.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

DATA = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOME = tempfile.mkdtemp()
with socket.socket() as free, socket.socket() as grpc:
    free.bind(("127.0.0.1", 0))
    grpc.bind(("127.0.0.1", 0))
    PORT, GRPC = free.getsockname()[1], grpc.getsockname()[1]
URL = f"http://127.0.0.1:{PORT}"
names = {"PHOENIX_WORKING_DIR": HOME, "PHOENIX_PORT": str(PORT), "PHOENIX_GRPC_PORT": str(GRPC),
         "PHOENIX_HOST": "127.0.0.1", "PHOENIX_TELEMETRY_ENABLED": "false"}  # fmt: skip
server = subprocess.Popen([sys.executable, "-m", "phoenix.server.main", "serve"], env={**os.environ, **names},
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def wait():
    for _ in range(900):
        try:
            return urllib.request.urlopen(f"{URL}/healthz", timeout=2).status
        except OSError:
            time.sleep(0.5)
    raise SystemExit("the server did not start")


def write(name, save):
    path = os.path.join(DATA, "phoenix_real", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    save(path)
    print(name, os.path.getsize(path))


def lines(rows):
    return lambda path: open(path, "w").writelines(json.dumps(row) + "\n" for row in rows)


try:
    wait()
    import httpx
    import otlp_openinference  # Its spans, with the clock and the ids of that script.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from phoenix.client import Client
    from scrub import scrub

    exporter = OTLPSpanExporter(endpoint=f"{URL}/v1/traces")
    for span in otlp_openinference.kept.spans:
        for event in span._events:
            event._attributes = scrub(dict(event._attributes))
    exporter.export(otlp_openinference.kept.spans)
    client = Client(base_url=URL)
    for _ in range(60):
        spans = client.spans.get_spans(project_identifier="default", limit=1000)
        if len(spans) == len(otlp_openinference.kept.spans):
            break
        time.sleep(0.5)
    roots = sorted((span for span in spans if not span.get("parent_id")), key=lambda span: span["start_time"])
    for root, label in zip(roots[:3], ("thumbs_down", "thumbs_up", "thumbs_down")):
        client.spans.add_span_annotation(
            span_id=root["context"]["span_id"], annotation_name="user_feedback", annotator_kind="HUMAN",
            label=label, score=float(label == "thumbs_up"), sync=True,
        )  # fmt: skip
    ids = [span["context"]["span_id"] for span in spans]
    annotations = client.spans.get_span_annotations(span_ids=ids, project_identifier="default")
    write("lines/spans.jsonl", lines(spans))
    write("lines/annotations.jsonl", lines(annotations))
    page = httpx.get(f"{URL}/v1/projects/default/spans?limit=100").json()
    write("page/spans.json", lambda path: json.dump(page, open(path, "w"), indent=1))
    frame = client.spans.get_spans_dataframe(project_identifier="default", limit=1000)
    print(list(frame.columns)[:12], frame.index.name)
    write("csv/spans.csv", frame.to_csv)
    write("parquet/spans.parquet", frame.to_parquet)
    scores = client.spans.get_span_annotations_dataframe(spans_dataframe=frame, project_identifier="default")
    write("csv/annotations.csv", scores.to_csv)
finally:
    server.terminate()
    server.wait(20)
