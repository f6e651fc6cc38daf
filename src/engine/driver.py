"""Runs the tasks of a sluice job on Apache Spark, or on a server of Spark Connect such as Sail.

`sluice layer|replay --engine spark|sail` writes this file beside a job and starts it. To submit it yourself:

    spark-submit driver.py --job job.json --units units.txt --out blocks.bin

Each task starts the program `sluice kernel`, which reads an Arrow stream and writes one. Rows are blocks
of bytes that only sluice understands, so the engine moves them and computes nothing.
"""

import argparse
import json
import os
import struct
import sys

BLOCKS = "partition int, kind int, block binary"


def task(job_text, work, kind, program):
    """The function that Spark applies to the Arrow batches of one task."""

    def run(batches):
        import errno
        import os
        import platform
        import stat
        import subprocess
        import tempfile
        import threading

        import pyarrow as pa

        batches = iter(batches)
        first = next(batches, None)
        if first is None:
            return
        path = program
        if not os.path.exists(path):
            try:
                from pyspark import SparkFiles

                path = SparkFiles.get(os.path.basename(program))
            except Exception:
                pass  # Engines without shipped files.
        if not os.path.exists(path):
            raise RuntimeError(f"sluice: executor {platform.node()} has no program {program}: "
                               "name it with --program, or ship it with --submit '... --files PATH'")
        if not os.access(path, os.X_OK):
            os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            job = os.path.join(folder, "job.json")
            with open(os.open(job, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(job_text)
            log = open(os.path.join(folder, "log"), "w+b")
            command = [path, "--threads", "1", "kernel", work, "--job", job, "--task", kind]
            try:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
            except OSError as error:
                if error.errno == errno.ENOEXEC:
                    raise RuntimeError(f"sluice: {path} is not for the architecture of executor "
                                       f"{platform.node()}, which is {platform.machine()}") from error
                raise
            failed = []

            def feed():
                try:
                    with pa.ipc.new_stream(process.stdin, first.schema) as stream:
                        stream.write_batch(first)
                        for batch in batches:
                            stream.write_batch(batch)
                except BrokenPipeError:
                    pass  # The exit code says why the program ended.
                except BaseException as error:
                    failed.append(error)
                finally:
                    try:
                        process.stdin.close()
                    except OSError:
                        pass

            feeder = threading.Thread(target=feed, daemon=True)
            feeder.start()
            try:
                broken = None
                try:
                    yield from pa.ipc.open_stream(process.stdout)
                except (pa.ArrowInvalid, OSError) as error:
                    broken = error
                code = process.wait()
                feeder.join()
                if failed:
                    raise failed[0]
                if code != 0 or broken is not None:
                    log.seek(0)
                    text = log.read()[-4000:].decode("utf-8", "replace").strip()
                    raise RuntimeError(f"sluice: code {code}: executor {platform.node()}: {text or broken}")
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                process.stdout.close()
                log.close()

    return run


def reach(address):
    """Fails at once if a server is not there. The client of Spark Connect would try for minutes."""
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname, parts.port or 15002), timeout=20).close()
    except OSError as error:
        raise RuntimeError(f"sluice: no server of Spark Connect at {parts.hostname}:{parts.port or 15002}: {error}")


def session(job):
    """The session of the engine, and what must be stopped at the end."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("sluice " + job["name"])
    stop = []
    if job["engine"] == "sail" and not job["master"]:
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        stop.append(server.stop)
        builder = builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}")
    elif job["master"].startswith("sc://"):
        reach(job["master"])
        builder = builder.remote(job["master"])
    elif job["master"]:
        builder = builder.master(job["master"])
    for key, value in job["conf"]:
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    # A batch of blocks has to stay far below the 2 GB of an Arrow column.
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "128")
    if job["ship"]:
        spark.sparkContext.addFile(job["program"])
    return spark, stop


def own_program(job):
    """The program on this machine."""
    for path in (job["own"], job["program"]):
        if os.access(path, os.X_OK):
            return path
    raise RuntimeError(f"sluice: the machine of the driver has no program {job['program']}: "
                       "it joins the counts of quotas")


def next_pass(job, blocks):
    """The facts of the pass after one of counts, which the program computes from all blocks."""
    import subprocess
    import tempfile

    import pyarrow as pa

    types = {"partition": pa.int32(), "kind": pa.int32(), "block": pa.binary()}
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        path = os.path.join(folder, "job.json")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(job, file)
        command = [own_program(job), "kernel", "layer", "--job", path, "--task", "cut"]
        with tempfile.TemporaryFile() as counts, tempfile.TemporaryFile() as log:
            with pa.ipc.new_stream(counts, pa.schema(list(types.items()))) as stream:
                for row in blocks:
                    columns = [pa.array([value], type=of) for value, of in zip(row, types.values())]
                    stream.write_batch(pa.record_batch(columns, names=list(types)))
            counts.seek(0)
            ended = subprocess.run(command, stdin=counts, stdout=subprocess.PIPE, stderr=log, check=False)
            if ended.returncode != 0:
                log.seek(0)
                text = log.read()[-4000:].decode("utf-8", "replace").strip()
                raise RuntimeError(f"sluice: code {ended.returncode}: the driver: {text}")
            return json.loads(ended.stdout)


def layered(spark, job, units):
    """The rows of the last pass of a layering. Quotas need passes of counts before it."""
    while True:
        rows = (
            spark.createDataFrame(units, "unit string")
            .repartition(job["n_tasks"])
            .mapInArrow(task(json.dumps(job), "layer", "read", job["program"]), BLOCKS)
        )
        facts = job["work"]["layer"]["facts"]
        if "write" in facts["pass"]:
            return rows
        job["work"]["layer"]["facts"] = next_pass(job, rows.collect())


def replayed(spark, job, units):
    """The rows of a replay: parts are read, and the blocks of each partition are joined."""
    shipped, n_partitions = json.dumps(job), job["work"]["replay"]["facts"]["n_partitions"]
    return (
        spark.createDataFrame(units, "unit string")
        .repartition(job["n_tasks"])
        .mapInArrow(task(shipped, "replay", "read", job["program"]), BLOCKS)
        .repartition(n_partitions, "partition")
        .mapInArrow(task(shipped, "replay", "join", job["program"]), BLOCKS)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", required=True, help="the job, from sluice")
    parser.add_argument("--units", required=True, help="parts of the inputs, a line each")
    parser.add_argument("--out", required=True, help="file for the resulting blocks")
    args = parser.parse_args()
    with open(args.job, encoding="utf-8") as file:
        job = json.load(file)
    with open(args.units, encoding="utf-8") as file:
        units = [(line,) for line in file.read().splitlines()]
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark, stop = session(job)
    try:
        # Executors need no settings of the session, which may hold secrets.
        shipped = {**job, "conf": [], "submit": []}
        blocks = (layered if "layer" in job["work"] else replayed)(spark, shipped, units)
        part = args.out + ".part"
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            for partition, kind, block in blocks.toLocalIterator():
                out.write(struct.pack("<iiQ", partition, kind, len(block)))
                out.write(block)
        os.replace(part, args.out)
    finally:
        try:
            spark.stop()
        finally:
            for end in stop:
                end()


if __name__ == "__main__":
    main()
