"""Traces of the OpenTelemetry GenAI convention, written by its own instrumentation.

Needs: opentelemetry-sdk 1.45.2, opentelemetry-instrumentation-genai-openai 1.3b0,
opentelemetry-util-genai 1.3b0, opentelemetry-exporter-otlp-proto-common 1.45.2, openai 3.57.0.
"""

import copy
import os

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"

import contextlib

import openai
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.trace import set_span_in_context
from opentelemetry.util.genai.handler import TelemetryHandler
from record import Model, clock, each_span, lines, old_style, provider, tolerated, write

tracers, kept = provider("genai")
gateway_tracers, _ = provider("gateway", service="llm-gateway", version="9.1.0", kept=kept)
OpenAIInstrumentor().instrument(tracer_provider=tracers)
model = Model()
client = openai.OpenAI(api_key="k", base_url="http://llm.test/v1", http_client=model.client, max_retries=0)
handler = TelemetryHandler(tracer_provider=tracers)
gateway = gateway_tracers.get_tracer("llm_gateway")
manual = tracers.get_tracer("cs_agent.manual")
QUESTION = [{"role": "user", "content": "May I return the blender that I bought last week?"}]


def chat(ms, prompt, completion, cached=0, name="gpt-4o-mini", stream=False, **more):
    model.next(ms, prompt, completion, cached, **more)
    if stream:
        options = {"include_usage": True}
        for _ in client.chat.completions.create(model=name, messages=QUESTION, stream=True, stream_options=options):
            pass
        return
    client.chat.completions.create(model=name, messages=QUESTION)


@contextlib.contextmanager
def agent(user=None, session=None, release=None, tenant="bu_electronics", name="cs_agent", **more):
    clock.tick(1000)
    found = handler.invoke_local_agent(agent_name=name, request_model="gpt-4o-mini", conversation_id=session)
    keys = {"user.id": user, "release_id": release, "tenant.id": tenant, "feature": "checkout_assist"}
    found.attributes.update({key: value for key, value in keys.items() if value is not None})
    found.attributes.update(more)
    with found as run:
        clock.tick(5)
        yield run
        clock.tick(5)


def tool(ms, name="refund_api", fails=False, result=None, **more):
    run = handler.tool(name, tool_type="function")
    run.tool_call_id = f"call_{name}_{clock.now // 1_000_000 % 100_000}"
    run.arguments = {"order_id": "o-17", "reason_code": "damaged"}
    run.attributes.update(more)
    clock.tick(ms)
    if fails:
        run.fail(TimeoutError("the tool did not answer"))
    else:
        run.tool_result = result or {"ok": True}
        run.stop()


def plain_turn():
    with agent("u-1001", "conv-1", "rel_a"):
        chat(400, 900, 120, calls=["refund_api"])
        tool(130)
        chat(300, 1100, 80)


def cached_inside():
    with agent("u-1001", "conv-1", "rel_a"):
        chat(250, 1200, 60, cached=1024)


def cached_beside():
    with agent("u-1002", "conv-2", "rel_b", tenant="bu_books"):
        run = handler.inference("anthropic", request_model="claude-sonnet-4-5")
        run.input_tokens, run.output_tokens = 40, 210
        run.cache_read_input_tokens, run.cache_write_input_tokens = 2000, 300
        clock.tick(700)
        run.stop()


def first_write_beside():
    with agent("u-1002", "conv-2", "rel_b", tenant="bu_books"):
        run = handler.inference("anthropic", request_model="claude-sonnet-4-5")
        run.input_tokens, run.output_tokens = 12, 95
        run.cache_read_input_tokens, run.cache_write_input_tokens = 0, 5000
        clock.tick(900)
        run.stop()


def old_cache_name():
    usage = {"input_tokens": 3000, "output_tokens": 33, "cache_read.input_tokens": 1000}
    usage["cache_creation.input_tokens"] = 500
    with agent("u-1003", "conv-3", "rel_a"):
        span = manual.start_span("chat claude-sonnet-4")
        span.set_attributes({f"gen_ai.usage.{key}": value for key, value in usage.items()})
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "aws.bedrock"})
        clock.tick(610)
        span.end()


def agent_repeats_the_sum():
    with agent("u-1003", "conv-3", "rel_a") as run:
        chat(200, 500, 50, calls=["refund_api"])
        tool(90)
        chat(210, 640, 70)
        run.input_tokens, run.output_tokens = 1140, 120


