"""Makes the logs of Inspect AI, with mockllm. `WORK`: an empty folder.

WORK=work/inspect python3 inspect_log.py
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import inspect_ai
from inspect_ai import Epochs, Task, eval as run_eval, eval_retry, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import read_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import (
    CORRECT,
    INCORRECT,
    NOANSWER,
    PARTIAL,
    Score,
    Target,
    accuracy,
    mean,
    scorer,
    stderr,
)
from inspect_ai.solver import TaskState, solver

from cases import BREAKS, CASES, DATA, RELEASES, Truth, answer, file_of_plan, key, of_runs, plan, scrub

WORK = Path(os.environ["WORK"])
MARKS = {"judge_error": "[e]", "judge_prose": "[p]", "judge_nan": "[n]", "judge_missing": "[m]"}
VERDICTS = {"pass": True, "fail": False}


@solver
def agent(what, fail_epoch=None, slow_after=None):
    """The release under test: gives the planned answer through mockllm."""

    async def solve(state: TaskState, _generate) -> TaskState:
        import anyio

        case = next(i for i, (q, _) in enumerate(CASES) if q == state.input_text)
        did = what[case]
        if did == "flaky":
            did = "fail" if state.epoch == 2 else "pass"
        if slow_after is not None and case >= slow_after:
            (WORK / "hangs").touch()
            await anyio.sleep(120)
        if did == "run_error" and "MODEL_WORKS" not in os.environ:
            raise RuntimeError("API error: 500 Internal Server Error")
        if did == "timeout":
            await anyio.sleep(60)
        text = answer(case, did) + MARKS.get(did, "")
        output = ModelOutput.from_content("mockllm/model", text)
        # With its usage given, mockllm counts no tokens, for which it would load an encoding.
        asked, said = 40 + len(state.input_text), len(text)
        output.usage = ModelUsage(input_tokens=asked, output_tokens=said, total_tokens=asked + said)
        model = get_model("mockllm/model", custom_outputs=[output], memoize=False)
        state.output = await model.generate(state.messages)
        state.messages.append(state.output.message)
        return state

    return solve


@scorer(metrics=[accuracy(), stderr()])
def rule():
    """Says C or I: whether the answer names the rule. The judge breaks where the answer says so."""

    async def score(state: TaskState, target: Target):
        text = state.output.completion
        if text.endswith("[e]"):
            raise ValueError("the judge crashed")
        if text.endswith("[p]"):
            raise ValueError("expected JSON, found: The answer looks fine to me.")
        if text.endswith("[n]"):
            return Score(value=math.nan, explanation="no score")
        if text.endswith("[m]"):
            return None
        right = target.text in text
        return Score(value=CORRECT if right else INCORRECT, answer=text[:40], explanation="by rule")

    return score


@scorer(metrics=[mean(), stderr()])
def length():
    """A second scorer, with numbers that say nothing of passing."""

    async def score(state: TaskState, target: Target):
        return Score(value=min(1.0, len(state.output.completion) / 40))

    return score


@scorer(metrics={"polite": [mean()], "right": [accuracy()]})
def parts():
    """A scorer with several values by name."""

    async def score(state: TaskState, target: Target):
        return Score(
            value={"polite": 1, "right": CORRECT if target.text in state.output.completion else INCORRECT}
        )

    return score


@scorer(metrics=[accuracy(), stderr()])
def letters():
    """A scorer with all of Inspect's letters: C, I, P (partly) and N (no answer)."""

    async def score(state: TaskState, target: Target):
        text = state.output.completion
        if target.text not in text:
            return Score(value=INCORRECT)
        case = next(i for i, (q, _) in enumerate(CASES) if q == state.input_text)
        return Score(value={5: PARTIAL, 6: NOANSWER}.get(case, CORRECT))

    return score


@task(name="cs_golden")
def stops():
    """A task that Inspect finds by its name, for the retry of a log."""
    what = ["run_error" if case == 15 else did for case, did in enumerate(plan("b"))]
    return Task(dataset=dataset(), solver=agent(what), scorer=rule(), metadata={"release_id": RELEASES["b"]})


def dataset(ids=True, prefix="cs", only=None):
    return MemoryDataset(
        [
            Sample(
                input=q,
                target=right,
                id=f"{prefix}-{i:03}" if ids else None,
                metadata={"feature": "checkout_assist"},
            )
            for i, (q, right) in enumerate(CASES)
            if only is None or i in only
        ],
        name="cs_golden",
    )


def run(
    name,
    what,
    *,
    form="eval",
    ids=True,
    prefix="cs",
    shuffle=None,
    scorers=None,
    epochs=None,
    release="a",
    given=None,
    **options,
):
    """Runs one evaluation and returns the path of its log."""
    data = dataset(ids, prefix)
    if shuffle is not None:
        data.shuffle(shuffle)
    given = given or Task(
        dataset=data,
        solver=agent(what),
        scorer=scorers or rule(),
        name="cs_golden",
        metadata={"release_id": RELEASES[release]},
    )
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    options = {"fail_on_error": False, "max_samples": 4, **options}
    [log] = run_eval(
        given,
        model="mockllm/model",
        log_dir=str(folder),
        log_format=form,
        display="none",
        epochs=epochs,
        **options,
    )
    return folder, log


