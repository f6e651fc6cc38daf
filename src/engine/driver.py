"""Runs the tasks of a sluice job on Apache Spark, or on a server of Spark Connect such as Sail.

`sluice layer|replay --engine spark|sail` writes this file beside a job and starts it. To submit it yourself:

    spark-submit driver.py --job job.json --units units.txt --out blocks.bin

Each task starts the program `sluice kernel`, which reads an Arrow stream and writes one. Rows are blocks
of bytes that only sluice understands, so the engine moves them and computes nothing.
"""

import argparse
import fcntl
import json
import os
import shutil
import signal
import struct
import sys
import threading
import time
import traceback

BLOCKS = "partition int, kind int, block binary"
# The kinds of a note, and of a block with the sums of a partition.
NOTE = 0
SUMS = 3
# Seconds for the end of a session: of a job that is done, and of one that failed or is given up.
STOP_SECS = 30
GRACE_SECS = 5
# Set when the job is given up.
GIVEN_UP = threading.Event()


def task(job_text, work, kind, program, more=()):
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
        # Files without names: nothing of a killed task is left.
        with tempfile.TemporaryFile() as job, tempfile.TemporaryFile() as log:
            job.write(job_text.encode())
            job.flush()
            job.seek(0)
            named = f"/dev/fd/{job.fileno()}"
            command = [path, "--threads", "1", "kernel", work, "--job", named, "--task", kind, *more]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
            try:
                process = subprocess.Popen(command, pass_fds=[job.fileno()], **pipes)
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


def stop_all(stop):
    """Stops the session: each step once, the newest first."""
    while stop:
        try:
            stop.pop()()
        except Exception as error:
            print(f"the session did not stop well: {error}", file=sys.stderr)


def leave(code, folder=None):
    """Ends this process, whatever its threads do. The client of Spark Connect has threads that try for
    ten minutes to reach a server that is gone, and the end of Python waits for them."""
    if folder and os.path.exists(os.path.join(folder, "alive")):
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def leave_after(seconds, code, folder=None):
    timer = threading.Timer(seconds, leave, [code, folder])
    timer.daemon = True
    timer.start()


def give_up(stop, folder):
    """Stops the session and ends this process, within some seconds. Removes the folder of the job."""
    if GIVEN_UP.is_set():
        return
    GIVEN_UP.set()
    leave_after(GRACE_SECS, 1, folder)
    stop_all(stop)
    leave(1, folder)


