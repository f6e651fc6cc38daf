// Traces of the AI SDK of Vercel, written by its telemetry from mocked answers.
//
// Needs: node, ai 6, @opentelemetry/api, @opentelemetry/sdk-trace-base 2, zod. Run it in the folder that has
// them in `node_modules`.
import { AsyncLocalStorage } from "node:async_hooks";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(process.cwd() + "/");
const ai = require("ai");
const { MockLanguageModelV3 } = require("ai/test");
const { context, ROOT_CONTEXT } = require("@opentelemetry/api");
const sdk = require("@opentelemetry/sdk-trace-base");
const { z } = require("zod");

const active = new AsyncLocalStorage();
context.setGlobalContextManager({
  active: () => active.getStore() ?? ROOT_CONTEXT,
  with: (found, work, self, ...more) => active.run(found, () => work.call(self, ...more)),
  bind: (found, work) => work,
  enable() { return this; },
  disable() { return this; },
});
const kept = new sdk.InMemorySpanExporter();
const provider = new sdk.BasicTracerProvider({ spanProcessors: [new sdk.SimpleSpanProcessor(kept)] });
const tracer = provider.getTracer("ai");

const usage = (input, output, cached = 0) => ({
  inputTokens: { total: input, noCache: input - cached, cacheRead: cached, cacheWrite: undefined },
  outputTokens: { total: output, text: output, reasoning: 0 },
});
const call = (id) => ({ type: "tool-call", toolCallId: id, toolName: "refund", input: "{}" });
const text = { type: "text", text: "Within 7 days." };

async function turn(user, release, steps, fails = false) {
  let step = 0;
  const model = new MockLanguageModelV3({
    doGenerate: async () => {
      const [content, used] = steps[step++];
      if (!content) throw new Error("the model did not answer");
      const finish = content === text ? "stop" : "tool-calls";
      return { content: [content], usage: used, warnings: [], finishReason: { unified: finish, raw: finish } };
    },
  });
  const execute = async () => {
    if (fails) throw new Error("no such order");
    return { ok: true };
  };
  const refund = ai.tool({ description: "Refunds an order", inputSchema: z.object({}), execute });
  const metadata = { userId: user, sessionId: `conv-${user}`, release_id: release };
  const experimental_telemetry = { isEnabled: true, tracer, functionId: "cs_agent", metadata };
  const stopWhen = ai.stepCountIs(4);
  try {
    await ai.generateText({ model, prompt: "Refund?", maxRetries: 0, tools: { refund }, stopWhen, experimental_telemetry });
  } catch (error) {
    console.log("as meant:", error.message);
  }
}

await turn("u-1", "rel_a", [[call("c-1"), usage(900, 120)], [text, usage(1100, 80, 512)]]);
await turn("u-2", "rel_b", [[call("c-2"), usage(300, 30)], [text, usage(420, 42)]], true);
await turn("u-3", "rel_b", [[undefined]]);

const nanos = ([seconds, rest]) => String(BigInt(seconds) * 1000000000n + BigInt(rest));
const value = (found) => {
  if (Array.isArray(found)) return { arrayValue: { values: found.map(value) } };
  if (typeof found === "boolean") return { boolValue: found };
  if (typeof found !== "number") return { stringValue: String(found) };
  return Number.isInteger(found) ? { intValue: String(found) } : { doubleValue: found };
};
const attributes = (found) => Object.entries(found).map(([key, inner]) => ({ key, value: value(inner) }));
const spans = kept.getFinishedSpans().map((span) => ({
  traceId: span.spanContext().traceId,
  spanId: span.spanContext().spanId,
  parentSpanId: span.parentSpanContext?.spanId,
  name: span.name,
  kind: 1,
  startTimeUnixNano: nanos(span.startTime),
  endTimeUnixNano: nanos(span.endTime),
  attributes: attributes(span.attributes),
  status: span.status.code ? { code: span.status.code } : {},
}));
const resource = { attributes: attributes({ "service.name": "cs-agent" }) };
const document = { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "ai" }, spans }] }] };
const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), "../otlp/vercel");
fs.mkdirSync(folder, { recursive: true });
fs.writeFileSync(path.join(folder, "traces.jsonl"), JSON.stringify(document) + "\n");
