#!/usr/bin/env python3
"""The program against S3 (moto) and three engines (DuckDB, ClickHouse, DataFusion).

usage: engines.py PROGRAM CRASHDIR [--index DIR]

Ships crash directories made from CRASHDIR, indexes them and asks; then runs every question in every engine
and compares the rows. With --index DIR: asks and times the questions over the index in that directory only.
Prints "N passed, N failed". Needs the wheels of requirements.txt.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

M = ["%032x" % n for n in (1, 2, 3)]
passed, failed = 0, 0


def check(name, good, detail=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print(f"FAILED  {name}: {detail}"[:2000], flush=True)


def crash(real, store, node, stamp, signature, functions, core=b"not a core\n", verdict="complete"):
    """Makes a crash directory as the capture kernel leaves it."""
    at = store / f"{node}-{stamp}"
    at.mkdir(parents=True, mode=0o700)
    report = json.loads((real / "report.json").read_text())
    report["reason"]["signature"] = signature
    frame = {"offset": 1, "size": 2, "module": None, "reliable": True}
    report["reason"]["signature_frames"] = [dict(frame, function=name) for name in functions]
    report["reason"]["culprit"] = dict(frame, function=functions[0], module="acme")
    report["system"]["uts"]["nodename"] = node
    files = {
        "report.json": json.dumps(report).encode(),
        "report.txt": (real / "report.txt").read_bytes(),
        "vmcore.elf.zst": core,
    }
    manifest = json.loads((real / "manifest.json").read_text())
    manifest["signature"] = signature
    manifest["verdict"] = verdict
    if verdict != "complete":
        manifest["soft_errors"] = ["vmcore.elf.zst: no space left on the target"]
    manifest["files"] = []
    for name, content in files.items():
        (at / name).write_bytes(content)
        entry = {"name": name, "size": len(content)}
        if not name.startswith("vmcore"):
            entry["sha256"] = hashlib.sha256(content).hexdigest()
        manifest["files"].append(entry)
    (at / "manifest.json").write_text(json.dumps(manifest))
    for name in os.listdir(at):
        (at / name).chmod(0o600)
    return at


class S3:
    """moto's server on a free port."""

    def __init__(self, log):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.server = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        os.environ.update(
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{self.port}",
            AWS_ALLOW_HTTP="true",
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",
            AWS_REGION="us-east-1",
        )
        import boto3

        self.client = boto3.client(
            "s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1"
        )
        self.client.create_bucket(Bucket="crashes")

    def keys(self, prefix=""):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="crashes", Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def close(self):
        self.server.terminate()
        self.server.wait()


class Fleet:
    """The program."""

    def __init__(self, program, home):
        self.program = program
        self.env = dict(
            os.environ, AFTERPANIC_PYTHON=sys.executable, HOME=str(home), PATH="/usr/bin:/bin"
        )

    def run(self, *words, want=0):
        done = subprocess.run(
            [self.program, *map(str, words)], env=self.env, capture_output=True, text=True, timeout=600
        )
        check(" ".join(map(str, words[:2])), done.returncode == want, f"{done.returncode} {done.stderr}")
        return done

    def json(self, *words, want=0):
        return json.loads(self.run(*words, "--json", want=want).stdout or "{}")