def watch(folder, stop):
    """Gives the job up when the sluice that started it is gone. As long as that program lives and wants
    the job, it holds the lock of a file."""

    def wait():
        try:
            with open(os.path.join(folder, "alive"), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
        finally:
            give_up(stop, folder)

    threading.Thread(target=wait, daemon=True).start()


def obey_signals(stop, folder):
    """Gives the job up on SIGINT and SIGTERM, whatever the main thread does. An exception in it would
    not do: clients of engines catch it, and try again for minutes."""

    def obey(number, _):
        print(f"the driver is stopped by signal {number}", file=sys.stderr)
        threading.Thread(target=give_up, args=[stop, folder], daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, obey)


def report(folder, done, total):
    """Writes the number of tasks that have ended for sluice, which shows it."""
    part = os.path.join(folder, "progress.part")
    with open(part, "w", encoding="utf-8") as file:
        json.dump({"done": min(done, total), "total": total}, file)
    os.replace(part, os.path.join(folder, "progress"))


def session(job, stop):
    """The session of the engine. What must be stopped at the end is added to `stop`."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("sluice " + job["name"])
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
    stop.append(spark.stop)
    # A batch of blocks has to stay far below the 2 GB of an Arrow column.
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "1024" if job["tables"] else "128")
    if job["tables"]:
        # Batches of rows have more of them. Spark before 4.1 has no limit of bytes.
        spark.conf.set("spark.sql.execution.arrow.maxBytesPerBatch", str(32 << 20))
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    if job["ship"]:
        spark.sparkContext.addFile(job["program"])
    return spark


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


class Tasks:
    """The tasks that are known and those that have ended. Reports them in a folder, if there is one."""

    def __init__(self, spark, folder):
        self.folder = folder
        self.done = self.total = 0
        self.is_connect = type(spark).__module__.startswith("pyspark.sql.connect")
        if folder and not self.is_connect:
            self.follow(spark)

    def expect(self, n_tasks):
        self.total += n_tasks
        self.report(self.done)

    def end(self, n_tasks):
        """Counts ended tasks. Apache Spark counts them itself."""
        if self.is_connect:
            self.done += n_tasks
            self.report(self.done)

    def report(self, done):
        if self.folder:
            report(self.folder, done, self.total)

    def follow(self, spark):
        """Reports the tasks of Apache Spark, in a thread."""
        tracker = spark.sparkContext.statusTracker()

        def loop():
            try:
                while True:
                    jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup()]
                    stages = {stage for job in jobs if job for stage in job.stageIds}
                    infos = [tracker.getStageInfo(stage) for stage in stages]
                    infos = [info for info in infos if info and (info.numActiveTasks or info.numCompletedTasks)]
                    keys = ("numCompletedTasks", "numTasks")
                    done, known = (sum(getattr(info, key) for info in infos) for key in keys)
                    # How many tasks read a table is known when they have begun.
                    self.total = max(self.total, known)
                    self.report(done)
                    time.sleep(0.5)
            except Exception:
                pass  # The session has ended.

        threading.Thread(target=loop, daemon=True).start()


def layered(spark, job, units, tasks):
    """The rows of the last pass of a layering. Quotas need passes of counts before it."""
    while True:
        tasks.expect(job["n_tasks"])
        rows = (
            spark.createDataFrame(units, "unit string")
            .repartition(job["n_tasks"])
            .mapInArrow(task(json.dumps(job), "layer", "read", job["program"]), BLOCKS)
        )
        facts = job["work"]["layer"]["facts"]
        if "write" in facts["pass"]:
            return rows
        counts = rows.collect()
        tasks.end(job["n_tasks"])
        job["work"]["layer"]["facts"] = next_pass(job, counts)


def open_table(spark, table):
    """A table of the log, as the engine reads it."""
    if table["table"]:
        return spark.table(table["table"])
    return spark.read.parquet(table["path"])


def describe(args, job, stop):
    """Writes the columns of the log's tables, each as an Arrow stream without rows."""
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_type

    def arrow_type(of):
        try:
            return to_arrow_type(of, timezone="UTC")
        except TypeError:
            return to_arrow_type(of)  # PySpark before 4.1, which always takes UTC.

    spark = session(job, stop)
    for idx, table in enumerate(job["tables"]):
        fields = []
        for field in open_table(spark, table).schema.fields:
            try:
                fields.append(pa.field(field.name, arrow_type(field.dataType)))
            except Exception:
                pass  # Arrow has no such type, so no task can get the column.
        with open(os.path.join(args.describe, f"table-{idx}.arrow"), "wb") as out:
            pa.ipc.new_stream(out, pa.schema(fields)).close()


def rows_of_log(spark, job, shipped):
    """Blocks of the rows of the log's tables."""
    from pyspark.sql import functions

    for idx, table in enumerate(job["tables"]):
        columns = [functions.col("`" + name.replace("`", "``") + "`") for name in table["columns"]]
        run = task(shipped, "replay", "rows", job["program"], ["--table", str(idx)])
        yield open_table(spark, table).select(*columns).mapInArrow(run, BLOCKS)


def replayed(spark, job, units, tasks):
    """The rows of a replay: parts are read, and the blocks of each partition are joined."""
    shipped, n_partitions = json.dumps(job), job["work"]["replay"]["facts"]["n_partitions"]
    tasks.expect(job["n_tasks"] + n_partitions)
    blocks = (
        spark.createDataFrame(units, "unit string")
        .repartition(job["n_tasks"])
        .mapInArrow(task(shipped, "replay", "read", job["program"]), BLOCKS)
    )
    for rows in rows_of_log(spark, job, shipped):
        blocks = blocks.union(rows)
    return (
        blocks
        .repartition(n_partitions, "partition")
        .mapInArrow(task(shipped, "replay", "join", job["program"]), BLOCKS)
    )


def run(args, job, stop):
    """Runs the tasks, and writes the blocks of the last ones to a file."""
    with open(args.units, encoding="utf-8") as file:
        units = [(line,) for line in file.read().splitlines()]
    # Executors need no settings of the session, which may hold secrets.
    shipped = {**job, "conf": [], "submit": []}
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = session(job, stop)
    if job["engine"] == "sail" and not job["master"]:
        # A server in this process starts all tasks of a stage at once, whatever their number.
        shipped["n_tasks"] = min(job["n_tasks"], os.cpu_count() or 1)
    tasks = Tasks(spark, args.watch)
    is_layer = "layer" in job["work"]
    blocks = (layered if is_layer else replayed)(spark, shipped, units, tasks)
    if not tasks.is_connect:
        from pyspark import StorageLevel

        # The iterator would run the last tasks one after the other.
        blocks = blocks.persist(StorageLevel.DISK_ONLY)
        blocks.count()
    part = args.out + ".part"
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        n_before = 0 if is_layer else shipped["n_tasks"]
        for partition, kind, block in blocks.toLocalIterator():
            out.write(struct.pack("<iiQ", partition, kind, len(block)))
            out.write(block)
            # Each task of a layering ends with a note, and each join with the sums of a partition.
            if kind == (NOTE if is_layer else SUMS):
                tasks.end(1 + n_before)
                n_before = 0
    os.replace(part, args.out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", required=True, help="the job, from sluice")
    parser.add_argument("--units", help="parts of the inputs, a line each")
    parser.add_argument("--out", help="file for the resulting blocks")
    parser.add_argument("--describe", metavar="DIR", help="write the columns of the log's tables to this folder")
    parser.add_argument("--watch", metavar="DIR", help="private folder of a sluice that waits for this driver")
    args = parser.parse_args()
    if not args.describe and not (args.units and args.out):
        parser.error("expected --units and --out, or --describe")
    with open(args.job, encoding="utf-8") as file:
        job = json.load(file)
    stop = []
    # A process that others started, such as one of Databricks, must not be ended from here.
    is_own = bool(args.watch) or job["engine"] == "sail" and not job["master"]
    if is_own:
        obey_signals(stop, args.watch)
    if args.watch:
        watch(args.watch, stop)
    code = 1
    try:
        (describe if args.describe else run)(args, job, stop)
        code = 0
    except BaseException:
        if not is_own:
            raise
        traceback.print_exc()
    finally:
        if is_own:
            leave_after(GRACE_SECS if code else STOP_SECS, code)
        stop_all(stop)
    if GIVEN_UP.is_set():
        threading.Event().wait()
    if is_own:
        leave(code)


if __name__ == "__main__":
    main()
