"""Traces of MLflow, written to a store of its own and read back by `search_traces`: as JSON lines and as
a table in CSV and Parquet.

Needs: mlflow-skinny 3.17.2, pandas, pyarrow, sqlalchemy, alembic. Paths of the machine are left out.
"""

import json
import os
import shutil
import tempfile

import mlflow
from mlflow.entities import AssessmentSource
from scrub import scrub

DATA = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STORE = tempfile.mkdtemp()
mlflow.set_tracking_uri(f"sqlite:///{STORE}/mlflow.db")
mlflow.set_experiment(experiment_id=mlflow.create_experiment("cs", artifact_location=f"{STORE}/artifacts"))


def chat(prompt, completion, cached=0, cost=None, fails=False):
    with mlflow.start_span("chat", span_type="CHAT_MODEL") as span:
        usage = {"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion}
        if cached:
            usage["cache_read_input_tokens"] = cached
        span.set_attribute("mlflow.chat.tokenUsage", usage)
        span.set_attribute("mlflow.llm.model", "gpt-4o-mini")
        if cost:
            span.set_attribute("mlflow.llm.cost", {"input_cost": cost / 4, "output_cost": cost * 3 / 4, "total_cost": cost})
        if fails:
            raise TimeoutError("the model did not answer")


@mlflow.trace(span_type="TOOL")
def refund(order):
    if order < 0:
        raise ValueError("no such order")
    return {"ok": True}


def note(user, release, session="s-1", **more):
    mlflow.update_current_trace(
        metadata={"mlflow.trace.user": user, "mlflow.trace.session": session, **more}, tags={"release_id": release}
    )


@mlflow.trace(span_type="AGENT", name="cs_agent")
def turn(user, release, work, **more):
    note(user, release, **more)
    work()
    return "Within 7 days."


def calls():
    chat(900, 120, cost=0.000207)
    refund(1)
    chat(1100, 80, cached=512, cost=0.0001746)


def recovered():
    chat(300, 30, cost=0.0001)
    for order in (-1, 2):
        try:
            refund(order)
        except ValueError:
            pass


def nested():
    with mlflow.start_span("plan", span_type="CHAIN") as span:
        chat(400, 40, cost=0.0002)
        # The chain repeats the sum.
        span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 400, "output_tokens": 40, "total_tokens": 440})
    with mlflow.start_span("search", span_type="RETRIEVER"):
        pass
    with mlflow.start_span("embed", span_type="EMBEDDING") as span:
        span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 64, "output_tokens": 0, "total_tokens": 64})


def beside():
    chat(25, 140, cached=4000, cost=0.005)


turn("u-1", "rel_a", calls)
turn("u-2", "rel_b", recovered)
try:
    turn("u-2", "rel_b", lambda: chat(120, 0, fails=True))
except TimeoutError:
    pass
turn("u-3", "rel_a", nested)
turn("u-3", "rel_a", beside)
turn("judge", "rel_a", lambda: chat(2000, 5), **{"mlflow.trace.sourceScorer": "correctness"})
with mlflow.start_span("untyped_root") as root:
    note("u-4", "rel_b")
    chat(10, 2, cost=0.00001)
mlflow.flush_trace_async_logging()

traces = mlflow.search_traces(return_type="list", order_by=["timestamp_ms ASC"])
person = AssessmentSource(source_type="HUMAN", source_id="u-1")
for trace, value in zip(traces[:2], (True, False)):
    mlflow.log_feedback(trace_id=trace.info.trace_id, name="user_thumbs", value=value, source=person)
table = mlflow.search_traces(order_by=["timestamp_ms ASC"])
folder = os.path.join(DATA, "mlflow_real")
for column in table:
    if table[column].map(lambda value: isinstance(value, (str, dict, list))).any():
        table[column] = table[column].map(
            lambda value: json.dumps(scrub(json.loads(value))) if column == "trace" else scrub(value)
        )
for name, save in [
    ("lines/traces.jsonl", lambda path: open(path, "w").writelines(
        json.dumps(scrub(json.loads(trace.to_json()))) + "\n"
        for trace in mlflow.search_traces(return_type="list", order_by=["timestamp_ms ASC"]))),
    ("csv/traces.csv", lambda path: table.to_csv(path, index=False)),
    ("parquet/traces.parquet", lambda path: table.to_parquet(path, index=False)),
]:  # fmt: skip
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    save(path)
    print(name, os.path.getsize(path))
shutil.rmtree(STORE)
