#!/usr/bin/env python3
"""Every question of sql/ in four engines, over the same index: DuckDB, ClickHouse (chdb), DataFusion and Spark.

usage: engines.py PROGRAM [--rows N] [--index DIR] [--without ENGINE]

Makes an index of 40 crashes, compares the rows of every question, then an index of N rows (a million) and compares and
times again. Spark is distributed: a master and two workers, each a process of its own with one core (local-cluster).
With --index DIR: that index instead of both. Prints "N passed, N failed". Needs the packages of
requirements-full.txt, and Java for Spark.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from kit import Fleet, check, crash, finish

HERE = pathlib.Path(__file__).parent
NAMES = ["duckdb", "clickhouse", "datafusion", "spark"]


def plain(value):
    """A value as every engine has it."""
    if value is None or value != value:
        return None
    if isinstance(value, (int, float)):
        return round(float(value), 2)
    text = str(value)
    return re.sub(r"(\d\d:\d\d:\d\d)\.0+$", r"\1", text)


class DuckDb:
    def __init__(self, folder):
        import duckdb

        self.session = duckdb.connect()
        files = f"'{folder}/dt=*/part-*.parquet'"
        self.session.execute(
            f"CREATE VIEW crashes AS SELECT * FROM read_parquet({files}, hive_partitioning = false)"
        )

    def ask(self, sql):
        return self.session.execute(sql).fetchall()


class ClickHouse:
    def __init__(self, folder):
        from chdb import session

        self.session = session.Session()
        self.session.query(f"CREATE VIEW crashes AS SELECT * FROM file('{folder}/dt=*/part-*.parquet', Parquet)")

    def ask(self, sql):
        text = str(self.session.query(sql, "JSONCompactEachRow"))
        return [json.loads(line) for line in text.splitlines() if line]


class DataFusion:
    def __init__(self, folder):
        import datafusion
        import pyarrow

        self.session = datafusion.SessionContext()
        self.session.register_parquet("crashes", folder, table_partition_cols=[("dt", pyarrow.string())])

    def ask(self, sql):
        table = self.session.sql(sql).to_arrow_table()
        return list(zip(*[column.to_pylist() for column in table.columns])) if table.num_rows else []


class Spark:
    """As docs/fleet.md says: a table over the folder, and `explode` for `unnest`."""

    session = None

    def __init__(self, folder):
        import pyspark
        from pyspark.sql import SparkSession

        home = os.path.dirname(pyspark.__file__)
        os.environ.update(SPARK_HOME=home, PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
        made = SparkSession.builder.master("local-cluster[2,1,1536]").appName("fleet")
        for key, value in {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.executor.memory": "1024m",
            "spark.sql.shuffle.partitions": "4",
            "spark.sql.session.timeZone": "UTC",
            "spark.log.level": "ERROR",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
        }.items():
            made = made.config(key, value)
        self.session = made.getOrCreate()
        Spark.session = self.session
        self.session.sql(f"CREATE OR REPLACE TEMPORARY VIEW crashes USING parquet OPTIONS (path '{folder}')")

    def ask(self, sql):
        return [tuple(row) for row in self.session.sql(sql.replace("unnest(", "explode(")).collect()]

    @staticmethod
    def executors():
        """Processes that did the work, without this one."""
        status = Spark.session.sparkContext._jsc.sc().getExecutorMemoryStatus()
        return status.size() - 1


ENGINES = {"duckdb": DuckDb, "clickhouse": ClickHouse, "datafusion": DataFusion, "spark": Spark}


def compare(folder, names, questions, times=False):
    """Asks every engine and compares each with the first."""
    engines = {name: ENGINES[name](folder) for name in names}
    for question, sql in questions.items():
        answers, took = {}, {}
        for name, engine in engines.items():
            begun = time.monotonic()
            try:
                rows = engine.ask(sql)
            except Exception as error:  # an engine's own kind
                check(f"{question} in {name}", False, error)
                continue
            took[name] = time.monotonic() - begun
            answers[name] = [[plain(value) for value in row] for row in rows]
        first = answers.get(names[0])
        for name, rows in answers.items():
            check(f"{question} in {name} as in {names[0]}", rows == first, f"{rows}\n{first}")
        check(f"{question} has rows", bool(first), first)
        if times:
            row = " | ".join(f"{took.get(name, float('nan')):.1f}" for name in names)
            print(f"| `{question}` | {row} |", flush=True)
    if "spark" in engines:
        check("two workers did Spark's part", Spark.executors() == 2, Spark.executors())
    return engines


def filled(fleet, signature, machine):
    """Every question, filled by the program."""
    words = {
        "top": [], "new": ["--since", "2026-01-01"], "regressions": [], "machine": ["--machine", machine],
        "signature": ["--signature", signature], "arrivals": [], "modules": [],
        "similar": ["--signature", signature],
    }
    return {name: fleet.run(name, *more, "--print-sql").stdout.rstrip().rstrip(";")
            for name, more in words.items()}


def small(fleet, names, work):
    """Forty crashes that were shipped and indexed."""
    bucket = work / "bucket"
    for n in range(40):
        bug = n % 7
        stack = [f"fn_{bug}", f"fn_{bug + 1}", "vfs_write"]
        hour = f"0{n}02" if n < 10 else f"{10 + n % 13}{n:02}"
        crash(work / f"m{n % 5}", f"web-{n % 5}", f"202611{10 + n % 15:02}T{hour}03Z", f"bug:fn_{bug}:{bug:06x}",
              stack, verdict="incomplete" if n % 9 == 0 else "complete")
    for n in range(5):
        fleet.run("ship", work / f"m{n}", "--to", bucket, "--machine", "%032x" % n)
    done = fleet.json("index", bucket)
    check("forty crashes", done["added"] == 40, done)
    compare(bucket / "v1/index", names, filled(fleet, "bug:fn_1:000001", "web-1"))
    mine = fleet.json("modules", "--bucket", bucket)["rows"]
    check("modules", mine[0][:2] == ["acme", 40], mine)


def large(fleet, names, work, rows):
    """An index of so many rows, out of a twentieth as many crashes."""
    few, many = work / "few", work / "many"
    run = lambda *words: subprocess.run([sys.executable, *map(str, words)], check=True)
    run(HERE / "vary.py", few, rows // 20)
    done = fleet.json("index", few)
    check("every varied crash is indexed", done["added"] == rows // 20, done)
    run(HERE / "multiply.py", few, many, 20)
    shutil.rmtree(few)
    over(fleet, names, many, rows)


def over(fleet, names, bucket, rows=None):
    folder = bucket / "v1/index"
    duck = DuckDb(folder)
    count, node = duck.ask("SELECT count(*), min(node) FROM crashes")[0]
    check(f"{count} rows", rows in (None, count), rows)
    print(f"{count} rows\n| question | {' | '.join(names)} |", flush=True)
    compare(folder, names, filled(fleet, "bug:fn_1:000001", node), times=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--index", type=pathlib.Path)
    arguments.add_argument("--without", action="append", default=[], choices=NAMES)
    options = arguments.parse_args()
    names = [name for name in NAMES if name not in options.without]
    work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-"))
    fleet = Fleet(options.program, work)
    try:
        if options.index:
            over(fleet, names, options.index)
        else:
            small(fleet, names, work)
            if options.rows:
                large(fleet, names, work, options.rows)
    finally:
        if Spark.session is not None:
            Spark.session.stop()
        shutil.rmtree(work, ignore_errors=True)
    return finish()


if __name__ == "__main__":
    sys.exit(main())
