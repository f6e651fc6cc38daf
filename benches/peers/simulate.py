"""Compares a ramp simulated by Sluice with the same model in numpy, vectorized over runs: one
layer, hourly decisions for 20 days, 10,000 runs. The peer has the intervals of one scale without
degrees of freedom; Sluice mixes several scales, so its verdicts may differ at the extremes.
Run from the repository after `cargo build --release`: python3 benches/peers/simulate.py"""

import argparse
import json
import math
import os
import subprocess
import tempfile

import numpy as np
from turns import by_turns, show, within

RUNS, HOURS = 10_000, 480
USERS, TURNS = 400_000.0, 400_000 * 0.5 / 24
LADDER, DWELL, MIN_USERS, THRESHOLD, FLOOR = [0.0, 0.05, 0.2, 0.5, 1.0], 72, 100, 0.5, 0.6
ALPHA, SRM_ALPHA, SRM_DEVIATION, MARGIN, QOS_MDE = 0.05, 0.001, 0.001, 0.02, 0.02
RATE = -math.log(0.5) / (7 * 24)
# Expected number of other rows in the visit of a row.
VISIT = TURNS / (USERS * RATE) - 1
# Bad rate, availability, latency (ms), tool success, completion, complaint rate.
VALUES = np.array([0.1, 0.9, 800.0, 0.9, 0.6, 0.05])
ROW_SD = np.array([0, 0, 600.0, 0, 0, 0])
USER_SD = np.array([0, 0, 0, 0, 0.2, 0])
SLOPES = np.array([-0.9, 0.08, -0.3 * 0.2 / 5000, 0.06, 0.3, -2.0])
CONCENTRATION = 10_000.0


def mixture(mde):
    length = -2 * math.log(ALPHA)
    return (mde / 2.8) ** 2 * (length + math.log1p(length))


def half_width(v, tau2):
    return np.sqrt(v * (1 + v / tau2) * (np.log1p(tau2 / v) - 2 * math.log(ALPHA)))


def p_value(d, v, tau2):
    return np.minimum(1, np.exp(-(tau2 * d * d / (2 * v * (v + tau2)) - 0.5 * np.log1p(tau2 / v))))


def groups_below(share):
    bps = round(share * 10_000)
    return bps if bps < 100 else 100 + (bps - 100) // 10 if bps < 1000 else min(370, 190 + (bps - 1000) // 50)


LGAMMA = np.vectorize(math.lgamma)


def srm_p(users, share):
    a = [CONCENTRATION * (1 - share), CONCENTRATION * share]
    n = users[0] + users[1]
    bf = math.lgamma(CONCENTRATION) - LGAMMA(CONCENTRATION + n)
    for count, prior, planned in zip(users, a, (1 - share, share)):
        bf = bf + LGAMMA(prior + count) - math.lgamma(prior) - count * math.log(planned)
    return np.minimum(1, np.exp(-bf))