def put(name, folder, pattern="*", last=True):
    """Copies the log into the data, without the paths of the machine. The container is read and
    written again member by member, with the same names, order and compression."""
    logs = sorted(folder.glob(pattern))
    source = logs[-1] if last else logs[0]
    out = DATA / "inspect" / f"{name}{source.suffix}"
    out.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".json":
        text = scrub(source.read_text(), WORK)
        if len(text) > 15_000:
            import gzip

            out = out.with_name(out.name + ".gz")
            out.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        else:
            out.write_text(text)
    else:
        from zip_scrub import rewrite

        rewrite(source, out, lambda text: scrub(text, WORK))
    return out.name


def check(folder, truth, scorer_name="rule"):
    """Stops if Inspect did not do what the plan says. Reads the log with Inspect itself."""
    log = read_eval_log(str(sorted(folder.glob("*"))[-1]))
    found = {}
    for sample in log.samples or []:
        cell = found.setdefault(key(sample.input), [0, 0])
        score = (sample.scores or {}).get(scorer_name)
        value = score.value if score else None
        if isinstance(value, dict):
            value = value["right"]
        if sample.error or value not in ("C", "I", 1, 0, 1.0, 0.0):
            continue
        cell[0] += value in ("C", 1)
        cell[1] += 1
    assert found == {k: list(v) for k, v in truth["passed"].items()}, (folder, found, truth)
    return log


