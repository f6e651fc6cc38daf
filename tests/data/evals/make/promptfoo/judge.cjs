// A judge for llm-rubric. It reads the marks that the provider puts behind an answer.
module.exports = class {
  id() {
    return 'local-judge';
  }

  async callApi(prompt) {
    const tokenUsage = { total: 60, prompt: 50, completion: 10 };
    if (prompt.includes('[e]')) {
      return { error: 'API error: 500 the judge crashed' };
    }
    if (prompt.includes('[p]')) {
      return { output: 'The answer looks fine to me.', tokenUsage };
    }
    if (prompt.includes('[n]')) {
      return { output: '{"reason": "no score", "pass": true, "score": NaN}', tokenUsage };
    }
    if (prompt.includes('[m]')) {
      return { output: '', tokenUsage };
    }
    const pass = !prompt.includes('I am not sure about that.');
    return { output: JSON.stringify({ reason: pass ? 'names the rule' : 'says nothing', pass, score: pass ? 1 : 0.2 }), tokenUsage };
  }
};
