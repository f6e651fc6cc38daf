// The release under test: answers as the plan of PLAN (a JSON file: question -> [what, right answer]) says.
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');

const wrong = 'I am not sure about that.';

module.exports = class {
  constructor(options) {
    this.config = options.config || {};
    this.providerId = options.id || 'cs-agent';
  }

  id() {
    return this.providerId;
  }

  async callApi(prompt, context) {
    const plan = JSON.parse(fs.readFileSync(process.env.PLAN, 'utf8'));
    const question = context.vars.q;
    const mine = plan[question];
    if (!mine) {
      return { error: `no plan for ${question}` };
    }
    const [what, right] = mine;
    fs.appendFileSync(`${process.env.PLAN}.calls`, `${JSON.stringify(question)}\n`);
    await new Promise((done) => setTimeout(done, Math.random() * 20));
    const flaky = what === 'flaky' && context.repeatIndex === 1;
    if (what === 'run_error') {
      return { error: 'API error: 500 Internal Server Error\n{"error":{"message":"model crashed"}}' };
    }
    if (what === 'run_throw') {
      throw new Error('connect ECONNREFUSED 127.0.0.1:9');
    }
    if (what === 'timeout' || what === 'hang') {
      await new Promise((done) => setTimeout(done, 8000));
    }
    const mark = { judge_error: ' [e]', judge_prose: ' [p]', judge_nan: ' [n]', judge_missing: ' [m]', judge_throw: ' [t]' };
    const output = what === 'fail' || flaky ? wrong : `${right} (${question.length} letters were asked)${mark[what] || ''}`;
    const input = 40 + question.length;
    return {
      output,
      tokenUsage: { total: input + output.length, prompt: input, completion: output.length },
      cost: (input * 0.15 + output.length * 0.6) / 1e6,
      ...(this.config.session ? { sessionId: randomUUID() } : {}),
      metadata: { traceId: randomUUID().replaceAll('-', '') },
    };
  }
};
