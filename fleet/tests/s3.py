#!/usr/bin/env python3
"""The program end to end over S3 (moto): ship, an interrupted ship, index, ask, fetch, and what goes wrong.

usage: s3.py PROGRAM [--crashes DIR] [--site DIR]

The crashes are three folders with a crash directory each, as the laboratory keeps them of real panics: `sysrq` and
`kexec-load` with one bug, `null-deref` with another. Without it they are made from the one in tests/crash.
--site makes the static site there.
Prints "N passed, N failed". Needs the packages of requirements.txt.
"""
import argparse
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from kit import MACHINES as M
from kit import Fleet, Server, check, crash, finish, free_port

BUCKET = "s3://crashes/fleet"


class S3:
    """moto's server, and a client of it."""

    def __init__(self, log, env=None):
        port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
        self.server = Server(command, port, log, env)
        self.env = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        import boto3

        made = {"endpoint_url": self.env["AWS_ENDPOINT_URL"], "region_name": "us-east-1"}
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.client = boto3.client("s3", **made, **keys)
        self.client.create_bucket(Bucket="crashes")

    def keys(self, prefix=""):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="crashes", Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def close(self):
        self.server.close()


def crashes(given, work):
    """Three stores with a crash each, the signatures of both bugs, and whether the panics were real."""
    stores = [work / name for name in "abc"]
    if given is None:
        one, other = "null-deref:acme_poll:9f3c21", "bug:acme_put:0a1b2c"
        stack = ["acme_poll", "do_poll", "sys_poll"]
        crash(stores[0], "web-1", "20261128T010203Z", one, stack)
        crash(stores[1], "web-2", "20261129T020304Z", one, stack)
        at = crash(stores[2], "web-3", "20261129T030405Z", other, ["acme_put", "vfs_write"], os.urandom(24 << 20))
        return stores, [at.name], (one, other)
    signatures = []
    for store, name in zip(stores, ["sysrq", "kexec-load", "null-deref"]):
        shutil.copytree(given / name, store)
        (at,) = store.iterdir()
        signatures.append(json.loads((at / "manifest.json").read_text())["signature"])
    check("two real panics have one signature", signatures[0] == signatures[1], signatures)
    check("the third has another", signatures[2] not in signatures[:2], signatures)
    return stores, [at.name for at in stores[2].iterdir()], (signatures[1], signatures[2])


