"""Runs and feedback of LangSmith, made by its client: what `list_runs` and `list_feedback` return.

Needs: langsmith 0.15.1. No server is asked: the client's requests are kept, and what the server adds
(status, project, numbers of tokens and cost of a run and of the runs below it, feedback) is filled in here.
"""

import datetime
import json
import os
import uuid

os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_API_KEY="k", LANGSMITH_PROJECT="cs")

from langsmith import Client, schemas, traceable
from scrub import scrub

DATA = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROJECT = uuid.UUID("0199f6a4-0000-7000-8000-000000000001")
runs = {}


class Keeper(Client):
    def create_run(self, name, inputs, run_type, **more):
        runs[str(more["id"])] = {"name": name, "inputs": inputs, "run_type": run_type, **more}

    def update_run(self, run_id, **more):
        runs[str(run_id)].update({key: value for key, value in more.items() if value is not None})


client = Keeper(api_url="http://127.0.0.1:1", api_key="k", info={}, auto_batch_tracing=False)


@traceable(run_type="llm", name="chat", metadata={"ls_provider": "openai", "ls_model_name": "gpt-4o-mini"}, client=client)
def chat(prompt, completion, cached=0, cost=None):
    usage = {"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion}
    if cached:
        usage["input_token_details"] = {"cache_read": cached}
    if cost is not None:
        usage["total_cost"] = cost
    return {"messages": [], "usage_metadata": usage}


@traceable(run_type="tool", client=client)
def refund(order):
    if order < 0:
        raise ValueError("no such order")
    return {"ok": True}


@traceable(run_type="embedding", client=client)
def embed(text):
    return [0.1]


@traceable(run_type="retriever", client=client)
def search(text):
    return []


@traceable(run_type="chain", name="plan", client=client)
def plan():
    chat(400, 40)
    search("returns")
    embed("returns")


@traceable(run_type="chain", name="cs_agent", client=client)
def agent(work):
    globals()[work]()
    return "Within 7 days."


def turn(user, release, work, session="s-1"):
    try:
        agent(work.__name__, langsmith_extra={"metadata": {"user_id": user, "thread_id": session, "release_id": release}})
    except RuntimeError:
        pass


def two_calls():
    chat(900, 120, cost=0.000207)
    refund(1)
    chat(1100, 80, cached=512, cost=0.0001746)


def recovered():
    chat(300, 30)
    for order in (-1, 2):
        try:
            refund(order)
        except ValueError:
            pass


def failed():
    chat(350, 15)
    raise RuntimeError("no tool answered")


turn("u-1", "rel_a", two_calls)
turn("u-2", "rel_b", recovered)
turn("u-2", "rel_b", failed)
turn("u-3", "rel_a", plan)
chat(55, 5, langsmith_extra={"metadata": {"user_id": "u-4", "release_id": "rel_b"}})  # A request alone is a turn.


def with_server_fields(sums):
    """The runs as a server answers them; with `sums` it has counted the tokens of each run."""
    found = []
    for run in runs.values():
        usage = run["extra"].get("metadata", {}).get("usage_metadata")
        below = [other for other in runs.values() if other["dotted_order"].startswith(run["dotted_order"])]
        below = [other["extra"].get("metadata", {}).get("usage_metadata") for other in below]
        below = [usage for usage in below if usage]
        run = {**run, "session_id": PROJECT, "status": "error" if run.get("error") else "success", "child_run_ids": None}
        run.pop("session_name", None)
        if sums:
            for name, key in [("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"), ("total_tokens", "total_tokens")]:
                run[name] = sum(usage[key] for usage in below)
            costs = [usage["total_cost"] for usage in below if "total_cost" in usage]
            run["total_cost"] = str(round(sum(costs), 9)) if costs else None
            cached = sum(usage.get("input_token_details", {}).get("cache_read", 0) for usage in below)
            run["prompt_token_details"] = {"cache_read": cached} if cached else None
        known = {key: value for key, value in run.items() if key in schemas.Run.model_fields}
        found.append(json.loads(schemas.Run(**known).model_dump_json(exclude={"attachments", "child_runs"})))
    return found


def feedback():
    roots = [run for run in runs.values() if not run.get("parent_run_id")]
    at = datetime.datetime(2026, 11, 30, tzinfo=datetime.timezone.utc)
    for number, (run, score) in enumerate(zip(roots, (5, 2))):
        given = schemas.Feedback(id=uuid.UUID(int=number), created_at=at, modified_at=at, run_id=run["id"],
                                 trace_id=run["trace_id"], key="csat", score=score, value=None)  # fmt: skip
        yield json.loads(given.model_dump_json())


folder = os.path.join(DATA, "langsmith_real")
with_sums = with_server_fields(True)
for name, rows in [
    ("plain/runs.jsonl", with_server_fields(False)),
    ("sums/runs.jsonl", with_sums),
    ("sums/feedback.jsonl", feedback()),
    ("page/runs.json", [{"runs": with_sums, "cursors": {"next": None}}]),
]:
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as out:
        out.writelines(json.dumps(scrub(row)) + "\n" for row in rows)
    print(name, os.path.getsize(path))
