// The same as flags.py, with flagd's core for JavaScript. In strict mode it refuses files that
// flagd's schema refuses.
const { FlagdCore, MemoryStorage } = require("@openfeature/flagd-core");
const { readFileSync } = require("node:fs");

const question = JSON.parse(readFileSync(0, "utf8"));
const silent = { error() {}, warn() {}, info() {}, debug() {} };
const storage = new MemoryStorage(silent);
const isStrict = true;
storage.setConfigurations(readFileSync(question.file, "utf8"), isStrict);
const core = new FlagdCore(storage, silent);
const answer = question.contexts.map((context) => {
  const chosen = [];
  question.users.forEach((user, index) => {
    const { value } = core.resolveStringEvaluation(question.flag, "", { targetingKey: user, ...context }, silent);
    if (value === question.candidate) {
      chosen.push(index);
    } else if (value !== question.baseline) {
      throw new Error(`expected a release for ${user}, found ${value}`);
    }
  });
  return chosen;
});
process.stdout.write(JSON.stringify(answer));
