"""Compares publishing assignments with psql's own COPY of the same rows. This script starts and
stops the PostgreSQL server.

    apt-get install postgresql && pip install pyarrow numpy
    cargo build --release
    python3 benches/peers/postgres.py                    # 10 million users, ids in random order
    python3 benches/peers/postgres.py --users 1000000 --program PATH_OF_SLUICE

The cases take turns, each after a checkpoint, and the smallest time of --runs is shown:
- `sluice publish` over one and two connections: copy, primary key, statistics and the switch;
- `\\copy` of the binary rows into a table without a key, into a table with the primary key, and
  into a table that gets the key afterwards.
Every table is logged, so a crash loses nothing.
"""

import argparse
import glob
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COLUMNS = (
    'tenant_id text collate "C" not null, user_id text collate "C" not null, layer_id text not null, '
    "eligible boolean not null, score real not null"
)
KEY = "primary key (user_id, tenant_id)"


def write_study(folder, n_users):
    rng = np.random.default_rng(1)
    order = rng.permutation(n_users)
    layers = np.array(["early", "regular", "high_value", "vip"])
    writer = None
    for first in range(0, n_users, 1_000_000):
        part = order[first : first + 1_000_000]
        table = pa.table(
            {
                "user_id": [f"u{user:08d}" for user in part],
                "score": rng.integers(0, 10_001, len(part)) / 10_000,
                "layer": layers[rng.integers(0, 4, len(part))],
                "eligible": rng.random(len(part)) < 0.8,
            }
        )
        writer = writer or pq.ParquetWriter(f"{folder}/layers.parquet", table.schema, compression="zstd", compression_level=1)
        writer.write_table(table, row_group_size=1_000_000)
    writer.close()
    ramp = {"ladder": [0.1, 1], "qos_threshold": 0.8, "qos_floor": 0.6, "dwell_hours": 72, "min_users": 100}
    layer = {"tenant": "default", "layer": "early", "verdict": "promote", "rolled_back": False, "ratio": 0, "next_ratio": 0.1}
    layer |= {"lo_bucket": 0, "hi_bucket": 1000, "first_blocking": None, "reason": "", "earliest_next": 0, "trace": [], "ramp": ramp}
    schedule = {"schema": "sluice.schedule/1", "plan_id": "bench", "baseline": "old", "candidate": "new", "as_of": 0}
    schedule |= {"evidence_digest": "sha256:0", "layers_digest": None, "profile": "sluice", "salt": "bench", "layers": [layer]}
    with open(f"{folder}/schedule.json", "w", encoding="utf-8") as file:
        json.dump(schedule, file)


class Server:
    """A PostgreSQL server that does not run as root, with its own folder."""

    def __init__(self, folder):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        assert found, "hint: apt-get install postgresql"
        self.bin, data = found[-1], f"{folder}/data"
        os.chmod(folder, 0o755)
        os.mkdir(data, 0o700)
        prefix = []
        if os.getuid() == 0:
            shutil.chown(data, "nobody", "nogroup")
            prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        subprocess.run([*prefix, f"{self.bin}/initdb", "-D", data, "-U", "admin", "-A", "trust", "-E", "UTF8"], check=True, stdout=subprocess.DEVNULL)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = ["max_wal_size=8GB", "shared_buffers=1GB", "unix_socket_directories="]
        options = [part for setting in settings for part in ("-c", setting)]
        command = [*prefix, f"{self.bin}/postgres", "-D", data, "-h", "127.0.0.1", "-p", str(self.port), *options]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while subprocess.run([f"{self.bin}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode:
            time.sleep(0.1)

    def sql(self, *commands):
        arguments = [part for command in commands for part in ("-c", command)]
        psql = [f"{self.bin}/psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "admin", "postgres"]
        subprocess.run([*psql, "-c", "set client_min_messages to warning", *arguments], check=True, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--program", default=f"{ROOT}/target/release/sluice")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_study(folder, options.users)
        server = Server(folder)
        try:
            compare(server, folder, options)
        finally:
            server.process.terminate()
            server.process.wait()


def compare(server, folder, options):
    rows = f"{folder}/rows.bin"
    url = f"postgres://admin@127.0.0.1:{server.port}/postgres"

    def publish(n_connections):
        command = [options.program, "publish", folder, "--to", f"{url}?connections={n_connections}", "--all-users"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def raw(key, after):
        server.sql(f"drop table if exists raw; create table raw ({COLUMNS}{key})")
        began = time.monotonic()
        server.sql(f"\\copy raw from '{rows}' (format binary)", *after)
        return time.monotonic() - began

    def timed(step):
        began = time.monotonic()
        step()
        return time.monotonic() - began

    publish(2)
    server.sql(f"\\copy (select tenant_id, user_id, layer_id, eligible, score from sluice.layer_assignment) to '{rows}' (format binary)")
    ways = {
        "sluice publish, 1 connection": lambda: timed(lambda: publish(1)),
        "sluice publish, 2 connections": lambda: timed(lambda: publish(2)),
        "psql \\copy, no key": lambda: raw("", []),
        "psql \\copy, then the key": lambda: raw("", ["set maintenance_work_mem='512MB'", f"alter table raw add {KEY}", "analyze raw"]),
        "psql \\copy, with the key": lambda: raw(f", {KEY}", []),
    }
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(options.runs):
        for name, way in ways.items():
            server.sql("checkpoint")
            least[name] = min(least[name], way())
    best = min(seconds for name, seconds in least.items() if name.startswith("sluice"))
    for name, seconds in least.items():
        print(f"{name:32} {seconds:7.2f} s  {options.users / seconds / 1e6:5.2f} M rows/s  sluice at {seconds / best:6.1%} of its speed")


main()