def simulate(effect, rng):
    candidate = VALUES.copy()
    candidate[4] += effect
    step = np.zeros(RUNS, int)
    since = np.zeros(RUNS, int)
    alive = np.ones(RUNS, bool)
    rolled_at = np.full(RUNS, -1)
    full_at = np.full(RUNS, -1)
    x = np.zeros((2, 6, RUNS))
    rows = np.zeros((2, RUNS))
    own = np.zeros((2, RUNS))
    users = np.zeros((2, RUNS))
    unseen = np.ones(RUNS)
    tau2, qos_tau2 = mixture(MARGIN), mixture(QOS_MDE)
    for hour in range(HOURS + 1):
        at_step = [np.flatnonzero(alive & (step == k)) for k in range(len(LADDER))]
        for (k, share), at in zip(enumerate(LADDER), at_step):
            if at.size == 0:
                continue
            up, down = np.zeros(at.size, bool), np.zeros(at.size, bool)
            if k == 0:
                up[:] = True
            elif hour > 0 and rows[1, at].min() > 0:
                arms = [1 - share, share]
                clusters = groups_below(share)
                clusters = clusters * -np.expm1(-users[1, at] / clusters)
                known = clusters >= 20
                est = x[1][:, at] / rows[1, at]
                row = np.where(ROW_SD[:, None] > 0, (ROW_SD**2)[:, None], est * (1 - est))
                together = lambda arm: 1 / (USERS * arms[arm]) + VISIT / rows[arm, at]
                var = row / rows[1, at] + (USER_SD**2)[:, None] * together(1)
                qos = 0.3 * (1 - 3 * est[0]) + 0.2 * (0.4 * est[1] + 0.3 * (1 - est[2] / 5000) + 0.3 * est[3])
                qos = qos + 0.5 * (0.6 * est[4] + 0.4 * (1 - 10 * est[5]))
                half = half_width((SLOPES[:, None] ** 2 * var).sum(0), qos_tau2)
                safe = violated = np.zeros(at.size, bool)
                if share < 1:
                    control = x[0][4, at] / rows[0, at]
                    v = var[4] + control * (1 - control) / rows[0, at] + USER_SD[4] ** 2 * together(0)
                    harm, width = control - est[4], half_width(v, tau2)
                    p = np.where(harm > 0, p_value(harm, v, tau2), 1)
                    violated = known & ((harm - width > MARGIN) | ((harm - width > 0) & (harm > MARGIN) & (p <= ALPHA)))
                    safe = known & (harm + width < MARGIN)
                n = users[:, at].sum(0)
                srm = np.zeros(at.size, bool)
                if share < 1:
                    srm = (srm_p(users[:, at], share) < SRM_ALPHA) & (np.abs(users[1, at] / n - share) >= SRM_DEVIATION)
                down = violated | (~srm & known & (qos + half < FLOOR))
                ready = ~down & ~srm & (users[1, at] >= MIN_USERS) & (hour - since[at] >= DWELL)
                up = ready & safe & known & (qos - half >= THRESHOLD) if share < 1 else np.zeros(at.size, bool)
            alive[at[down]] = False
            rolled_at[at[down]] = hour
            moved = at[up]
            step[moved] += 1
            since[moved] = hour
            full_at[moved[step[moved] == len(LADDER) - 1]] = hour
            x[:, :, moved] = 0
            rows[:, moved] = users[:, moved] = 0
            unseen[moved] = 1
        if hour == HOURS:
            break
        for k, share in enumerate(LADDER[1:], 1):
            at = np.flatnonzero(alive & (step == k))
            if at.size == 0:
                continue
            new = np.floor(USERS * unseen[at] * -math.expm1(-RATE)).astype(int)
            unseen[at] *= math.exp(-RATE)
            reached = rng.binomial(new, share)
            fresh = since[at] == hour
            for arm, part in ((0, 1 - share), (1, share)):
                if part <= 0:
                    continue
                users[arm, at] += new - reached if arm == 0 else reached
                drawn = rng.standard_normal(at.size) * USER_SD[4] / math.sqrt(USERS * part)
                own[arm, at] = np.where(fresh, drawn, own[arm, at])
                r = TURNS * part
                rows[arm, at] += r
                for law in range(6) if arm == 1 else (4,):
                    value = (candidate if arm == 1 else VALUES)[law]
                    if ROW_SD[law] > 0:
                        x[arm, law, at] += r * value + rng.standard_normal(at.size) * math.sqrt(r) * ROW_SD[law]
                    elif USER_SD[law] > 0:
                        mean = value + own[arm, at]
                        sd = np.sqrt(r * (mean * (1 - mean) + USER_SD[law] ** 2 * VISIT))
                        x[arm, law, at] += r * mean + rng.standard_normal(at.size) * sd
                    else:
                        x[arm, law, at] += rng.binomial(round(r), value, at.size) * (r / round(r))
    full = full_at[full_at >= 0]
    return (rolled_at >= 0).mean(), (full.mean() if full.size else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", help="a folder for the forecast of Sluice; a temporary folder by default")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    program = os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "sluice")
    rng = np.random.default_rng(1)
    peers = []

    def of_numpy():
        usage, found = within(lambda: [simulate(0.0, rng), simulate(-0.012, rng)])
        peers.append(found)
        return usage

    with tempfile.TemporaryDirectory() as scratch:
        out = args.out or os.path.join(scratch, "forecast")
        command = [program, "simulate", "benches/peers/simulate.toml", "--out", out, "--json"]
        runs = by_turns({"sluice": command, "numpy": of_numpy}, args.rounds)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    for plan, (p, hours) in zip(json.loads(done.stdout)["plans"], peers[0]):
        print(json.dumps({"world": plan["world"], "sluice": [plan["p_rollback"]["p"], plan["hours_to_full"]["mean"]], "numpy": [p, hours], "mc_error": plan["p_rollback"]["mc_error"]}))
    show(runs)


if __name__ == "__main__":
    main()
