"""Makes the files of promptfoo. `PROMPTFOO` names its program, `WORK` an empty folder.

PROMPTFOO=node_modules/.bin/promptfoo WORK=work/pf python3 promptfoo.py
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from cases import BREAKS, CASES, HERE, Truth, file_of_plan, key, of_runs, plan, save

WORK = Path(os.environ["WORK"])
PROGRAM = os.environ["PROMPTFOO"]
OFF = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "true",
    "PROMPTFOO_DISABLE_SHARING": "1",
    "PROMPTFOO_CONFIG_DIR": str(WORK / "home"),
    "NO_COLOR": "1",
}
CHECKS = [
    {"type": "javascript", "value": "output.includes(context.vars.ref)", "metric": "right"},
    {
        "type": "llm-rubric",
        "value": "Answers the question: {{q}}",
        "metric": "rubric",
        "provider": "file://judge.cjs",
    },
]


def promptfoo(*args, plan_file="plan.json", may_fail=True, **env):
    """Runs promptfoo. Exit code 100 says that some cases failed."""
    done = subprocess.run(
        [PROGRAM, *args],
        cwd=WORK,
        env={**os.environ, **OFF, "PLAN": str(WORK / plan_file), **env},
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode not in (0, 100):
        print(done.stdout[-3000:], done.stderr[-3000:])
        raise SystemExit(f"promptfoo {args}: {done.returncode}")
    return done.stdout


def write(name, value):
    (WORK / name).write_text(json.dumps(value, ensure_ascii=False, indent=1))


def plan_file(what, name="plan.json"):
    write(name, {q: [did, right] for (q, right), did in zip(CASES, what)})


def config(**more):
    return {
        "description": "customer service, golden cases",
        "prompts": [{"raw": "Answer as customer service: {{q}}", "label": "cs_main@6"}],
        "providers": [{"id": "file://provider.cjs", "label": "cs-agent"}],
        "tests": [{"vars": {"q": q, "ref": right}, "assert": CHECKS} for q, right in CASES],
        **more,
    }


def run(name, what, config, *args, forms=("json",), **env):
    """Runs one evaluation and returns the written files. `name`: without an extension."""
    plan_file(what)
    write("config.json", config)
    outs = [WORK / f"{name}.{form}" for form in forms]
    promptfoo(
        "eval",
        "-c",
        "config.json",
        "--no-table",
        "--no-progress-bar",
        *args,
        *[word for out in outs for word in ("-o", str(out))],
        **env,
    )
    return [save(f"promptfoo/{out.name}", out.read_text(), WORK) for out in outs if out.suffix != ".html"]


def partial(name, what, first):
    """Interrupts a run with SIGINT after some cases, exports what is there, then resumes it."""
    import signal
    import time

    plan_file([did if case < first else "hang" for case, did in enumerate(what)])
    write("config.json", config())
    (WORK / "plan.json.calls").unlink(missing_ok=True)
    child = subprocess.Popen(
        [PROGRAM, "eval", "-c", "config.json", "--no-table", "--no-progress-bar", "--no-cache", "-j", "2"],
        cwd=WORK,
        env={**os.environ, **OFF, "PLAN": str(WORK / "plan.json")},
        stdout=(WORK / "partial.log").open("w"),
        stderr=subprocess.STDOUT,
        # A job in the background ignores SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # The cases after the first ones hang: 2 of them have begun.
    calls = WORK / "plan.json.calls"
    for _ in range(1800):
        time.sleep(0.1)
        if calls.exists() and len(calls.read_text().splitlines()) >= first + 1:
            break
    time.sleep(2)
    child.send_signal(signal.SIGINT)
    child.wait(timeout=120)
    said = (WORK / "partial.log").read_text()
    assert "paused" in said, said
    promptfoo("export", "eval", "latest", "-o", f"{name}.json")
    plan_file(what)
    promptfoo("eval", "--resume", "latest", "--no-table", "--no-progress-bar", "--no-cache")
    promptfoo("export", "eval", "latest", "-o", f"{name}_resumed.json")
    return [
        save(f"promptfoo/{out}.json", (WORK / f"{out}.json").read_text(), WORK)
        for out in (name, f"{name}_resumed")
    ]


def results(name):
    """The results of a JSON export that promptfoo wrote, for checks of the maker itself."""
    return json.loads((WORK / f"{name}.json").read_text())["results"]["results"]


def check(name, truth):
    """Stops if promptfoo did not do what the plan says."""
    found = {}
    for result in results(name):
        right = [c["pass"] for c in (result.get("gradingResult") or {}).get("componentResults") or [] if c]
        cell = found.setdefault(key(result["testCase"]["vars"].get("q_text") or result["vars"]["q"]), [0, 0])
        broke = result["failureReason"] == 2 or any(
            word in json.dumps(result.get("gradingResult")) for word in ("graderError", "threw error")
        )
        cell[0] += result["success"]
        cell[1] += not broke
        assert right or broke
    assert found == {k: list(v) for k, v in truth["passed"].items()}, (name, found, truth)


def main():
    for file in (HERE / "promptfoo").iterdir():
        shutil.copy(file, WORK)
    version = promptfoo("--version").strip()
    truth = Truth("promptfoo", f"promptfoo {version}")
    a, b = plan("a"), plan("b")
    prompt_b = [{"raw": "You are the customer service of a shop. Answer: {{q}}", "label": "cs_main@7"}]
    forms = ("json", "jsonl", "csv", "yaml")

    for name, what, cfg, args, forms_of in [
        ("base", a, config(), ["--no-cache"], forms),
        ("again", a, config(), ["--no-cache"], ("json",)),
        (
            "shuffled",
            a,
            config(),
            ["--no-cache", "--filter-sample", "30", "--filter-sample-seed", "7"],
            forms,
        ),
        ("worse", b, config(prompts=prompt_b), ["--no-cache"], forms),
    ]:
        for file in run(name, what, cfg, *args, forms=forms_of):
            truth.file(file, file_of_plan(what))
        check(name, file_of_plan(what))
    files = truth.document["files"]
    for form in forms:
        name = lambda of: next(n for n in files if n.removesuffix(".gz") == f"{of}.{form}")
        if form == "json":
            truth.compare("again", name("base"), name("again"))
        # A program need not read promptfoo's CSV and YAML. If it does, it must be right.
        more = {"may_be_refused": True} if form in ("csv", "yaml") else {}
        truth.compare(f"shuffled {form}", name("base"), name("shuffled"), **more)
        truth.compare(f"worse {form}", name("base"), name("worse"), **more)
    base = next(n for n in files if n.startswith("base.json"))

    # Runs and judges that break. promptfoo reads a score of NaN as passed, so a check throws instead.
    breaks = {case: {"judge_nan": "judge_throw"}.get(kind, kind) for case, kind in BREAKS.items()}
    broken = plan("b", breaks)
    checks = [
        {
            "type": "javascript",
            "value": "if (output.endsWith('[t]')) throw new Error('no such table');\n"
            "return output.includes(context.vars.ref)",
            "metric": "right",
        },
        CHECKS[1],
    ]
    tests = [{"vars": {"q": q, "ref": right}, "assert": checks} for q, right in CASES]
    cfg = config(prompts=prompt_b, tests=tests, evaluateOptions={"timeoutMs": 6000})
    [file, lines, table] = run("errors", broken, cfg, "--no-cache", forms=("json", "jsonl", "csv"))
    check("errors", file_of_plan(broken))
    for name in (file, lines):
        truth.file(name, file_of_plan(broken))
    truth.compare("errors", base, file)
    # A CSV has no mark of a broken judge: only of a broken run.
    only_runs = [
        {"judge_error": "fail", "judge_prose": "fail", "judge_missing": "fail", "judge_throw": "fail"}.get(
            did, did
        )
        for did in broken
    ]
    truth.file(table, file_of_plan(only_runs), note="a CSV marks broken runs, and no broken judges")
    truth.compare(
        "errors csv", next(n for n in files if n.startswith("base.csv")), table, may_be_refused=True
    )
    plan_file(b)
    promptfoo("eval", "--retry-errors", "--no-cache", "--no-table", "--no-progress-bar")
    promptfoo("export", "eval", "latest", "-o", "retried.json")
    # `--retry-errors` runs again what ended in an error, and no case whose judge broke.
    retried = [did if did.startswith("judge") else b[case] for case, did in enumerate(broken)]
    check("retried", file_of_plan(retried))
    file = save("promptfoo/retried.json", (WORK / "retried.json").read_text(), WORK)
    truth.file(file, file_of_plan(retried))
    truth.compare("retried", base, file)

    first = 12
    [part, resumed] = partial("partial", b, first)
    rows = results("partial")
    done = {row["vars"]["q"] for row in rows if row["failureReason"] != 2}
    what = of_runs([(key(q), did) for (q, _), did in zip(CASES, b) if q in done])
    assert len(done) < len(CASES), len(done)
    truth.file(part, what, note="interrupted: the rest of the cases has no results")
    truth.compare("partial", base, part)
    check("partial_resumed", file_of_plan(b))
    truth.file(resumed, file_of_plan(b))
    truth.compare("resumed", base, resumed)

    # Three repeats. The flaky case fails in the second one.
    b3 = [{2: "flaky"}.get(case, did) for case, did in enumerate(b)]
    [file] = run("repeats_base", a, config(), "--no-cache", "--repeat", "3")
    truth.file(file, file_of_plan(a, 3))
    [file3] = run("repeats_worse", b3, config(prompts=prompt_b), "--no-cache", "--repeat", "3")
    runs = [
        (key(CASES[case][0]), "fail" if did == "flaky" and rep == 1 else did.replace("flaky", "pass"))
        for case, did in enumerate(b3)
        for rep in range(3)
    ]
    truth.file(file3, of_runs(runs))
    check("repeats_worse", of_runs(runs))
    truth.compare("repeats", file, file3)
    truth.compare("one run and three", base, file3)

    # The provider returns a session id. While it writes a table (HTML), promptfoo puts the id among
    # the variables, and so into the JSON that it writes next.
    session = [{"id": "file://provider.cjs", "label": "cs-agent", "config": {"session": True}}]
    [one] = run("sessions_base", a, config(providers=session), "--no-cache", forms=("html", "json"))
    [two] = run("sessions_worse", b, config(providers=session), "--no-cache", forms=("html", "json"))
    assert all(row["vars"].get("sessionId") for row in results("sessions_base"))
    truth.file(one, file_of_plan(a))
    truth.file(two, file_of_plan(b))
    truth.compare("session ids", one, two)
    truth.compare("session ids and none", base, two)

    # Two descriptions for all cases, and a default one: a description is no id.
    tests = [
        {**test, "description": ["refunds", "shipping"][case % 2]}
        for case, test in enumerate(config()["tests"])
    ]
    [one] = run("descriptions_base", a, config(tests=tests), "--no-cache")
    [two] = run("descriptions_worse", b, config(defaultTest={"description": "golden case"}), "--no-cache")
    truth.file(one, file_of_plan(a))
    truth.file(two, file_of_plan(b))
    truth.compare("descriptions", one, two)

    # Variables from files. The export has the names of the files, and not their text.
    (WORK / "q").mkdir(exist_ok=True)
    tests = []
    for case, (q, right) in enumerate(CASES):
        (WORK / f"q/{case}.txt").write_text(q)
        tests.append({"vars": {"q": f"file://q/{case}.txt", "ref": right}, "assert": CHECKS})
    [one] = run("files_base", a, config(tests=tests), "--no-cache")
    [two] = run("files_worse", b, config(tests=tests), "--no-cache")
    truth.file(one, file_of_plan(a))
    truth.file(two, file_of_plan(b))
    truth.compare("variables from files", one, two)

    # Two prompts and two providers in one file: each case has four runs.
    both = [config()["prompts"][0], prompt_b[0]]
    agents = [
        {"id": "file://provider.cjs", "label": f"agent-{size}", "config": {"size": size}}
        for size in ("s", "l")
    ]
    [one] = run("matrix_base", a, config(prompts=both, providers=agents), "--no-cache")
    [two] = run("matrix_worse", b, config(prompts=both, providers=agents), "--no-cache")
    truth.file(one, file_of_plan(a, 4), runs_are="2 prompts x 2 providers")
    truth.file(two, file_of_plan(b, 4), runs_are="2 prompts x 2 providers")
    # A program may ask which of the four it is to compare.
    truth.compare("two prompts and two providers", one, two, may_be_refused=True)

    # Answers from promptfoo's cache: the second run takes all of them from there.
    port = os.environ.get("PORT", "18753")
    plan_file(a)
    import sys
    import time

    server = subprocess.Popen([sys.executable, str(WORK / "agent_server.py"), str(WORK / "plan.json"), port])
    try:
        time.sleep(1)
        http = [
            {
                "id": f"http://127.0.0.1:{port}/ask",
                "label": "cs-http",
                "config": {
                    "method": "POST",
                    "headers": {"content-type": "application/json"},
                    "body": {"q": "{{q}}"},
                    "transformResponse": "({output: json.answer, cost: json.cost})",
                },
            }
        ]
        [one] = run("cache_first", a, config(providers=http))
        [two] = run("cache_second", a, config(providers=http))
    finally:
        server.terminate()
    cached = [row["response"].get("cached") for row in results("cache_second")]
    assert all(cached) and not any(row["response"].get("cached") for row in results("cache_first")), cached
    check("cache_second", file_of_plan(a))
    truth.file(one, file_of_plan(a), cached=0)
    truth.file(two, file_of_plan(a), cached=len(CASES))
    truth.compare("answers from the cache", one, two)
    truth.write()


if __name__ == "__main__":
    main()
