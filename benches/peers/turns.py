"""Times programs by turns. Other work on the machine only adds time, so the least of the rounds is
shown. The median beside it shows how quiet the machine was."""

import os
import resource
import statistics
import subprocess
import sys
import time
from typing import NamedTuple


class Usage(NamedTuple):
    """What a program used: CPU seconds (user and system), wall seconds, and its peak of memory in MB."""

    cpu: float
    wall: float
    memory: float


def run(command, env=None):
    """Runs a program to its end. A failure ends this script."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if status != 0:
        sys.exit(f"failed: {' '.join(command[:4])} ...")
    return Usage(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def within(work):
    """Calls a function in this process, and returns what it used and its result."""
    seconds = lambda usage: usage.ru_utime + usage.ru_stime
    cpu, start = seconds(resource.getrusage(resource.RUSAGE_SELF)), time.monotonic()
    result = work()
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(seconds(after) - cpu, wall, after.ru_maxrss / 1024), result


def by_turns(programs, rounds):
    """Lets each program take its turn in each round. `programs` has a function or a command under each
    name. Returns a list of `Usage` under each name."""
    runs = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            runs[name].append(program() if callable(program) else run(program))
    return runs


def least(runs):
    """The least time of some runs, and the largest peak of memory."""
    return Usage(min(run.cpu for run in runs), min(run.wall for run in runs), max(run.memory for run in runs))


def median(runs):
    """The medians of the times of some runs, and of the peak of memory."""
    return Usage(*map(statistics.median, zip(*runs)))


def show(runs, width=16):
    """Prints the least and the median of each program, and how many times those of the first one."""
    rounds = len(next(iter(runs.values())))
    print(f"least and median of {rounds} runs by turns")
    print(f"{'':{width}} {'CPU s':>14} {'wall s':>14} {'peak MB':>8} {'CPU ratio':>14} {'wall ratio':>14}")
    pair = lambda a, b: f"{a:7.2f}{b:7.2f}"
    first = next(iter(runs.values()))
    for name, of_program in runs.items():
        (cpu, wall, memory), (cpu_median, wall_median, _) = least(of_program), median(of_program)
        ratios = pair(cpu / least(first).cpu, cpu_median / median(first).cpu)
        of_wall = pair(wall / least(first).wall, wall_median / median(first).wall)
        print(f"{name:{width}} {pair(cpu, cpu_median)} {pair(wall, wall_median)} {memory:8.0f} {ratios} {of_wall}")
