"""Compares the bootstrap of a ratio over 1e6 rows with 1,000 replicates in Sluice and in numpy. The
numpy code is that of off-policy libraries: each replicate draws the rows and takes one mean.
Run from the repository: python3 benches/peers/bootstrap.py"""

import argparse
import json
import subprocess

import numpy as np
from turns import Usage, by_turns, show, within

N, REPLICATES, MEASURED = 1_000_000, 1_000, 20


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    command = ["cargo", "bench", "--no-run", "--quiet", "--bench", "bootstrap", "--message-format", "json"]
    built = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    program = next(
        m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "bootstrap"
    )
    rng = np.random.RandomState(1)
    y = 1 + rng.random_sample(N) * 9
    x = y * rng.random_sample(N)

    def replicates():
        for _ in range(MEASURED):
            rows = rng.choice(N, size=N, replace=True)
            x[rows].sum() / y[rows].sum()

    def of_numpy():
        usage, _ = within(replicates)
        return Usage(usage.cpu * REPLICATES / MEASURED, usage.wall * REPLICATES / MEASURED, usage.memory)

    show(by_turns({"sluice": [program], "numpy": of_numpy}, args.rounds))
    print(f"numpy: {MEASURED} replicates a round, times {REPLICATES // MEASURED}")
    print("sluice also makes its rows in the same process; rows and clusters apart, in seconds:")
    command = [program, "--clusters"]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


if __name__ == "__main__":
    main()
