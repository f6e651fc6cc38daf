"""The cases, what each release does on them, and the truth that follows from it.

The verdict of a case is decided here and nowhere else: a maker lets the tool run a release that
answers right or wrong as `plan(release)` says, and `truth` computes what a right reader finds.
Nothing here reads Sluice.
"""

import gzip
import hashlib
import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent

# Question, right answer. Texts of several scripts, with quotes, line breaks and near duplicates.
CASES = [
    ("Can I return an opened phone?", "7 days"),
    ("Can I return an opened phone?\nI bought it abroad.", "14 days"),
    ("打开过的手机可以退货吗？", "七天"),
    ("订单什么时候发货？", "48 小时"),
    ("请问发票可以开公司抬头吗？", "可以"),
    ("Where is my order?", "order page"),
    ("Where is my order, please?", "order page"),
    ("Wie lange habe ich Garantie?", "zwei Jahre"),
    ("¿Puedo cambiar la dirección de envío?", "antes del envío"),
    ("Is the refund paid to my card?", "original payment"),
    ('Does the coupon "WELCOME10" work twice?', "once"),
    ("A price went down after I bought. Refund?", "price protection"),
    ("How do I cancel a subscription?", "account settings"),
    ("能不能帮我改成货到付款？", "不支持"),
    ("优惠券过期了还能用吗？", "不能"),
    ("Do you ship to Iceland?", "yes"),
    ("هل يمكنني إرجاع المنتج؟", "سبعة أيام"),
    ("返品の送料は誰が払いますか？", "お客様"),
    ("Can a gift be exchanged without a receipt?", "gift receipt"),
    ("My parcel is damaged, what now?", "photo"),
    ("Which batteries are in the set, AA or AAA?", "AAA"),
    ("Is the invoice sent by e-mail, by post; or both?", "e-mail"),
    ("快递丢了怎么办？", "补发"),
    ("Why was my card declined 😕?", "bank"),
    ("Can I pick the order up in a store?", "selected stores"),
    ("Est-ce que la livraison est gratuite ?", "à partir de 49 euros"),
    ("How many points do I get for 100 CNY?", "100 points"),
    ("会员积分什么时候到账？", "收货后"),
    ("How can I delete my account?", "privacy page"),
    ("Do you buy used devices?", "trade-in"),
]
WRONG = "I am not sure about that."

BASE_FAILS = {4, 11, 17, 23, 28}
LOST = {0, 3, 7, 9, 14, 18, 21, 26}
GAINED = {11, 23}
# What goes wrong in the set `errors`. The cases differ from those of LOST and GAINED.
BREAKS = {
    1: "run_error",
    5: "run_error",
    6: "timeout",
    8: "judge_error",
    10: "judge_prose",
    12: "judge_nan",
    13: "judge_missing",
}
RELEASES = {"a": "rel_2026_05_20_001", "b": "rel_2026_05_28_001"}


def plan(release, breaks=None):
    """What a release does on each case: `pass`, `fail` or the name of a break."""
    fails = BASE_FAILS if release == "a" else (BASE_FAILS - GAINED) | LOST
    breaks = breaks or {}
    return [breaks.get(case) or ("fail" if case in fails else "pass") for case in range(len(CASES))]


def answer(case, what):
    """The answer of a release that does `what` on a case."""
    question, right = CASES[case]
    return WRONG if what == "fail" else f"{right} ({len(question)} letters were asked)"


def key(question, context=""):
    """The key of a case in `expected.json`: a short hash of the text of its input."""
    return hashlib.sha256(f"{question}\x1f{context}".encode()).hexdigest()[:10]


def of_runs(runs):
    """The truth of a file. `runs`: (key of the case, what happened) for each run."""
    passed, errors = {}, {}
    for case, what in runs:
        n_passed, n_rated = passed.get(case, (0, 0))
        rated = what in ("pass", "fail")
        passed[case] = (n_passed + (what == "pass"), n_rated + rated)
        if not rated:
            errors[what] = errors.get(what, 0) + 1
    return {
        "cases": len(passed),
        "runs": len(runs),
        "errors": dict(sorted(errors.items())),
        "passed": {case: list(counts) for case, counts in sorted(passed.items())},
    }


def file_of_plan(what, reps=1):
    """The truth of a file that has every case of a plan `reps` times."""
    return of_runs([(key(CASES[case][0]), done) for case, done in enumerate(what)] * reps)


def pair(base, now):
    """The truth of a pair of files: shares of passed runs, compared case by case."""
    shares = [
        {case: n_passed / n_rated for case, (n_passed, n_rated) in file["passed"].items() if n_rated}
        for file in (base, now)
    ]
    both = shares[0].keys() & shares[1].keys()
    every = base["passed"].keys() | now["passed"].keys()
    return {
        "n_pairs": len(both),
        "better": sum(shares[1][case] > shares[0][case] for case in both),
        "worse": sum(shares[1][case] < shares[0][case] for case in both),
        "unpaired": [len(shares[0].keys() - both), len(shares[1].keys() - both)],
        "not_rated": len(every - shares[0].keys() - shares[1].keys()),
        # Runs without a verdict, and cases that the tool says it never began.
        "errors": [sum(file["errors"].values()) + file.get("not_begun", 0) for file in (base, now)],
        # Runs with a verdict whose answer came from the tool's cache.
        "cached": [file.get("cached", 0) for file in (base, now)],
    }


class Truth:
    """Collects files and pairs, and writes `expected.json` beside the files of a tool."""

    def __init__(self, tool, version):
        self.folder = DATA / tool
        self.folder.mkdir(parents=True, exist_ok=True)
        self.document = {"tool": tool, "version": version, "files": {}, "pairs": []}

    def file(self, name, truth, **more):
        assert (self.folder / name).exists(), name
        self.document["files"][name] = {**more, **truth}

    def compare(self, name, base, now, **more):
        """`more` may name a metric other than `passed`, and options of the command."""
        files = self.document["files"]
        self.document["pairs"].append(
            {"name": name, "base": base, "now": now, **more, **pair(files[base], files[now])}
        )

    def add(self, **pair_of_own):
        self.document["pairs"].append(pair_of_own)

    def write(self):
        write(self.folder / "expected.json", self.document)


def write(path, document):
    """Writes a document with counts and lists of numbers on one line."""
    text = json.dumps(document, ensure_ascii=False, indent=1)
    text = re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", text)
    path.write_text(text + "\n")


def scrub(text, work):
    """Replaces what names the machine: the work folder, the home folder, the user, the host.

    Each is replaced by a text of the same kind, so that no key, no type and no number of members
    changes."""
    import getpass
    import os
    import socket
    import sys

    pairs = [
        (str(Path(work).resolve()), "/eval"),
        (str(HERE), "/eval/make"),
        (sys.prefix, "/eval/venv"),
        (sys.base_prefix, "/eval/python"),
        # Where the tools are installed, if not in the folder of Python.
        (os.environ.get("TOOLS", ""), "/eval/tools"),
        (os.path.expanduser("~"), "/home/eval"),
        (socket.gethostname(), "eval-host"),
        (f'"{getpass.getuser()}"', '"eval"'),
    ]
    for found, put in pairs:
        if len(found.strip('"')) > 2:
            text = text.replace(found, put)
    return text


def save(name, text, work):
    """Writes a scrubbed file. Files of more than 15 kB are packed, always to the same bytes."""
    folder = DATA / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    data = scrub(text, work).encode()
    if len(data) > 15_000:
        name += ".gz"
        (DATA / name).write_bytes(gzip.compress(data, 9, mtime=0))
    else:
        folder.write_bytes(data)
    return name.split("/", 1)[1]
