"""Makes the logs of OpenAI evals (`oaieval`) with a completion function of our own. `WORK`: an empty
folder.

    WORK=work/oaieval OAIEVAL=bin/oaieval python3 openai_evals_run.py
"""

import json
import os
import random
import subprocess
from importlib.metadata import version
from pathlib import Path

from cases import CASES, HERE, Truth, answer, file_of_plan, key, plan, save

WORK = Path(os.environ["WORK"])


class Planned:
    """A completion function: answers each question as the file WHAT says."""

    def __init__(self, **_):
        self.what = json.loads(os.environ["WHAT"])

    def __call__(self, prompt, **_):
        from evals.record import record_sampling

        question = prompt[-1]["content"] if isinstance(prompt, list) else prompt
        case = next(i for i, (q, _) in enumerate(CASES) if q == question)
        if self.what[case] == "run_error":
            raise RuntimeError("API error: 500 Internal Server Error")
        text = answer(case, self.what[case])
        record_sampling(prompt=prompt, sampled=[text])
        return Answered(text)


class Answered:
    def __init__(self, text):
        self.text = text

    def get_completions(self):
        return [self.text]


def run(name, what, eval_name="cs-golden", mixed=False, rows=None, seed=20220722):
    rows = rows or [{"input": [{"role": "user", "content": q}], "ideal": right} for q, right in CASES]
    if mixed:
        rows = random.Random(3).sample(rows, len(rows))
    registry = WORK / "registry"
    for folder in ("evals", "completion_fns", "data/cs"):
        (registry / folder).mkdir(parents=True, exist_ok=True)
    (registry / "data/cs/samples.jsonl").write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
    )
    (registry / "evals/cs.yaml").write_text((HERE / "openai_evals/evals.yaml").read_text())
    (registry / "completion_fns/planned.yaml").write_text(
        (HERE / "openai_evals/completion_fns.yaml").read_text()
    )
    out = WORK / f"{name}.jsonl"
    out.unlink(missing_ok=True)
    done = subprocess.run(
        [
            os.environ["OAIEVAL"],
            "planned",
            eval_name,
            "--registry_path",
            str(registry),
            "--record_path",
            str(out),
            "--seed",
            str(seed),
        ],
        env={
            **os.environ,
            "WHAT": json.dumps(what),
            "PYTHONPATH": str(HERE),
            "OPENAI_API_KEY": "none",
            "EVALS_THREADS": "4",
            "EVALS_SHOW_EVAL_PROGRESS": "0",
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert out.exists(), done.stderr[-3000:]
    return (
        save(f"openai_evals/{name}.jsonl", out.read_text(), WORK),
        [json.loads(line) for line in out.read_text().splitlines()],
        done,
    )


def main():
    truth = Truth("openai_evals", f"evals {version('evals')}")
    a, b = plan("a"), plan("b")

    def one(name, what, expected=None, **options):
        file, events, done = run(name, what, **options)
        expected = expected or file_of_plan(what)
        asked = {
            e["sample_id"]: e["data"]["prompt"][-1]["content"] for e in events if e.get("type") == "sampling"
        }
        found = {}
        for event in events:
            if event.get("type") == "match":
                question = asked[event["sample_id"]]
                cell = found.setdefault(key(question), [0, 0])
                cell[0] += event["data"]["correct"]
                cell[1] += 1
        assert found == {k: list(v) for k, v in expected["passed"].items()}, (
            name,
            found,
            expected,
            done.stderr[-900:],
        )
        truth.file(file, expected)
        return file

    # A sample id is the place of the sample in the file: it is no id of the case.
    base = one("base", a)
    truth.compare("again", base, one("again", a, seed=5))
    truth.compare("shuffled", base, one("shuffled", a, mixed=True))
    truth.compare("worse", base, one("worse", b))
    truth.compare("worse and shuffled", base, one("worse_shuffled", b, mixed=True))
    # Another eval is another suite.
    first = one("includes_base", a, eval_name="cs-includes")
    truth.compare("includes", first, one("includes_worse", b, eval_name="cs-includes", mixed=True))
    truth.write()


if __name__ == "__main__":
    main()
