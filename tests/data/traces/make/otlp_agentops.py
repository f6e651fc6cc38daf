"""Traces of AgentOps, written by its decorators and its instrumentation of the OpenAI client.

Needs: agentops 0.4.21, openai 3.57.0, httpx. Its own exporter needs a key and is not used.
"""

import os

os.environ["AGENTOPS_API_KEY"] = "00000000-0000-0000-0000-000000000000"

import agentops
import openai
from agentops.instrumentation.providers.openai import OpenaiInstrumentor
from agentops.sdk.decorators import agent, operation, tool, trace
from opentelemetry import trace as otel
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from record import Kept, Model, clock, lines, tolerated, write

kept = Kept()
agentops.init(auto_start_session=False, instrument_llm_calls=False, fail_safe=True, env_data_opt_out=True,
              log_level="CRITICAL")  # fmt: skip
otel.get_tracer_provider().add_span_processor(SimpleSpanProcessor(kept))
OpenaiInstrumentor().instrument(tracer_provider=otel.get_tracer_provider())
model = Model()
client = openai.OpenAI(api_key="k", base_url="http://llm.test/v1", http_client=model.client, max_retries=0)


def chat(ms, prompt, completion, cached=0, **more):
    model.next(ms, prompt, completion, cached, **more)
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Refund?"}])


@tool(name="refund_api")
def refund(order, ms=90):
    clock.tick(ms)
    if order < 0:
        raise ValueError("no such order")
    return {"ok": True}


@agent(name="cs_agent")
class Agent:
    @operation(name="answer")
    def answer(self, work):
        work()


def plain():
    chat(400, 900, 120, calls=["refund_api"])
    refund(1)
    chat(300, 1100, 80, cached=512)


def recovered():
    chat(200, 300, 30)
    with tolerated(ValueError):
        refund(-1)
    refund(2)


def failed():
    chat(150, 350, 15)
    raise RuntimeError("no tool answered")


def turn(user, release, work):
    clock.tick(1000)

    @trace(name="support", tags={"release_id": release})
    def run():
        root = otel.get_current_span()
        root.set_attributes({"user.id": user, "session.id": f"conv-{user}", "release_id": release})
        Agent().answer(work)

    with tolerated(RuntimeError):
        run()


turn("u-1", "rel_a", plain)
turn("u-2", "rel_b", recovered)
turn("u-3", "rel_b", failed)
write("otlp/agentops/traces.jsonl", lines(kept.spans, 4))
os._exit(0)
