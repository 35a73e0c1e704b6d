"""What every benchmark of this tree shares: processes with their CPU time, load, and the record.

CPU time is the process's own clock (all its threads, also ended ones), not the wall: the machines
are shared. A figure goes to a table for people and, one JSON object a line, to
build/bench/results.jsonl.
"""
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
RESULTS = BUILD / "bench" / "results.jsonl"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """CPU time of another process, nanosecond resolution (clock_getcpuclockid's encoding)."""
    return time.clock_gettime((~pid << 3) | 2)


def thread_cpu(pid, name):
    """CPU seconds of the threads of a process that have this name (cut at 15 letters)."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name[:15]:
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def rss_bytes(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss:\s+(\d+) kB", text, re.M).group(1)) * 1024


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A server under test: started, waited for, and ended by its own process id."""

    def __init__(self, name, command, ready, timeout=60, env=None):
        self.name = name
        self.log = open(BUILD / "bench" / f"{name}.log", "wb")
        self.started = time.monotonic()
        self.child = subprocess.Popen(
            [str(part) for part in command],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1", **(env or {})},
            preexec_fn=_die_with_parent,
        )
        self.pid = self.child.pid
        limit = time.monotonic() + timeout
        while not ready():
            if self.child.poll() is not None or time.monotonic() > limit:
                self.stop()
                raise RuntimeError(f"{name} did not start: see {self.log.name}")
            time.sleep(0.002)
        self.ready_s = time.monotonic() - self.started

    def cpu(self):
        return cpu_seconds(self.pid)

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def port_open(port):
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Load:
    """One run of h2load: the same bytes again and again over N connections with M streams each."""

    def __init__(self, port, path, body, connections, streams, requests, headers=(), h1=False):
        body_file = BUILD / "bench" / "body.bin"
        body_file.write_bytes(body)
        self.command = ["h2load", "-n", str(requests), "-c", str(connections), "-t", "1"]
        self.command += ["-m", str(streams), "-d", str(body_file), "-w", "24", "-W", "24"]
        if h1:
            self.command.append("--h1")
        for header in headers:
            self.command += ["-H", header]
        self.command.append(f"http://127.0.0.1:{port}{path}")
        self.requests = requests

    def run(self, process, timeout=300):
        """CPU microseconds of `process` a request, requests a wall second."""
        before = process.cpu()
        done = subprocess.run(self.command, capture_output=True, text=True, timeout=timeout)
        cpu = process.cpu() - before
        match = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded",
                          done.stdout)
        if match is None or int(match.group(2)) != self.requests:
            raise RuntimeError(f"{process.name}: load failed\n{done.stdout}{done.stderr}")
        rate = float(re.search(r"finished in [^,]+, ([0-9.]+) req/s", done.stdout).group(1))
        return cpu / self.requests * 1e6, rate


GRPC_HEADERS = ("content-type: application/grpc", "te: trailers")


def grpc_body(message):
    data = message.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


def record(bench, figure, value, unit, better="lower", goal=None, peer=None, peer_value=None,
           ratio_goal=None):
    """Keeps one figure and prints its line; `ratio_goal` is how many times better than the peer."""
    row = {"bench": bench, "figure": figure, "value": round(value, 4), "unit": unit,
           "better": better}
    said = f"{bench:20} {figure:26} {value:>11.2f} {unit:<8}"
    if goal is not None:
        row["goal"] = goal
        met = value <= goal if better == "lower" else value >= goal
        verdict = "met" if met else "NOT MET"
        said += f" goal {'<=' if better == 'lower' else '>='} {goal:g} {verdict}"
    if peer is not None:
        row["peer"] = peer
        if peer_value is None:
            row["peer_missing"] = True
            said += f" {peer}: missing"
        else:
            ratio = peer_value / value if better == "lower" else value / peer_value
            row["peer_value"] = round(peer_value, 4)
            row["ratio"] = round(ratio, 3)
            said += f" {peer} {peer_value:.2f}: {ratio:.2f}x"
            if ratio_goal is not None:
                row["ratio_goal"] = ratio_goal
                said += f", goal >= {ratio_goal:g}x {'met' if ratio >= ratio_goal else 'NOT MET'}"
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a") as out:
        out.write(json.dumps(row) + "\n")
    print(said, flush=True)
    return row


def median(values):
    return statistics.median(values)


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)
