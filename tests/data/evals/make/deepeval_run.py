"""Makes the files of DeepEval (`test_run_<time>.json`). `WORK`: an empty folder.

DEEPEVAL_TELEMETRY_OPT_OUT=YES WORK=work/deepeval python3 deepeval_run.py
"""

import json
import math
import os
import random
import shutil
from importlib.metadata import version
from pathlib import Path

from deepeval import evaluate
from deepeval.errors import MissingTestCaseParamsError
from deepeval.evaluate.configs import AsyncConfig, CacheConfig, DisplayConfig, ErrorConfig
from deepeval.metrics import BaseConversationalMetric, BaseMetric
from deepeval.test_case import ConversationalTestCase, LLMTestCase, Turn

from cases import BREAKS, CASES, RELEASES, Truth, answer, file_of_plan, key, of_runs, plan, save

WORK = Path(os.environ["WORK"])
os.chdir(WORK)
MARKS = {"judge_error": "[e]", "judge_prose": "[p]", "judge_nan": "[n]", "judge_missing": "[m]"}


class Judged:
    """The judge: says whether the answer has the expected text. It breaks where the answer says so."""

    async_mode = True
    evaluation_model = "local-judge"
    strict_mode = False
    include_reason = True

    def __init__(self):
        self.threshold = 0.8
        self.score = self.reason = self.error = None

    def judge(self, text, expected):
        self.evaluation_cost = 0.0001
        if text.endswith("[e]"):
            raise RuntimeError("API error: 529 the judge is overloaded")
        if text.endswith("[p]"):
            raise ValueError(
                "Evaluation LLM outputted an invalid JSON. Please use a better evaluation model."
            )
        self.score = (
            math.nan
            if text.endswith("[n]")
            else None
            if text.endswith("[m]")
            else float(expected in text) or 0.2
        )
        self.reason = "by rule"
        self.success = bool(self.score is not None and self.score >= self.threshold)
        return self.score

    async def a_measure(self, test_case, *args, **kwargs):
        return self.measure(test_case)

    def is_successful(self):
        return self.error is None and bool(self.success)

    @property
    def __name__(self):
        return self.name


def needs(test_case):
    """As DeepEval's own metrics do."""
    if test_case.actual_output is None:
        raise MissingTestCaseParamsError("'actual_output' cannot be None")


class Right(Judged, BaseMetric):
    name = "Answer Relevancy"

    def measure(self, test_case, *args, **kwargs):
        needs(test_case)
        return self.judge(test_case.actual_output, test_case.expected_output)


class Short(Judged, BaseMetric):
    """A second metric, that every answer passes and that never breaks."""

    name = "Conciseness"

    def measure(self, test_case, *args, **kwargs):
        needs(test_case)
        self.evaluation_cost = 0.0
        self.score = max(0.8, 1 - len(test_case.actual_output) / 1000)
        self.reason, self.success = "by length", True
        return self.score


class Served(Judged, BaseConversationalMetric):
    name = "Role Adherence"

    def measure(self, test_case, *args, **kwargs):
        return self.judge(test_case.turns[-1].content, test_case.turns[-2].content.split(" || ")[1])


def case_of(case, did, release, names=False, contexts=False):
    question, right = CASES[case]
    text = answer(case, did) + MARKS.get(did, "")
    return LLMTestCase(
        input=question,
        actual_output=text,
        expected_output=right,
        retrieval_context=[f"{release}: page {random.randrange(1000)}"] if contexts else None,
        name=f"cs-{case:03}" if names else None,
        completion_time=random.random(),
        token_cost=0.0001 + random.random() / 1e5,
    )


def talk_of(case, did, release):
    question, right = CASES[case]
    turns = [
        Turn(role="user", content="Hello!"),
        Turn(role="assistant", content=f"Hello, {release} speaking."),
        Turn(role="user", content=f"{question} || {right}"),
        Turn(role="assistant", content=answer(case, did) + MARKS.get(did, "")),
    ]
    return ConversationalTestCase(turns=turns, scenario=question, expected_outcome=right)


