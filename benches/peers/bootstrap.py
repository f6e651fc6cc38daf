"""Compares the bootstrap of a ratio over 1e6 rows with 1,000 replicates in Sluice and in numpy. The
numpy code is that of off-policy libraries: each replicate draws the rows and takes one mean.
Run from the repository: python3 benches/peers/bootstrap.py"""

import json
import resource
import subprocess
import time

import numpy as np

N, REPLICATES, MEASURED = 1_000_000, 1_000, 20


def cpu(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def main():
    command = ["cargo", "bench", "--no-run", "--quiet", "--bench", "bootstrap", "--message-format", "json"]
    built = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    program = next(
        m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "bootstrap"
    )
    before = cpu(resource.RUSAGE_CHILDREN)
    done = subprocess.run([program], check=True, capture_output=True, text=True)
    ours = json.loads(done.stdout)
    our_cpu = cpu(resource.RUSAGE_CHILDREN) - before

    rng = np.random.RandomState(1)
    y = 1 + rng.random_sample(N) * 9
    x = y * rng.random_sample(N)
    start, start_cpu = time.perf_counter(), cpu(resource.RUSAGE_SELF)
    values = []
    for _ in range(MEASURED):
        rows = rng.choice(N, size=N, replace=True)
        values.append(x[rows].sum() / y[rows].sum())
    scale = REPLICATES / MEASURED
    wall, theirs = (time.perf_counter() - start) * scale, (cpu(resource.RUSAGE_SELF) - start_cpu) * scale
    print(json.dumps({
        "sluice": {**ours, "cpu_of_all": our_cpu},
        "numpy": {"seconds": wall, "cpu": theirs, "measured_replicates": MEASURED},
        "rows_cpu_ratio_at_least": theirs / our_cpu,
        "rows_wall_ratio": wall / ours["rows"]["seconds"],
        "groups_wall_ratio": wall / ours["groups"]["seconds"],
    }, indent=1))


if __name__ == "__main__":
    main()
