#!/usr/bin/env python3
"""Fills a bucket in a directory with crashes made by varying the one in tests/crash, as `ship` would leave them.

usage: vary.py BUCKET COUNT [--days N] [--machines N]

Signature, frames, culprit, release, host name, time, uptime, log lines and addresses vary; the numbers of each
signature fall like 1/n. Writes with two processes.
"""
import argparse
import datetime
import hashlib
import json
import multiprocessing
import os
import pathlib
import random

from kit import REAL


def fill(job):
    bucket, first, last, days, machines = job
    draw = random.Random(first)
    report = json.loads((REAL / "report.json").read_text())
    manifest = json.loads((REAL / "manifest.json").read_text())
    log, errors = report["log_tail"], manifest.get("soft_errors", [])
    reason, verdict = report["reason"], manifest["verdict"]
    start = datetime.datetime(2026, 11, 29) - datetime.timedelta(days=days)
    for n in range(first, last):
        bug = min(int(1 / max(draw.random(), 1e-4)), 2000)
        machine = draw.randrange(machines)
        at = start + datetime.timedelta(seconds=draw.randrange(days * 86400))
        node = f"web-{machine}"
        signature = f"bug:fn_{bug}:{bug:06x}"
        release = f"6.12.{100 + draw.randrange(20)}+deb13-cloud-amd64"
        frame = {"offset": 1, "size": 2, "module": None, "reliable": True}
        report["crash_time"] = manifest["crash_time"] = int(at.timestamp())
        report["uptime_seconds"] = manifest["uptime_s"] = draw.randrange(60, 90 * 86400)
        report["system"]["uts"].update(nodename=node, release=release)
        reason["class"], reason["signature"] = "bug", signature
        reason["headline"] = f"kernel BUG at drivers/acme/acme.c:{bug}!"
        reason["signature_frames"] = [dict(frame, function=f"fn_{bug + k}") for k in (0, 1)]
        reason["culprit"] = dict(frame, function=f"fn_{bug}", module=f"acme{bug % 10}")
        report["log_tail"] = [f"{line} {draw.getrandbits(64):016x}" for line in log]
        for cpu in report.get("cpus", []):
            cpu["task"] = f"0xffff{draw.getrandbits(48):012x}"
        manifest.update(signature=signature, **{"class": "bug"}, release=release)
        cut = draw.random() < 0.02
        manifest["verdict"] = "incomplete" if cut else verdict
        manifest["soft_errors"] = ["vmcore.elf.zst: no space left on the target"] if cut else errors
        text = json.dumps(report).encode()
        sha = hashlib.sha256(text).hexdigest()
        manifest["files"] = [{"name": "report.json", "size": len(text), "sha256": sha}]
        name = f"{node}-{at:%Y%m%dT%H%M%SZ}-{n + 2}"
        folder = f"{bucket}/v1/crashes/dt={at:%Y-%m-%d}/{machine:032x}/{name}"
        os.makedirs(folder)
        with open(f"{folder}/report.json", "wb") as file:
            file.write(text)
        with open(f"{folder}/manifest.json", "w") as file:
            file.write(json.dumps(manifest))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("bucket", type=pathlib.Path)
    arguments.add_argument("count", type=int)
    arguments.add_argument("--days", type=int, default=365)
    arguments.add_argument("--machines", type=int, default=10_000)
    options = arguments.parse_args()
    step = 2_000
    jobs = [(options.bucket, n, min(n + step, options.count), options.days, options.machines)
            for n in range(0, options.count, step)]
    with multiprocessing.Pool(2) as pool:
        for _ in pool.imap_unordered(fill, jobs):
            pass


if __name__ == "__main__":
    main()
