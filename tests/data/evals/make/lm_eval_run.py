"""Makes the results of lm-evaluation-harness (`--log_samples`) with a model of our own. `WORK`: an
empty folder.

    WORK=work/lm python3 lm_eval_run.py
"""

import json
import os
import random
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

WORK = Path(os.environ["WORK"])
os.environ["HF_DATASETS_CACHE"] = str(WORK / "cache")
os.environ["HF_HUB_OFFLINE"] = "1"

from cases import CASES, DATA, HERE, Truth, file_of_plan, key, of_runs, pair, plan, save

# What the model does on each case of the run.
WHAT = []


def register():
    """The model `planned`: answers each question as the plan says."""
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model

    @register_model("planned")
    class Planned(LM):
        tokenizer_name = "planned"

        @classmethod
        def create_from_arg_string(cls, *_, **__):
            return cls()

        @classmethod
        def create_from_arg_obj(cls, *_, **__):
            return cls()

        def case(self, context):
            return next(i for i, (q, _) in enumerate(CASES) if f"Question: {q}\nAnswer:" in context)

        def generate_until(self, requests, disable_tqdm=False):
            seen, out = {}, []
            for request in requests:
                context = request.arguments[0]
                case = self.case(context)
                rep = seen[case] = seen.get(case, -1) + 1
                did = WHAT[case]
                if did == "flaky":
                    did = "fail" if rep == 1 else "pass"
                right = CASES[case][1]
                # `late`: right for the flexible filter only, which takes the last words.
                out.append(
                    {"pass": f"#### {right}", "fail": "#### I am not sure", "late": f"I think: {right}"}[did]
                )
            return out

        def loglikelihood(self, requests, disable_tqdm=False):
            out = []
            for request in requests:
                context, choice = request.arguments
                case = self.case(context)
                is_right = choice.strip() == CASES[case][1]
                likes_right = WHAT[case] == "pass"
                out.append((-1.0 - case / 100 if is_right == likes_right else -5.0, is_right == likes_right))
            return out

        def loglikelihood_rolling(self, requests, disable_tqdm=False):
            return [-1.0 for _ in requests]

    # The thousands of tasks that lm-eval ships are not needed, and take minutes to load.
    from lm_eval.tasks import TaskManager

    start = TaskManager.__init__
    TaskManager.__init__ = lambda self, *args, **named: start(
        self, *args, **{**named, "include_defaults": False}
    )


def run(name, what, tasks, *more):
    """Runs tasks by lm-eval's own command line, and copies the folder that it wrote."""
    from lm_eval.__main__ import cli_evaluate

    out = WORK / "out" / name
    shutil.rmtree(out, ignore_errors=True)
    WHAT[:] = what
    sys.argv = [
        "lm_eval",
        "run",
        "--model",
        "planned",
        "--tasks",
        *tasks,
        "--include_path",
        str(WORK / "tasks"),
        "--output_path",
        str(out),
        "--log_samples",
        *more,
    ]
    cli_evaluate()
    target = DATA / "lm_eval" / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in sorted(out.glob("**/*.json*")):
        save(f"lm_eval/{name}/{file.name}", file.read_text(), WORK)
    return name


