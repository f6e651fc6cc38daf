"""Traces of OpenInference, written by its own instrumentation and helpers.

Needs: opentelemetry-sdk 1.45.2, openinference-instrumentation 0.1.72,
openinference-instrumentation-openai 0.1.66, openai 3.57.0,
opentelemetry-exporter-otlp-proto-common 1.45.2.
"""

import contextlib

import openai
from openinference.instrumentation import (
    get_annotation_attributes,
    get_attributes_from_context,
    get_evaluation_attributes,
    get_reranker_attributes,
    get_span_kind_attributes,
    get_tool_attributes,
    using_attributes,
)
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.trace import Status, StatusCode
from record import Model, clock, lines, provider, tolerated, write

tracers, kept = provider("openinference", version=None)
OpenAIInstrumentor().instrument(tracer_provider=tracers)
model = Model()
client = openai.OpenAI(api_key="k", base_url="http://llm.test/v1", http_client=model.client, max_retries=0)
tracer = tracers.get_tracer("cs_agent")


@contextlib.contextmanager
def span(kind, name, ms=0, fails=None, **attributes):
    with tracer.start_as_current_span(name, record_exception=True) as found:
        found.set_attributes(get_span_kind_attributes(kind))
        found.set_attributes({key.replace("__", "."): value for key, value in attributes.items()})
        clock.tick(ms)
        if fails:
            found.set_status(Status(StatusCode.ERROR, fails))
            found.set_attributes({"exception.type": "ToolError", "exception.message": fails})
        yield found


@contextlib.contextmanager
def turn(user, session, release, tenant="bu_electronics", kind="agent", name="cs_agent", **more):
    clock.tick(1000)
    metadata = {"tenant_id": tenant, "release_id": release, "feature": "checkout_assist"}
    with using_attributes(user_id=user, session_id=session, metadata=metadata, tags=[release, tenant]):
        with span(kind, name, 3, **more) as root:
            # The package's own tracer sets the context's attributes; a plain tracer needs this line.
            root.set_attributes(dict(get_attributes_from_context()))
            yield root
            clock.tick(2)


def chat(ms, prompt, completion, cached=0, cost=None, **more):
    model.next(ms, prompt, completion, cached, **more)
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Refund?"}])
    if cost is not None:
        last = kept.spans[-1]
        parts = {"llm.cost.prompt": cost[0], "llm.cost.completion": cost[1], "llm.cost.total": cost[2]}
        last._attributes = {**last._attributes, **parts}


def tool(name, ms, fails=None):
    with span("tool", name, ms, fails) as found:
        found.set_attributes(get_tool_attributes(name=name, parameters={"type": "object"}))