def main():
    truth = Truth("inspect", f"inspect-ai {inspect_ai.__version__}")
    a, b = plan("a"), plan("b")

    def one(name, what, expected=None, **options):
        folder, log = run(name, what, **options)
        expected = expected or file_of_plan(what, options.get("reps", 1))
        log = check(folder, expected)
        file = put(name, folder)
        truth.file(file, expected, status=log.status)
        return file

    base = one("base", a)
    truth.compare("again", base, one("again", a))
    truth.compare("shuffled", base, one("shuffled", a, shuffle=11))
    truth.compare("worse", base, one("worse", b, release="b"))
    base_json = one("base_json", a, form="json")
    truth.compare("again as json", base, base_json)
    truth.compare("worse as json", base_json, one("worse_json", b, form="json", release="b"))

    # Without ids, Inspect numbers the samples after the shuffle: a number is no id.
    base_no = one("numbers_base", a, ids=False)
    one_no = one("numbers_1", a, ids=False, shuffle=1)
    truth.compare("numbers, again", base_no, one("numbers_again", a, form="json", ids=False))
    truth.compare("numbers, shuffled once", base_no, one_no)
    truth.compare("numbers, both shuffled", one_no, one("numbers_2", a, form="json", ids=False, shuffle=2))
    truth.compare(
        "numbers, shuffled and worse",
        base_no,
        one("numbers_worse", b, form="json", ids=False, shuffle=3, release="b"),
    )
    truth.compare("ids and numbers", base, one_no)
    truth.compare(
        "other ids, same inputs", base, one("other_ids", b, form="json", prefix="golden", release="b")
    )

    # Broken runs and judges. Inspect scores a sample that ran out of time: it failed.
    broken = plan("b", BREAKS)
    scored = ["fail" if did == "timeout" else did for did in broken]
    errors = one("errors", broken, file_of_plan(scored), release="b", time_limit=4)
    truth.compare("errors", base, errors)

    # A run that stops at its first error. Samples after it did not run.
    stopping = ["run_error" if case == 15 else did for case, did in enumerate(b)]
    folder, log = run("stopped", stopping, given=stops(), fail_on_error=True, max_samples=1)
    log = read_eval_log(log.location)
    assert log.status == "error" and 10 < len(log.samples) < 20, (log.status, len(log.samples))
    every = {
        sample.input: bool(sample.scores or sample.error and "500" in sample.error.message)
        for sample in log.samples
    }
    # The sample after the error had begun: it is in the log without a score.
    runs = [(key(q), did if every[q] else "cancelled") for (q, _), did in zip(CASES, stopping) if q in every]
    check(folder, of_runs(runs))
    file = put("stopped", folder)
    truth.file(file, of_runs(runs), status=log.status, not_begun=len(CASES) - len(every))
    truth.compare("stopped at an error", base, file)

    # The retry of that run: the samples that were done are in both logs.
    os.environ["MODEL_WORKS"] = "1"
    [again] = eval_retry(log, log_dir=str(WORK / "retried"), display="none", fail_on_error=False)
    os.environ.pop("MODEL_WORKS")
    check(WORK / "retried", file_of_plan(b))
    file = put("retried", WORK / "retried")
    truth.file(file, file_of_plan(b), status=again.status, retry_of="stopped.eval")
    truth.compare("retried", base, file)

    # A run that was canceled with Ctrl-C: a header of status `cancelled`.
    folder = WORK / "cancelled"
    shutil.rmtree(folder, ignore_errors=True)
    child = subprocess.Popen(
        [sys.executable, __file__, "cancelled"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for_hang()
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=60)[0]
    log = read_eval_log(str(next(folder.glob("*.eval"))))
    assert log.status == "cancelled" and len(log.samples or []) >= 8, (log.status, said)
    ran = {sample.input for sample in log.samples if not sample.error and sample.scores}
    every = {sample.input for sample in log.samples}
    runs = [(key(q), did if q in ran else "cancelled") for (q, _), did in zip(CASES, b) if q in every]
    check(folder, of_runs(runs))
    file = put("cancelled", folder)
    truth.file(file, of_runs(runs), status=log.status, not_begun=len(CASES) - len(every))
    truth.compare("canceled", base, file)

    # A run that was killed: an archive without a header, with a journal only.
    folder = WORK / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    child = subprocess.Popen(
        [sys.executable, __file__, "killed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for_hang()
    child.kill()
    child.wait()
    file = put("killed", folder)
    import zipfile

    with zipfile.ZipFile(DATA / "inspect" / file) as archive:
        members = archive.namelist()
        ran = {json.loads(archive.read(name))["input"] for name in members if name.startswith("samples/")}
    assert "header.json" not in members and len(ran) >= 8, members
    runs = [(key(q), did) for (q, _), did in zip(CASES, b) if q in ran]
    truth.file(file, of_runs(runs), status="started", not_begun=len(CASES) - len(ran))
    truth.compare("killed", base, file)

    # Three epochs. The flaky case fails in the second one.
    flaky = ["flaky" if case == 2 else did for case, did in enumerate(b)]
    runs = [
        (key(CASES[case][0]), "fail" if did == "flaky" and epoch == 2 else did.replace("flaky", "pass"))
        for epoch in (1, 2, 3)
        for case, did in enumerate(flaky)
    ]
    few = one("epochs_base", a, file_of_plan(a, 3), form="json", epochs=3)
    many = one(
        "epochs_worse",
        flaky,
        of_runs(runs),
        form="json",
        epochs=Epochs(3, ["mean", "at_least_2", "pass_at_2"]),
        release="b",
    )
    truth.compare("epochs", few, many)
    truth.compare("one run and three epochs", base, many)

    # Several scorers. The first one decides, whatever the names of the others.
    scorers = [rule(), length(), parts()]
    first = one("scorers_base", a, form="json", scorers=scorers)
    second = one("scorers_worse", b, form="json", scorers=scorers, release="b")
    truth.compare("several scorers", first, second)
    truth.compare("several scorers and one", base, second)

    # Letters. P (half of a point) and N (no answer: 0 for Inspect's accuracy).
    given = [{5: "part", 6: "fail"}.get(case, did) for case, did in enumerate(b)]
    folder, log = run("letters", b, form="json", scorers=letters(), release="b")
    log = read_eval_log(str(next(folder.glob("*"))))
    values = {sample.input: sample.scores["letters"].value for sample in log.samples}
    assert values[CASES[5][0]] == "P" and values[CASES[6][0]] == "N", values
    file = put("letters", folder)
    truth.file(
        file,
        of_runs([(key(q), did) for (q, _), did in zip(CASES, given)]),
        status=log.status,
        note="the case with P is neither passed nor failed; N counts as 0, as Inspect's accuracy does",
    )
    truth.compare("letters", base, file)

    # A scorer with a dictionary only.
    folder, log = run("dictionary_base", a, form="json", scorers=parts())
    check(folder, file_of_plan(a), "parts")
    one_file = put("dictionary_base", folder)
    folder, log = run("dictionary_worse", b, form="json", scorers=parts(), release="b")
    check(folder, file_of_plan(b), "parts")
    two_file = put("dictionary_worse", folder)
    truth.file(one_file, file_of_plan(a), passed_by="parts.right")
    truth.file(two_file, file_of_plan(b), passed_by="parts.right")
    truth.compare("a score with parts", one_file, two_file, metric="parts.right")
    truth.write()


def wait_for_hang():
    """Waits until a child hangs in its 12th sample, and has written the samples before."""
    while not (WORK / "hangs").exists():
        time.sleep(0.2)
    time.sleep(6)
    (WORK / "hangs").unlink()


def child(name):
    """A run that the parent interrupts or kills: the samples from the 12th on hang."""
    hang = agent(plan("b"), slow_after=12)
    given = Task(
        dataset=dataset(),
        solver=hang,
        scorer=rule(),
        name="cs_golden",
        metadata={"release_id": RELEASES["b"]},
    )
    run_eval(
        given, model="mockllm/model", log_dir=str(WORK / name), display="plain", max_samples=1, log_buffer=4
    )


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