def data_files(mixed=False):
    """The documents of the tasks, in the order of the cases or mixed, and with choices."""
    shutil.rmtree(WORK / "tasks", ignore_errors=True)
    shutil.copytree(HERE / "lm_eval", WORK / "tasks")
    rows = []
    for case, (q, right) in enumerate(CASES):
        wrong = [CASES[(case + step) % len(CASES)][1] for step in (3, 7)]
        choices = [right, *[text if text != right else "no idea" for text in wrong]]
        random.Random(case).shuffle(choices)
        rows.append({"question": q, "answer": right, "choices": choices, "label": choices.index(right)})
    if mixed:
        random.Random(3).shuffle(rows)
    (WORK / "tasks/docs.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    )
    for file in (WORK / "tasks").glob("*.yaml"):
        file.write_text(file.read_text().replace("DATA_FOLDER", str(WORK / "tasks")))


def main():
    truth = Truth("lm_eval", f"lm_eval {version('lm_eval')}")
    data_files()
    a, b = plan("a"), plan("b")

    def check(name, task, expected, metric, filter_name):
        """Stops if lm-eval did not do what the plan says."""
        [file] = (WORK / "out" / name).glob(f"**/samples_{task}_2*.jsonl")
        found = {}
        for line in file.read_text().splitlines():
            sample = json.loads(line)
            if sample["filter"] == filter_name:
                cell = found.setdefault(key(sample["doc"]["question"]), [0, 0])
                cell[0] += sample[metric] == 1
                cell[1] += 1
        assert found == {k: list(v) for k, v in expected["passed"].items()}, (name, found, expected)

    def one(name, what, task="cs_exact", expected=None, metric="exact_match", filter_name="none", *more):
        run(name, what, [task], *more)
        expected = expected or file_of_plan(what)
        check(name, task, expected, metric, filter_name)
        truth.file(name, expected)
        return name

    # Folders as lm-eval writes them: results_<time>.json beside samples_<task>_<time>.jsonl.
    base = one("base", a)
    truth.compare("again", base, one("again", a))
    truth.compare("worse", base, one("worse", b))

    # The documents in another order: the same documents have other numbers.
    data_files(mixed=True)
    truth.compare("documents in another order", base, one("mixed", b))
    data_files()

    # Some documents only.
    some = [2, 3, 5, 7, 11, 13, 17, 19, 23, 26, 29]
    few = of_runs([(key(CASES[case][0]), b[case]) for case in some])
    truth.compare(
        "some documents",
        base,
        one(
            "samples", b, "cs_exact", few, "exact_match", "none", "--samples", json.dumps({"cs_exact": some})
        ),
    )
    limited = of_runs([(key(CASES[case][0]), b[case]) for case in range(12)])
    truth.compare(
        "a limit", base, one("limit", b, "cs_exact", limited, "exact_match", "none", "--limit", "12")
    )

    # Two filters. Each document has a line for each filter, and one run. The first filter decides.
    late = ["late" if did == "fail" and case in (0, 3, 7) else did for case, did in enumerate(b)]
    strict = file_of_plan(["fail" if did == "late" else did for did in late])
    flexible = file_of_plan(["pass" if did == "late" else did for did in late])
    one("filters_base", a, "cs_filters", None, "exact_match", "strict-match")
    one("filters_worse", late, "cs_filters", strict, "exact_match", "strict-match")
    check("filters_worse", "cs_filters", flexible, "exact_match", "flexible-extract")
    truth.compare("two filters", "filters_base", "filters_worse")
    truth.add(
        name="two filters: flexible-extract",
        base="filters_base",
        now="filters_worse",
        metric="exact_match,flexible-extract",
        **pair(file_of_plan(a), flexible),
    )

    # Log-likelihood of choices: acc and acc_norm.
    one("choices_base", a, "cs_choices", None, "acc")
    one("choices_worse", b, "cs_choices", None, "acc")
    truth.compare("choices", "choices_base", "choices_worse")

    # A metric of 0..100 (BLEU by document) says nothing of passing.
    for name, what in (("bleu_base", a), ("bleu_worse", b)):
        run(name, what, ["cs_bleu"])
        truth.file(name, file_of_plan(what), passed_by="no metric: BLEU has no verdict")
    truth.add(name="BLEU has no verdict", base="bleu_base", now="bleu_worse", metric="passed", absent=True)
    truth.compare("BLEU", "bleu_base", "bleu_worse", metric="bleu")

    # Two tasks in one run: two suites.
    for name, what in (("tasks_base", a), ("tasks_worse", b)):
        run(name, what, ["cs_exact", "cs_choices"])
        check(name, "cs_exact", file_of_plan(what), "exact_match", "none")
        check(name, "cs_choices", file_of_plan(what), "acc", "none")
        truth.file(name, {**file_of_plan(what), "cases": 2 * len(CASES), "runs": 2 * len(CASES)}, suites=2)
    both = pair(file_of_plan(a), file_of_plan(b))
    truth.add(name="two tasks", base="tasks_base", now="tasks_worse", suites=2, **both)

    # Three repeats with a vote of the majority (a filter): one verdict a document.
    flaky = ["flaky" if case == 2 else did for case, did in enumerate(b)]
    one("repeats_base", a, "cs_vote", None, "exact_match", "vote")
    one("repeats_worse", flaky, "cs_vote", file_of_plan(b), "exact_match", "vote")
    truth.compare("repeats with a vote", "repeats_base", "repeats_worse")
    truth.write()


if __name__ == "__main__":
    register()
    main()