def run(name, cases, release="a", metrics=None, ignore=True, skip=False):
    """Evaluates test cases and returns the written file."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(WORK / ".deepeval", ignore_errors=True)
    evaluate(
        cases,
        metrics or [Right(), Short()],
        identifier=RELEASES[release],
        hyperparameters={"prompt_ref": "cs_main@6" if release == "a" else "cs_main@7"},
        async_config=AsyncConfig(max_concurrent=5),
        display_config=DisplayConfig(
            show_indicator=False, print_results=False, results_folder=str(folder), inspect_after_run=False
        ),
        cache_config=CacheConfig(write_cache=False),
        error_config=ErrorConfig(ignore_errors=ignore, skip_on_missing_params=skip),
    )
    [written] = folder.glob("**/test_run_*.json")
    return save(f"deepeval/{name}.json", written.read_text(), WORK), json.loads(written.read_text())


def main():
    truth = Truth("deepeval", f"deepeval {version('deepeval')}")
    a, b = plan("a"), plan("b")
    of_plan = lambda what, release="a", **more: [
        case_of(case, did, release, **more) for case, did in enumerate(what)
    ]
    mixed = lambda cases, seed=5: random.Random(seed).sample(cases, len(cases))

    def check(document, expected):
        """Stops if DeepEval did not do what the plan says."""
        found = {}
        for case in document["testCases"] or document["conversationalTestCases"]:
            cell = found.setdefault(key(case["input"] if "input" in case else case["scenario"]), [0, 0])
            data = case.get("metricsData") or []
            score = data[0].get("score") if data and not data[0].get("error") else None
            rated = score is not None and score == score
            cell[0] += bool(rated and case["success"])
            cell[1] += rated
        assert found == {k: list(v) for k, v in expected["passed"].items()}, (found, expected)

    def one(name, cases, expected, **options):
        file, document = run(name, cases, **options)
        check(document, expected)
        truth.file(file, expected)
        return file

    # Without names, DeepEval calls the cases test_case_0, test_case_1, ... in the order of the list.
    base = one("base", of_plan(a), file_of_plan(a))
    truth.compare("again", base, one("again", of_plan(a), file_of_plan(a)))
    truth.compare("shuffled", base, one("shuffled", mixed(of_plan(a)), file_of_plan(a)))
    truth.compare("worse", base, one("worse", of_plan(b, "b"), file_of_plan(b), release="b"))
    truth.compare(
        "worse and shuffled",
        base,
        one("worse_shuffled", mixed(of_plan(b, "b")), file_of_plan(b), release="b"),
    )

    # Own names, and other retrieved contexts in each run.
    names = one("names_base", of_plan(a, names=True, contexts=True), file_of_plan(a))
    worse = one(
        "names_worse", mixed(of_plan(b, "b", names=True, contexts=True)), file_of_plan(b), release="b"
    )
    truth.compare("names", names, worse)
    truth.compare("names and default names", base, worse)

    # Broken runs (no answer, so no metric) and broken judges.
    broken = plan("b", BREAKS)
    cases = of_plan(broken, "b")
    for case, did in enumerate(broken):
        if did in ("run_error", "timeout"):
            cases[case].actual_output = None
    # `ignore_errors` writes the error of each metric; `skip_on_missing_params` leaves such a case out
    # of the file, and the default names have a gap.
    file = one("errors", cases, file_of_plan(broken), release="b")
    truth.compare("errors", base, file)
    runs = [
        (key(CASES[case][0]), did) for case, did in enumerate(broken) if did not in ("run_error", "timeout")
    ]
    file = one("skipped", cases, of_runs(runs), release="b", skip=True)
    truth.compare("skipped", base, file)

    # Each case three times in a file. Only the input says which runs belong together.
    flaky = lambda rep: ["fail" if case == 2 and rep == 1 else did for case, did in enumerate(b)]
    three = [case for rep in range(3) for case in of_plan(flaky(rep), "b")]
    runs = [(key(CASES[case][0]), did) for rep in range(3) for case, did in enumerate(flaky(rep))]
    first = one("repeats_base", of_plan(a) * 3, file_of_plan(a, 3))
    second = one("repeats_worse", three, of_runs(runs), release="b")
    truth.compare("repeats", first, second)
    truth.compare("one run and three", base, second)

    # Conversations.
    talks = lambda what, release: [talk_of(case, did, release) for case, did in enumerate(what)]
    first = one("talks_base", talks(a, "a"), file_of_plan(a), metrics=[Served()])
    second = one("talks_worse", mixed(talks(b, "b")), file_of_plan(b), metrics=[Served()], release="b")
    truth.compare("conversations", first, second)
    truth.write()


if __name__ == "__main__":
    main()
