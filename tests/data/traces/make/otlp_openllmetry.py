"""Traces of OpenLLMetry, written by its decorators and its instrumentation of the OpenAI client.

Needs: traceloop-sdk 0.62.4 with httpx, opentelemetry-instrumentation-openai 0.62.4, openai 3.57.0.
"""

import os

os.environ.update(TRACELOOP_TELEMETRY="false", TRACELOOP_TRACE_CONTENT="true")

import openai
from record import Kept, Model, clock, lines, tolerated, write
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import agent, task, tool, workflow

kept = Kept()
resource = {"service.version": "2.4.0", "deployment.environment.name": "production"}
Traceloop.init(app_name="cs-agent", exporter=kept, disable_batch=True, resource_attributes=resource)
model = Model()
client = openai.OpenAI(api_key="k", base_url="http://llm.test/v1", http_client=model.client, max_retries=0)
QUESTION = [{"role": "user", "content": "May I return the blender?"}]


def chat(ms, prompt, completion, cached=0, stream=False, **more):
    model.next(ms, prompt, completion, cached, **more)
    if stream:
        options = {"include_usage": True}
        for _ in client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True, stream_options=options):
            pass
        return
    client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)


@tool(name="refund_api")
def refund(order, ms=90):
    clock.tick(ms)
    if order < 0:
        raise ValueError("no such order")
    return {"ok": True}


@tool(name="get_weather")
def weather(city):
    clock.tick(40)
    return {"content": [{"type": "text", "text": "no such city"}], "isError": True}


@task(name="prepare")
def prepare():
    clock.tick(3)


@agent(name="expert")
def expert():
    chat(500, 1000, 200, calls=["refund_api"])
    refund(7, 35)


def turn(user, release, tenant="bu_books"):
    def decorate(work):
        @workflow(name=work.__name__)
        def run():
            names = {"user_id": user, "session_id": f"conv-{user}", "tenant_id": tenant}
            if release:
                names["release_id"] = release
            Traceloop.set_association_properties(names)
            work()

        return run

    return decorate


@turn("u-1", "rel_a")
def plain():
    prepare()
    chat(400, 900, 120, calls=["refund_api"])
    refund(1)
    chat(300, 1100, 80, cached=512)


@turn("u-2", "rel_b")
def recovered():
    chat(200, 300, 30)
    with tolerated(ValueError):
        refund(-1)
    refund(2)
    weather("Atlantis")


@turn("u-2", "rel_b")
def failed():
    chat(150, 350, 15)
    raise RuntimeError("no tool answered")


@turn("u-3", None)
def nested():
    chat(100, 240, 24)
    expert()


@turn("u-4", "rel_a")
def retried():
    with tolerated(openai.APIStatusError):
        chat(50, 0, 0, status=503)
    chat(240, 700, 20)


@turn("u-5", "rel_a")
def streamed():
    chat(280, 610, 61, cached=256, stream=True)


@turn("u-6", "rel_b")
def embedded():
    model.next(30, 64, 0)
    client.embeddings.create(model="text-embedding-3-small", input="return policy")
    chat(310, 1800, 90, reasoning=64)


def main():
    for work in (plain, recovered, failed, nested, retried, streamed, embedded):
        clock.tick(1000)
        with tolerated(RuntimeError):
            work()
    clock.tick(1000)
    chat(70, 55, 5)  # Without a decorator: the request is the turn, of no known user.
    write("otlp/openllmetry/traces.jsonl", lines(kept.spans, 5))


main()