def over_s3(fleet, s3, work, given):
    """Two crashes with one bug, one with another; an interrupted run; a second index."""
    (a, b, c), (third,), (one, other) = crashes(given, work)
    fleet.run("ship", a, "--to", BUCKET, "--machine", M[0])
    fleet.run("ship", b, "--to", BUCKET, "--machine", M[1])
    # Killed in the middle of the core.
    words = ["ship", c, "--to", BUCKET, "--machine", M[2], "--cores", "--allow-unsealed"]
    (core,) = (c / third).glob("vmcore.*")
    slow = subprocess.Popen(fleet.command(*words, "--rate", max(core.stat().st_size // 6, 1)), env=fleet.env)
    time.sleep(3)
    check("it is still at it", slow.poll() is None)
    slow.send_signal(signal.SIGKILL)
    slow.wait()
    there = [key for key in s3.keys() if M[2] in key]
    check("an interrupted run leaves no manifest", not any("manifest.json" in key for key in there), there)
    first = fleet.json("index", BUCKET)
    check("what has not arrived is not indexed", first["added"] == 2, first)
    fleet.run(*words)
    (key,) = [key for key in s3.keys() if M[2] in key and "/vmcore." in key]
    stored = s3.client.get_object(Bucket="crashes", Key=key)["Body"].read()
    check("the core is the same", stored == core.read_bytes())
    again = fleet.json(*words)
    check("a second run sends nothing", again["bytes"] == 0 and again["there"] == 1, again)
    second = fleet.json("index", BUCKET)
    check("the rest is indexed", (second["added"], second["known"]) == (1, 2), second)
    third = fleet.json("index", BUCKET)
    check("nothing old is read", (third["added"], third["known"]) == (0, 3), third)
    top = fleet.json("top", "--bucket", BUCKET)["rows"]
    check("top", [row[:3] for row in top] == [[one, 2, 2], [other, 1, 1]], top)
    fleet.run("fetch", other, work / "fetched", "--core", "--bucket", BUCKET)
    check("fetch", (work / "fetched" / core.name).read_bytes() == core.read_bytes())
    shown = fleet.run("top", "--bucket", BUCKET).stdout
    query = "SELECT hardware, count(DISTINCT crash) AS n FROM crashes GROUP BY hardware ORDER BY n DESC"
    hardware = fleet.json("sql", query, "--bucket", BUCKET)["rows"]
    check("a query of one's own", sum(row[1] for row in hardware) == 3, hardware)
    check("a table", shown.splitlines()[1].startswith(one), shown)


def hostile(fleet, s3, work):
    """Keys that are no paths hide nothing but themselves."""
    for key in [f"fleet/v1/crashes/dt=2026-11-28/{M[1]}//x", "fleet/v1/crashes/dt=2026-11-29/../x"]:
        s3.client.put_object(Bucket="crashes", Key=key, Body=b"x")
    crash(work / "d", "web-4", "20261128T040506Z", "bug:acme_put:0a1b2c", ["acme_put"])
    fleet.run("ship", work / "d", "--to", BUCKET, "--machine", M[3])
    done = fleet.json("index", BUCKET, want=4)
    check("a hostile key", done["added"] == 1, done)


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers every request as S3 does, with one error."""

    code = None

    def answer(self):
        body = f"<?xml version='1.0'?><Error><Code>{self.code}</Code><Message>No.</Message></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def log_message(self, *_):
        pass


def what_goes_wrong(fleet, work):
    """No network, no bucket, wrong credentials, a wrong clock: one sentence each, and nothing here is lost."""
    crash(work / "e", "web-5", "20261128T050607Z", "bug:acme_put:0a1b2c", ["acme_put"])
    crash(work / "e", "web-5", "20261128T060607Z", "bug:acme_put:0a1b2c", ["acme_put"])
    before = {file: file.read_bytes() for file in (work / "e").rglob("*.*") if file.is_file()}
    words = ["ship", work / "e", "--machine", M[4], "--to"]
    gone = fleet.having(AWS_ENDPOINT_URL="http://127.0.0.1:1")
    gone.complains("no network, ship", "no connection to the server", *words, BUCKET)
    gone.complains("no network, index", "no connection to the server", "index", BUCKET)
    gone.complains("no network, top", "no connection to the server", "top", "--bucket", BUCKET)
    fleet.having(AWS_ENDPOINT_URL="http://no.such.host.invalid").complains(
        "a name that nobody knows", "cannot be resolved", *words, BUCKET)
    fleet.complains("no bucket", "no such bucket", *words, "s3://missing/x")
    checked = S3(work / "moto-auth.log", {"INITIAL_NO_AUTH_ACTION_COUNT": "1"})
    try:
        here = fleet.having(**checked.env)
        here.complains("an unknown key", "does not know the access key", *words, BUCKET)
        here.complains("an unknown key, index", "does not know the access key", "index", BUCKET)
    finally:
        checked.close()
    bare = fleet.having()
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]:
        bare.env.pop(name)
    # No instance has credentials either: their server is this machine's port 1.
    bare.env["AWS_METADATA_ENDPOINT"] = "http://127.0.0.1:1"
    bare.complains("no credentials", "there are no credentials", *words, BUCKET)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    refused = fleet.having(AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_port}")
    for code, said in [
        ("RequestTimeTooSkewed", "clock is too far"),
        ("SignatureDoesNotMatch", "secret key does not fit"),
        ("ExpiredToken", "have expired"),
    ]:
        Refusing.code = code
        refused.complains(f"{code}, ship", said, *words, BUCKET)
        refused.complains(f"{code}, index", said, "index", BUCKET)
        refused.complains(f"{code}, fetch", said, "fetch", "bug:x:1", work / "none", "--bucket", BUCKET)
    # Of what is only forbidden, each crash is named.
    Refusing.code = "AccessDenied"
    done = refused.run(*words, BUCKET, want=1)
    lines = done.stderr.splitlines()
    check("forbidden, ship", len(lines) == 2 and all("may not do that" in line for line in lines), done.stderr)
    refused.complains("forbidden, index", "may not do that", "index", BUCKET)
    server.shutdown()
    after = {file: file.read_bytes() for file in (work / "e").rglob("*.*") if file.is_file()}
    check("nothing here is lost", before == after and len(before) == 8, len(before))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("--crashes", type=pathlib.Path)
    arguments.add_argument("--site", type=pathlib.Path)
    options = arguments.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-"))
    try:
        s3 = S3(work / "moto.log")
        try:
            fleet = Fleet(options.program, work, **s3.env)
            over_s3(fleet, s3, work, options.crashes)
            hostile(fleet, s3, work)
            if options.site:
                fleet.run("page", options.site, "--bucket", BUCKET)
            what_goes_wrong(fleet, work)
        finally:
            s3.close()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return finish()


if __name__ == "__main__":
    sys.exit(main())
