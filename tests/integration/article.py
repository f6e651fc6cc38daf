"""The score formula of the reference policy in Python, independent of Sluice's code. Reads users as
CSV from stdin and writes a line `score layer` for each user."""

import csv
import sys

AS_OF = 1779667200.0  # 2026-05-25T00:00:00Z


def clamp(x):
    return min(max(x, 0.0), 1.0)


def number(text):
    return float(text) if text else None


for user in csv.DictReader(sys.stdin):
    last, count, value, accept = (number(user[key]) for key in ["last_use_time", "use_count", "user_value", "accept_score"])
    r = 0.0 if last is None else 1 - min((AS_OF - last) / (30 * 86400), 1)
    f = 0.0 if count is None else min(count / 100, 1)
    m = 1.0 if value is None else 1 - min(value / 100000, 1)
    a = 0.0 if accept is None else accept / 10
    score = round(0.2 * clamp(r) + 0.2 * clamp(f) + 0.3 * clamp(m) + 0.3 * clamp(a), 4)
    if last is None and count is None and value is None and accept is None:
        layer = "vip"
    elif score >= 0.8:
        layer = "early"
    elif score >= 0.6:
        layer = "regular"
    elif score >= 0.3:
        layer = "high_value"
    else:
        layer = "vip"
    print(score, layer)