def remote_agent_alone():
    clock.tick(1000)
    run = handler.invoke_remote_agent("aws.bedrock", agent_name="returns_bot", conversation_id="conv-4")
    run.agent_version = "77"
    run.attributes.update({"user.id": "u-1004", "tenant.id": "bu_books", "release_id": "rel_b"})
    run.input_tokens, run.output_tokens = 2222, 333
    run.cache_read_input_tokens = 1111
    clock.tick(2500)
    run.stop()


def nested_agents():
    clock.tick(1000)
    flow = handler.workflow("support_flow", conversation_id="conv-5")
    flow.attributes.update({"user.id": "u-1005", "release_id": "rel_b", "tenant.id": "bu_electronics"})
    with flow:
        with agent(name="triage") as outer:
            chat(150, 300, 30, calls=["lookup"])
            with agent(name="lookup_bot") as inner:
                tool(40, "search_orders")
                inner.input_tokens, inner.output_tokens = 450, 45
            outer.input_tokens, outer.output_tokens = 750, 75
        clock.tick(10)


def gateway_around_client():
    with agent("u-1006", "conv-6", "rel_a"):
        span = gateway.start_span("chat smart")
        names = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "llm-gateway"}
        span.set_attributes({**names, "gen_ai.usage.input_tokens": 820, "gen_ai.usage.output_tokens": 64})
        token = handler_context(span)
        chat(330, 820, 64)
        clock.tick(4)
        span.end()
        release(token)


def gateway_around_silent_client():
    with agent("u-1006", "conv-6", "rel_a"):
        span = gateway.start_span("chat smart")
        names = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "llm-gateway"}
        span.set_attributes({**names, "gen_ai.usage.input_tokens": 777, "gen_ai.usage.output_tokens": 11})
        token = handler_context(span)
        inner = handler.inference("openai", request_model="gpt-4o-mini")
        clock.tick(220)
        inner.stop()
        span.end()
        release(token)


def handler_context(span):
    from opentelemetry import context

    return context.attach(set_span_in_context(span))


def release(token):
    from opentelemetry import context

    context.detach(token)


def cost_rows_win():
    with agent("u-1007", "conv-7", "rel_b"):
        chat(180, 410, 41)
        span = manual.start_span("chat billing")
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"})
        span.set_attributes({"gen_ai.usage.input_tokens": 415, "gen_ai.usage.output_tokens": 41})
        span.set_attribute("gen_ai.usage.cost", 0.000086850)
        clock.tick(1)
        span.end()


def retried():
    with agent("u-1008", "conv-8", "rel_a"):
        with tolerated(openai.APIStatusError):
            chat(50, 0, 0, status=503)
        with tolerated(openai.APIStatusError):
            chat(60, 0, 0, status=429)
        chat(240, 700, 20)


def root_failed():
    with tolerated(RuntimeError):
        with agent("u-1009", "conv-9", "rel_b", tenant="bu_books"):
            chat(120, 350, 15, calls=["refund_api"])
            tool(3000, fails=True)
            raise RuntimeError("no tool answered")


def child_recovered():
    with agent("u-1009", "conv-9", "rel_b", tenant="bu_books"):
        chat(130, 360, 18, calls=["refund_api"])
        tool(800, fails=True)
        tool(90)
        chat(140, 520, 48)


def mcp_error_in_result():
    with agent("u-1010", "conv-10", "rel_a"):
        chat(100, 280, 22, calls=["get_weather"])
        names = {"mcp.method.name": "tools/call", "mcp.protocol.version": "2025-06-18", "mcp.session.id": "s-1"}
        result = {"content": [{"type": "text", "text": "no such city"}], "isError": True}
        tool(75, "get_weather", result=result, **names)
        tool(70, "get_weather", result={"content": [{"type": "text", "text": "12 C"}], "isError": False}, **names)
        chat(110, 330, 25)


def mcp_client_below_its_tool():
    with agent("u-1010", "conv-10", "rel_a"):
        chat(100, 281, 23, calls=["get_weather"])
        outer = handler.tool("get_weather", tool_type="extension")
        clock.tick(2)
        tool(66, "get_weather", **{"mcp.method.name": "tools/call"})
        clock.tick(2)
        outer.stop()


def agent_as_a_tool():
    with agent("u-1011", "conv-11", "rel_b"):
        chat(100, 240, 24, calls=["ask_expert"])
        outer = handler.tool("ask_expert", tool_type="function")
        chat(500, 1000, 200, name="gpt-4o", calls=["search_orders"])
        tool(35, "search_orders")
        outer.stop()


