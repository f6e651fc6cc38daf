"""Makes the experiments of Ragas, with its jsonl and csv backends. `WORK`: an empty folder.

RAGAS_DO_NOT_TRACK=true WORK=work/ragas python3 ragas_run.py
"""

import asyncio
import csv
import json
import math
import os
import random
import shutil
from importlib.metadata import version
from pathlib import Path

from ragas import Dataset, experiment
from ragas.metrics import discrete_metric, numeric_metric
from ragas.metrics.result import MetricResult

from cases import BREAKS, CASES, Truth, answer, file_of_plan, key, of_runs, plan, save

WORK = Path(os.environ["WORK"])


@discrete_metric(name="correctness", allowed_values=["pass", "fail"])
def correctness(response: str, reference: str):
    return MetricResult(value="pass" if reference in response else "fail", reason="by rule")


@numeric_metric(name="faithfulness", allowed_values=(0.0, 1.0))
def faithfulness(response: str, reference: str):
    return MetricResult(value=1.0 if reference in response else 0.25, reason="by rule")


def cases(what, backend, name, order=None):
    rows = [
        {"user_input": q, "reference": right, "did": did, "case": case}
        for case, ((q, right), did) in enumerate(zip(CASES, what))
    ]
    dataset = Dataset(name=f"{name}_data", backend=f"local/{backend}", root_dir=str(WORK))
    for place in order or range(len(rows)):
        dataset.append(rows[place])
    return dataset


async def score(metric, did, **given):
    """The value of a metric, or None where the judge broke, as an experiment writes it."""
    if did.startswith("judge_nan"):
        return math.nan
    if did.startswith("judge"):
        return None
    return (await metric.ascore(**given)).value


def run(
    name,
    what,
    backend="jsonl",
    order=None,
    contexts="index 1",
    ids=False,
    columns=("correctness", "faithfulness"),
):
    """Runs one experiment and returns its file and its rows."""
    shutil.rmtree(WORK / "experiments", ignore_errors=True)
    shutil.rmtree(WORK / "datasets", ignore_errors=True)

    @experiment()
    async def ask(row):
        await asyncio.sleep(random.random() / 50)
        did, case = row["did"], int(row["case"])
        if did == "run_error":
            raise RuntimeError("API error: 500 Internal Server Error")
        text = answer(case, did)
        given = {"response": text, "reference": row["reference"]}
        return {
            **({"id": f"cs-{case:03}"} if ids else {}),
            "user_input": row["user_input"],
            "retrieved_contexts": [f"{contexts}: page {random.randrange(1000)}", row["reference"]],
            "response": text,
            "reference": row["reference"],
            **{
                c: await score({"correctness": correctness, "faithfulness": faithfulness}[c], did, **given)
                for c in columns
            },
        }

    data = cases(what, backend, name, order)
    asyncio.run(ask.arun(data, name=name, backend=data.backend))
    [written] = (WORK / "experiments").glob(f"*{name}*.{backend}")
    text = written.read_text()
    rows = (
        [json.loads(line) for line in text.splitlines()]
        if backend == "jsonl"
        else list(csv.DictReader(text.splitlines(keepends=True)))
    )
    return save(f"ragas/{name}.{backend}", text, WORK), rows


def main():
    truth = Truth("ragas", f"ragas {version('ragas')}")
    a, b = plan("a"), plan("b")
    order = random.Random(3).sample(range(len(CASES)), len(CASES))

    def one(name, what, expected=None, **options):
        file, rows = run(name, what, **options)
        expected = expected or file_of_plan(what)
        found = {}
        for row in rows:
            cell = found.setdefault(key(row["user_input"]), [0, 0])
            value = row.get("correctness", row.get("faithfulness"))
            if value in ("pass", "fail", 1, 0.25, "1.0", "0.25"):
                cell[0] += value in ("pass", 1, "1.0")
                cell[1] += 1
        assert found == {k: list(v) for k, v in expected["passed"].items()}, (name, found, expected)
        truth.file(file, expected)
        return file

    def compare(name, base, now, metrics=("faithfulness", "correctness")):
        for metric in metrics:
            truth.compare(f"{name}: {metric}", base, now, metric=metric)

    # An experiment writes rows in the order in which they end: no two files have the same order.
    base = one("base", a)
    compare("again", base, one("again", a))
    compare("other contexts", base, one("contexts", a, contexts="index 2"))
    compare("shuffled", base, one("shuffled", a, order=order))
    compare("worse", base, one("worse", b, contexts="index 2"))
    compare("worse with ids", one("ids_base", a, ids=True), one("ids_worse", b, ids=True, order=order))

    # A failed run has no row. A failed judge gives null or NaN.
    breaks = {case: {"timeout": "run_error"}.get(kind, kind) for case, kind in BREAKS.items()}
    broken = plan("b", breaks)
    runs = [(key(CASES[case][0]), did) for case, did in enumerate(broken) if did != "run_error"]
    compare("errors", base, one("errors", broken, of_runs(runs)))

    # The csv backend: texts, with empty cells where a judge broke.
    csv_base = one("base", a, backend="csv")
    compare("csv, again", csv_base, one("again", a, backend="csv"))
    compare("csv, worse", csv_base, one("worse", b, backend="csv", order=order))
    compare("csv, errors", csv_base, one("errors", broken, of_runs(runs), backend="csv"))
    compare("jsonl and csv", base, next(n for n in truth.document["files"] if n.startswith("worse.csv")))

    # One metric only, and of words.
    words = ("correctness",)
    compare("words only", one("words_base", a, columns=words), one("words_worse", b, columns=words), words)
    truth.write()


if __name__ == "__main__":
    main()