def turns():
    with turn("u-1", "s-1", "rel_a"):
        chat(300, 900, 120, cost=(0.000135, 0.000072, 0.000207), calls=["refund_api"])
        tool("refund_api", 120)
        chat(200, 1100, 80, cached=512, cost=(0.0001266, 0.000048, 0.0001746))
    with turn("u-1", "s-1", "rel_a"):  # A span's own judge is no traffic of the user.
        chat(200, 400, 40, cost=(0.00006, 0.000024, 0.000084))
        with span("evaluator", "faithfulness"):
            chat(900, 2000, 5, cost=(0.005, 0.00005, 0.00505))
    with turn("u-2", "s-2", "rel_b", tenant="bu_books"):  # Cost of their own kind, no tokens in or out.
        with span("embedding", "embed", 15, embedding__model_name="text-embedding-3-small") as found:
            found.set_attributes({"llm.token_count.prompt": 64, "llm.token_count.total": 64, "llm.cost.total": 0.00000128})
        with span("retriever", "search_kb", 12):
            pass
        with span("reranker", "rerank", 25) as found:
            found.set_attributes(get_reranker_attributes(query="refund", model_name="rerank-v3", top_k=3))
            found.set_attributes({"llm.token_count.prompt": 500, "llm.cost.total": 0.002})
        chat(250, 1500, 70, cost=(0.000225, 0.000042, 0.000267))
    with turn("u-2", "s-2", "rel_b", tenant="bu_books"):  # The agent repeats the sum and the cost.
        chat(100, 200, 20, cost=(0.00003, 0.000012, 0.000042))
        chat(110, 300, 30, cost=(0.000045, 0.000018, 0.000063))
        clock.tick(1)
    parent = kept.spans[-1]
    sums = {"llm.token_count.prompt": 500, "llm.token_count.completion": 50, "llm.cost.total": 0.000105}
    parent._attributes = {**parent._attributes, **sums}
    with turn("u-3", "s-3", "rel_a") as root:  # Only the agent knows its use.
        clock.tick(640)
        root.set_attributes({"llm.token_count.prompt": 777, "llm.token_count.completion": 88})
        root.set_attributes({"llm.token_count.prompt_details.cache_read": 111, "llm.cost.total": 0.00016935})
    with turn("u-3", "s-3", "rel_a"):  # Beside: more was read from the cache than came in.
        with span("llm", "messages.create", 700, llm__provider="anthropic", llm__model_name="claude-sonnet-4-5") as found:
            counts = {"prompt": 25, "completion": 140, "total": 165}
            found.set_attributes({f"llm.token_count.{key}": value for key, value in counts.items()})
            found.set_attribute("llm.token_count.prompt_details.cache_read", 4000)
            found.set_attribute("llm.token_count.prompt_details.cache_write", 600)
            found.set_attribute("llm.cost.total", 0.005625)
    with turn("u-4", "s-4", "rel_b"):  # Nested: a chain, an agent, a sub-agent with a tool that failed and one that did not.
        with span("chain", "plan", 5):
            with span("agent", "researcher", 5):
                chat(150, 350, 35, cost=(0.0000525, 0.000021, 0.0000735))
                tool("search", 40, "no index")
                tool("search", 45)
        chat(90, 640, 21, cost=(0.000096, 0.0000126, 0.0001086))
    with tolerated(ValueError):  # The root failed: its exception is recorded.
        with turn("u-5", "s-5", "rel_b", tenant="bu_books"):
            chat(80, 120, 12, cost=(0.000018, 0.0000072, 0.0000252))
            raise ValueError("the answer was no JSON")
    with tolerated(Exception):  # A model call failed and was repeated.
        with turn("u-6", "s-6", "rel_a"):
            with tolerated(openai.APIStatusError):
                chat(40, 0, 0, status=500)
            chat(160, 260, 26, cost=(0.000039, 0.0000156, 0.0000546))
    with span("evaluator", "nightly_judge", 5):  # A judge of its own: an evaluation turn.
        chat(300, 3000, 4, cost=(0.00045, 0.0000024, 0.0004524))
    clock.tick(1000)
    with turn("u-7", "s-7", "rel_a", kind="chain", name="legacy_chain") as root:  # Verdicts on the spans.
        with span("guardrail", "pii", 7):
            pass
        with span("prompt", "render", 1, llm__prompt_template__version="7"):
            pass
        chat(210, 410, 41, cost=(0.0000615, 0.0000246, 0.0000861))
        verdict = {"name": "user_feedback", "label": "thumbs_down", "score": 0.0, "annotator_kind": "HUMAN"}
        root.set_attributes(get_annotation_attributes(annotations=[verdict], scope="trace"))
        judged = {"name": "faithfulness", "label": "faithful", "score": 0.9, "annotator_kind": "LLM"}
        root.set_attributes(get_evaluation_attributes(evaluations=[judged], scope="span"))
        csat = {"name": "csat", "score": 4.0, "annotator_kind": "HUMAN"}
        root.set_attributes(get_evaluation_attributes(evaluations=[csat], scope="session"))


turns()
write("otlp/openinference/part-0001.jsonl", lines(kept.spans[:22], 4))
write("otlp/openinference/part-0002.jsonl", lines(kept.spans[22:], 1))