def over_s3(fleet, s3, real, work):
    """Two crashes with one bug, one with another; an interrupted run; a second index."""
    bucket = "s3://crashes/fleet"
    one, other = "null-deref:acme_poll:9f3c21", "bug:acme_put:0a1b2c"
    crash(real, work / "a", "web-1", "20261128T010203Z", one, ["acme_poll", "do_poll", "sys_poll"])
    crash(real, work / "b", "web-2", "20261129T020304Z", one, ["acme_poll", "do_poll", "sys_poll"])
    large = os.urandom(24 << 20)
    crash(real, work / "c", "web-3", "20261129T030405Z", other, ["acme_put", "do_poll", "vfs_write"],
          core=large, verdict="incomplete")
    fleet.run("ship", work / "a", "--to", bucket, "--machine", M[0])
    fleet.run("ship", work / "b", "--to", bucket, "--machine", M[1])
    # Killed in the middle of the core.
    words = ["ship", work / "c", "--to", bucket, "--machine", M[2], "--cores", "--allow-unsealed"]
    slow = subprocess.Popen([fleet.program, *map(str, words), "--rate", "4M"], env=fleet.env)
    time.sleep(3)
    slow.send_signal(signal.SIGKILL)
    slow.wait()
    there = [key for key in s3.keys() if M[2] in key]
    check("an interrupted run leaves no manifest", not any("manifest.json" in key for key in there), there)
    first = fleet.json("index", bucket)
    check("what has not arrived is not indexed", first["added"] == 2, first)
    fleet.run(*words)
    key = f"fleet/v1/crashes/dt=2026-11-29/{M[2]}/web-3-20261129T030405Z/vmcore.elf.zst"
    core = s3.client.get_object(Bucket="crashes", Key=key)["Body"].read()
    check("the core is the same", core == large)
    again = fleet.json("ship", work / "c", "--to", bucket, "--machine", M[2], "--cores", "--allow-unsealed")
    check("a second run sends nothing", again["bytes"] == 0 and again["there"] == 1, again)
    second = fleet.json("index", bucket)
    check("the rest is indexed", (second["added"], second["known"]) == (1, 2), second)
    third = fleet.json("index", bucket)
    check("nothing old is read", (third["added"], third["known"]) == (0, 3), third)
    top = fleet.json("top", "--bucket", bucket)["rows"]
    check("top", [row[:3] for row in top] == [[one, 2, 2], [other, 1, 1]], top)
    fleet.run("fetch", other, work / "fetched", "--core", "--bucket", bucket)
    check("fetch", (work / "fetched/vmcore.elf.zst").read_bytes() == large)
    shown = fleet.run("top", "--bucket", bucket).stdout
    check("a table", shown.splitlines()[1].startswith(one), shown)
    # Wrong credentials, no bucket, no network: one sentence each.
    for name, env, said in [
        ("no network", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "no connection to the server"),
        ("no bucket", {}, "no such bucket"),
    ]:
        to = "s3://missing/x" if name == "no bucket" else bucket
        done = subprocess.run([fleet.program, "ship", work / "a", "--to", to, "--machine", M[0]],
                              env=dict(fleet.env, **env), capture_output=True, text=True)
        good = done.returncode in (1, 4) and said in done.stderr and len(done.stderr.splitlines()) == 1
        check(name, good, done.stderr)
    # A key that is no path hides nothing but itself.
    for key in ["fleet/v1/crashes/dt=2026-11-28/%s//x" % M[1], "fleet/v1/crashes/dt=2026-11-29/../x"]:
        s3.client.put_object(Bucket="crashes", Key=key, Body=b"x")
    crash(real, work / "d", "web-4", "20261128T040506Z", other, ["acme_put"])
    fleet.run("ship", work / "d", "--to", bucket, "--machine", "%032x" % 4)
    hostile = fleet.json("index", bucket, want=4)
    check("a hostile key", hostile["added"] == 1, hostile)


def plain(value):
    """A value as every engine has it."""
    if value is None or value != value:
        return None
    if isinstance(value, (int, float)):
        return round(float(value), 2)
    text = str(value)
    text = re.sub(r"(\d\d:\d\d:\d\d)\.0+$", r"\1", text)
    return text