def tool_of_another_name_below():
    with agent("u-1011", "conv-11", "rel_b"):
        chat(100, 241, 25, calls=["checkout"])
        outer = handler.tool("checkout", tool_type="function")
        tool(45, "inventory")
        outer.stop()


def embeddings_beside():
    with agent("u-1012", "conv-12", "rel_a"):
        model.next(30, 64, 0)
        client.embeddings.create(model="text-embedding-3-small", input="return policy")
        run = handler.retrieval(data_source_id="kb-7")
        clock.tick(20)
        run.stop()
        chat(310, 1800, 90, reasoning=64)


def streamed():
    with agent("u-1013", "conv-13", "rel_a"):
        chat(280, 610, 61, cached=256, stream=True)


def flag_names_the_release():
    more = {"feature_flag.key": "agent-release", "feature_flag.result.variant": "rel_flag"}
    with agent("u-1014", "conv-14", **more):
        chat(150, 205, 12)


def resource_names_the_release():
    with agent("u-1014", "conv-14"):
        chat(150, 206, 13)


def user_on_a_child():
    with agent(None, "conv-15", "rel_a"):
        run = handler.inference("openai", request_model="gpt-4o-mini")
        run.attributes["user.id"] = "u-1015"
        run.input_tokens, run.output_tokens = 150, 15
        clock.tick(99)
        run.stop()


def user_unknown():
    with agent(None, None, "rel_b", tenant=None):
        chat(88, 111, 11)


def test_case():
    with agent("tester", "conv-16", "rel_b", **{"gen_ai.test_case.id": "golden-17"}):
        chat(88, 999, 99)


def judge_is_a_root():
    clock.tick(1000)
    flow = handler.workflow("judge_faithfulness")
    flow.attributes.update({"gen_ai.test_case.id": "online-3", "release_id": "rel_a"})
    with flow:
        chat(200, 1500, 9, name="gpt-4o")


def negative_duration():
    clock.tick(1000)
    span = manual.start_span("invoke_agent cs_agent")
    names = {"gen_ai.operation.name": "invoke_agent", "user.id": "u-1017", "release_id": "rel_a"}
    span.set_attributes({**names, "tenant.id": "bu_books", "gen_ai.conversation.id": "conv-17"})
    token = handler_context(span)
    chat(77, 170, 17)
    release(token)
    span.end(end_time=clock.now - 2_000_000_000)


def without_root():
    with agent("u-1018", "conv-18", "rel_b"):
        chat(66, 180, 18, calls=["refund_api"])
        tool(44)


def sent_twice():
    with agent("u-1019", "conv-19", "rel_a"):
        chat(55, 190, 19)


TURNS = [
    plain_turn, cached_inside, cached_beside, first_write_beside, old_cache_name, agent_repeats_the_sum,
    remote_agent_alone, nested_agents, gateway_around_client, gateway_around_silent_client, cost_rows_win,
    retried, root_failed, child_recovered, mcp_error_in_result, mcp_client_below_its_tool, agent_as_a_tool,
    tool_of_another_name_below, embeddings_beside, streamed, flag_names_the_release,
    resource_names_the_release, user_on_a_child, user_unknown, test_case, judge_is_a_root, negative_duration,
]  # fmt: skip


def main():
    for turn in TURNS:
        turn()
    half = len(kept.spans) // 2
    first, second = kept.spans[:half], kept.spans[half:]
    kept.spans = []
    without_root()
    orphans = [span for span in kept.spans if span.parent is not None]
    kept.spans = []
    sent_twice()
    twice = kept.spans
    # The first half is the file that the collector had rotated; the trace at the cut lies in both.
    write("otlp/genai/traces-2026-11-28T09-00-20.000.jsonl", map(old_style, lines(first, 3)))
    documents = lines(second, 7) + lines(orphans, 1)
    early = copy.deepcopy(lines(twice, 10))
    for span in (span for document in early for span in each_span(document)):
        if "parentSpanId" not in span:  # The root was sent once before it ended.
            span["endTimeUnixNano"] = str(int(span["endTimeUnixNano"]) - 30_000_000)
            span["status"] = {"code": 2, "message": "not finished"}
        else:  # A child was sent with other counts, then again with the last ones.
            span["endTimeUnixNano"] = str(int(span["endTimeUnixNano"]) - 1_000_000)
            for entry in span["attributes"]:
                if entry["key"] == "gen_ai.usage.input_tokens":
                    entry["value"] = {"intValue": "111111"}
    write("otlp/genai/traces.jsonl", documents[:4] + lines(twice, 10) + documents[4:] + early)


main()
