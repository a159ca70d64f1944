"""What the checks of afterpanic-fleet in Python share: counting, crash directories, servers, the program."""
import hashlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

REAL = pathlib.Path(__file__).parent / "crash"
MACHINES = ["%032x" % n for n in range(1, 6)]
counts = {"passed": 0, "failed": 0}


def check(name, good, detail=""):
    counts["passed" if good else "failed"] += 1
    if not good:
        print(f"FAILED  {name}: {detail}"[:2000], flush=True)


def finish():
    """Prints the counts; the exit code."""
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return 1 if counts["failed"] else 0


def crash(store, node, stamp, signature, functions, core=b"not a core\n", verdict="complete", real=REAL):
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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server's process; it listens when this returns."""

    def __init__(self, command, port, log, env=None):
        self.port = port
        with open(log, "w") as out:
            self.process = subprocess.Popen(
                list(map(str, command)), stdout=out, stderr=out, env=dict(os.environ, **(env or {}))
            )
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{command[:3]} does not listen: {pathlib.Path(log).read_text()[-2000:]}")

    def close(self):
        self.process.terminate()
        self.process.wait()


class Fleet:
    """The program, with an environment."""

    def __init__(self, program, home, **env):
        self.program = program
        kept = {"AFTERPANIC_PYTHON": sys.executable, "HOME": str(home), "PATH": "/usr/bin:/bin"}
        self.env = dict(kept, **env)

    def having(self, **env):
        """The same with more variables."""
        other = Fleet.__new__(Fleet)
        other.program, other.env = self.program, dict(self.env, **env)
        return other

    def command(self, *words):
        return [self.program, *map(str, words)]

    def run(self, *words, want=0):
        done = subprocess.run(self.command(*words), env=self.env, capture_output=True, text=True, timeout=600)
        check(" ".join(map(str, words[:2])), done.returncode == want, f"{done.returncode} {done.stderr}")
        return done

    def json(self, *words, want=0):
        return json.loads(self.run(*words, "--json", want=want).stdout or "{}")

    def complains(self, name, said, *words, want=1):
        """It fails with one sentence that has these words."""
        done = subprocess.run(self.command(*words), env=self.env, capture_output=True, text=True, timeout=600)
        lines = done.stderr.splitlines()
        good = done.returncode == want and len(lines) == 1 and said in lines[0]
        check(name, good, f"exit code {done.returncode}: {done.stderr}")