class Engines:
    """Three engines over the same files."""

    def __init__(self, files):
        import datafusion
        import duckdb
        import pyarrow
        from chdb import session

        self.files = [str(file) for file in files]
        # The index's folder: day folders are below it.
        folder = str(pathlib.Path(self.files[0]).parent.parent)
        self.duck = duckdb.connect()
        self.duck.execute(f"CREATE VIEW crashes AS SELECT * FROM read_parquet({self.files})")
        self.fusion = datafusion.SessionContext()
        self.fusion.register_parquet("crashes", folder, table_partition_cols=[("dt", pyarrow.string())])
        self.click = session.Session()
        self.click.query(f"CREATE VIEW crashes AS SELECT * FROM file('{folder}/dt=*/part-*.parquet', Parquet)")

    def ask(self, name, sql):
        if name == "duckdb":
            return self.duck.execute(sql).fetchall()
        if name == "datafusion":
            table = self.fusion.sql(sql).to_arrow_table()
            return list(zip(*[column.to_pylist() for column in table.columns])) if table.num_rows else []
        text = str(self.click.query(sql, "JSONCompactEachRow"))
        return [json.loads(line) for line in text.splitlines() if line]

    def compare(self, questions, times=False):
        for question, sql in questions.items():
            answers = {}
            for engine in ("duckdb", "clickhouse", "datafusion"):
                begun = time.monotonic()
                try:
                    rows = self.ask(engine, sql)
                except Exception as error:  # an engine's own kind
                    check(f"{question} in {engine}", False, error)
                    continue
                took = time.monotonic() - begun
                answers[engine] = [[plain(value) for value in row] for row in rows]
                if times:
                    print(f"| `{question}` | {engine} | {len(rows)} | {took:.2f} s |", flush=True)
            first = answers.get("duckdb")
            for engine, rows in answers.items():
                check(f"{question} in {engine} as in duckdb", rows == first, f"{rows}\n{first}")
            check(f"{question} has rows", bool(first), first)


def questions(fleet, signature, machine):
    """Every question, filled by the program."""
    words = {
        "top": [], "new": ["--since", "2026-01-01"], "regressions": [], "machine": ["--machine", machine],
        "signature": ["--signature", signature], "arrivals": [], "modules": [],
        "similar": ["--signature", signature],
    }
    return {name: fleet.run(name, *more, "--print-sql").stdout.rstrip().rstrip(";")
            for name, more in words.items()}


def in_engines(fleet, real, work):
    """Every question over a small index in a directory."""
    bucket = work / "bucket"
    for n in range(40):
        bug = n % 7
        names = [f"fn_{bug}", f"fn_{bug + 1}", "vfs_write"]
        crash(real, work / f"m{n % 5}", f"web-{n % 5}", f"202611{10 + n % 15:02}T0{n % 10}0203Z" if n < 10
              else f"202611{10 + n % 15:02}T{10 + n % 13}{n:02}03Z", f"bug:fn_{bug}:{bug:06x}", names,
              verdict="incomplete" if n % 9 == 0 else "complete")
    for n in range(5):
        fleet.run("ship", work / f"m{n}", "--to", bucket, "--machine", "%032x" % n)
    done = fleet.json("index", bucket)
    check("forty crashes", done["added"] == 40, done)
    engines = Engines(sorted(bucket.glob("v1/index/*/*.parquet")))
    engines.compare(questions(fleet, "bug:fn_1:000001", "web-1"))
    mine = fleet.json("modules", "--bucket", bucket)["rows"]
    check("modules", mine[0][:2] == ["acme", 40], mine)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("crash", type=pathlib.Path)
    arguments.add_argument("--index", type=pathlib.Path, help="compare and time over this index instead")
    options = arguments.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-"))
    fleet = Fleet(options.program, work)
    try:
        if options.index:
            files = sorted(options.index.glob("v1/index/*/*.parquet"))
            engines = Engines(files)
            node = engines.ask("duckdb", "SELECT min(node) FROM crashes")[0][0]
            engines.compare(questions(fleet, "bug:fn_1:000001", node), times=True)
        else:
            with open(work / "moto.log", "w") as log:
                s3 = S3(log)
                fleet.env.update({k: v for k, v in os.environ.items() if k.startswith("AWS_")})
                try:
                    over_s3(fleet, s3, options.crash, work)
                finally:
                    s3.close()
            in_engines(fleet, options.crash, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
