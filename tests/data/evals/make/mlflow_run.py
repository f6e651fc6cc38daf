"""Makes the traces of MLflow's `genai.evaluate`, one `Trace.to_dict()` a line. `WORK`: an empty folder.

MLFLOW_DISABLE_TELEMETRY=true WORK=work/mlflow python3 mlflow_run.py
"""

import json
import math
import os
import random
from importlib.metadata import version
from pathlib import Path

WORK = Path(os.environ["WORK"])
os.chdir(WORK)
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

import mlflow
from mlflow.entities import AssessmentSource, Feedback
from mlflow.genai.scorers import scorer

from cases import BREAKS, CASES, RELEASES, Truth, answer, file_of_plan, key, of_runs, plan, save

MARKS = {"judge_error": "[e]", "judge_prose": "[p]", "judge_nan": "[n]", "judge_missing": "[m]"}
JUDGE = AssessmentSource(source_type="LLM_JUDGE", source_id="local-judge")


def broken(text):
    """What the judge does where the answer says that it breaks; None elsewhere."""
    if text.endswith("[e]"):
        raise RuntimeError("API error: 529 the judge is overloaded")
    if text.endswith("[p]"):
        raise ValueError("Failed to parse the response of the judge: The answer looks fine to me.")
    return {"[n]": Feedback(value=math.nan, source=JUDGE), "[m]": Feedback(value=None, source=JUDGE)}.get(
        text[-3:]
    )


@scorer(name="correctness")
def correctness(outputs, expectations):
    """Says yes or no, as MLflow's own judges do."""
    text = outputs or ""
    right = expectations["expected_response"] in text
    return broken(text) or Feedback(value="yes" if right else "no", rationale="by rule", source=JUDGE)


@scorer(name="length_ok")
def length_ok(outputs):
    """A number, which says nothing of passing."""
    return min(1.0, len(outputs or "") / 100)


@scorer(name="names_rule")
def names_rule(outputs, expectations):
    """A boolean."""
    return broken(outputs or "") or expectations["expected_response"] in (outputs or "")


def run(name, what, release="a", order=None, scorers=(correctness, length_ok), reps=1, human=False):
    """Evaluates one release and returns the file of its traces."""
    asked = {}

    @mlflow.trace(name="cs_agent", span_type="AGENT")
    def predict(question):
        rep = asked[question] = asked.get(question, -1) + 1
        case = next(i for i, (q, _) in enumerate(CASES) if q == question)
        did = what[case]
        mlflow.update_current_trace(
            tags={"release_id": RELEASES[release]},
            metadata={"mlflow.trace.session": f"conv-{random.randrange(10**6)}"},
        )
        if did == "flaky":
            did = "fail" if rep == 1 else "pass"
        with mlflow.start_span("chat", span_type="CHAT_MODEL") as span:
            span.set_inputs({"messages": [{"role": "user", "content": question}]})
            if did in ("run_error", "timeout"):
                raise (
                    TimeoutError("Request timed out.")
                    if did == "timeout"
                    else RuntimeError("API error: 500 Internal Server Error")
                )
            text = answer(case, did) + MARKS.get(did, "")
            span.set_outputs(text)
        return text

    data = [
        {"inputs": {"question": q}, "expectations": {"expected_response": right}}
        for _ in range(reps)
        for q, right in (CASES if order is None else [CASES[place] for place in order])
    ]
    mlflow.set_tracking_uri(f"file://{WORK}/mlruns")
    mlflow.set_experiment(name)
    result = mlflow.genai.evaluate(data=data, predict_fn=predict, scorers=list(scorers))
    traces = mlflow.search_traces(run_id=result.run_id, return_type="list")
    if human:
        for place, trace in enumerate(traces):
            mlflow.log_feedback(
                trace_id=trace.info.trace_id,
                name="user_thumbs",
                value=place % 3 != 0,
                source=AssessmentSource(source_type="HUMAN", source_id=f"u-{place:03}"),
            )
        traces = mlflow.search_traces(run_id=result.run_id, return_type="list")
    text = "".join(json.dumps(trace.to_dict(), ensure_ascii=False) + "\n" for trace in traces)
    return save(f"mlflow/{name}.jsonl", text, WORK), [trace.to_dict() for trace in traces]


def main():
    truth = Truth("mlflow", f"mlflow-skinny {version('mlflow-skinny')}")
    a, b = plan("a"), plan("b")
    order = random.Random(3).sample(range(len(CASES)), len(CASES))

    def one(name, what, expected=None, judge="correctness", **options):
        file, traces = run(name, what, **options)
        expected = expected or file_of_plan(what)
        found = {}
        for trace in traces:
            question = json.loads(trace["info"]["request_preview"])["question"]
            cell = found.setdefault(key(question), [0, 0])
            for assessment in trace["info"].get("assessments", []):
                if assessment["assessment_name"] == judge and "feedback" in assessment:
                    value = assessment["feedback"].get("value")
                    if value in ("yes", "no") or isinstance(value, bool):
                        cell[0] += value in ("yes", True)
                        cell[1] += trace["info"]["state"] == "OK"
        assert found == {k: list(v) for k, v in expected["passed"].items()}, (name, found, expected)
        truth.file(file, expected)
        return file

    base = one("base", a)
    truth.compare("again", base, one("again", a))
    truth.compare("shuffled", base, one("shuffled", a, order=order))
    truth.compare("worse", base, one("worse", b, release="b"))
    truth.compare("worse and shuffled", base, one("worse_shuffled", b, release="b", order=order))

    # Users' thumbs are no verdict of a judge: they change no pass.
    truth.compare("human feedback", base, one("human", b, release="b", human=True))
    both = (names_rule, correctness)
    first = one("two_judges_base", a, scorers=both)
    truth.compare("two judges", first, one("two_judges_worse", b, release="b", scorers=both))

    # A failed run has a trace of state ERROR. Its judges say no, which counts as no verdict.
    file = one("errors", plan("b", BREAKS), release="b")
    truth.compare("errors", base, file)

    # Each case three times in one evaluation.
    flaky = ["flaky" if case == 2 else did for case, did in enumerate(b)]
    runs = [
        (key(CASES[case][0]), "fail" if did == "flaky" and rep == 1 else did.replace("flaky", "pass"))
        for rep in range(3)
        for case, did in enumerate(flaky)
    ]
    first = one("repeats_base", a, file_of_plan(a, 3), reps=3)
    second = one("repeats_worse", flaky, of_runs(runs), release="b", reps=3)
    truth.compare("repeats", first, second)
    truth.compare("one run and three", base, second)
    truth.write()


if __name__ == "__main__":
    main()
