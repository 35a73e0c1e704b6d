#!/usr/bin/env python3
"""The model server against its peers: CPU time an inference, memory, size, start.

usage: bench/serve.py [--quick] [SECTION ...]     sections: rpc large rest saturation json memory

Every peer serves the same model file with the same ONNX Runtime settings, and is loaded by the same
h2load with the same bytes, in turn with tenon, three rounds, medians. Before a load each server
must give the right answer to a real client. Goals are those of docs/performance.md.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request

import figures as f
import requests_of as bodies

TENON = f.BUILD / "tenon"
PEERS = f.BUILD / "bench" / "peers"
MODELS = f.BUILD / "bench" / "models"
ORT_LIBRARY = f.ROOT / ".deps" / "onnxruntime" / "lib" / "libonnxruntime.so.1"
INFER = "/inference.GRPCInferenceService/ModelInfer"
PYTHON = f.ROOT / ".deps" / "bench-venv" / "bin" / "python"

SHAPES = [  # connections, streams, requests, goals: tenon's us, ratio to each peer
    (8, 32, 60000, 10.0, 5.0),
    (8, 4, 30000, None, 2.0),
    (32, 1, 15000, None, 2.0),
    (1, 1, 3000, None, 2.0),
]


def prepare_models():
    make = f.ROOT / "tools" / "make-models"
    subprocess.run([make, MODELS, "simple", "image_mean"], check=True)
    plain = f.BUILD / "bench" / "models-unbatched"
    shutil.rmtree(plain, ignore_errors=True)
    shutil.copytree(MODELS, plain)
    (plain / "simple" / "model.yaml").write_text("batching:\n  mode: off\n")
    real = {"silero_vad": "silero_vad_v6.onnx", "ocr_cls": "ocr_cls.onnx"}
    for name, file in real.items():
        place = f.BUILD / "bench" / "models-real" / name
        (place / "1").mkdir(parents=True, exist_ok=True)
        shutil.copy(f.ROOT / ".deps" / "models" / file, place / "1" / "model.onnx")
        for extra in (f.ROOT / "examples" / "models" / name).iterdir():
            shutil.copy(extra, place)


def tenon(name, models, *options):
    """A server of ours; its ports are attributes of the process."""
    http, grpc, metrics = f.free_port(), f.free_port(), f.free_port()
    command = [TENON, "serve", "--models", models, "--http-port", http, "--grpc-port", grpc]
    command += ["--metrics-port", metrics, *options]
    server = f.Process(name, command, lambda: http_ready(http))
    server.http, server.grpc, server.metrics = http, grpc, metrics
    return server


def http_ready(port):
    try:
        url = f"http://127.0.0.1:{port}/v2/health/ready"
        return urllib.request.urlopen(url, timeout=1).status == 200
    except OSError:
        return False


def peer(name, model):
    """A peer server with its gRPC port, or None when it is not built."""
    program = PEERS / name
    if not program.exists():
        return None
    port = f.free_port()
    library = [ORT_LIBRARY] if name == "grpc-go" else []
    path = MODELS / model / "1" / "model.onnx"
    server = f.Process(name, [program, *library, path, port], lambda: f.port_open(port))
    server.grpc = port
    return server


def rounds_of(count, servers, load):
    """Medians of CPU us a request by server name; servers take turns. None stays None."""
    seen = {name: [] for name in servers}
    for _ in range(count):
        for name, server in servers.items():
            if server is not None:
                seen[name].append(load(server).run(server)[0])
    return {name: f.median(values) if values else None for name, values in seen.items()}


def section_rpc(rounds, scale):
    servers = {
        "tenon": tenon("tenon", MODELS),
        "tenon-unbatched": tenon("tenon-unbatched", MODELS.parent / "models-unbatched"),
        "grpc++": peer("grpc-cpp", "simple"),
        "grpc-go": peer("grpc-go", "simple"),
    }
    try:
        for server in filter(None, servers.values()):
            bodies.check_simple(server.grpc)
        body = bodies.simple()
        for connections, streams, requests, goal, ratio in SHAPES:
            requests = int(requests * scale)
            result = rounds_of(
                rounds,
                servers,
                lambda s: f.Load(
                    s.grpc, INFER, body, connections, streams, requests, f.GRPC_HEADERS
                ),
            )
            report_shape(f"serve.simple.{connections}x{streams}", result, goal, ratio)
        memory = f.rss_bytes(servers["tenon"].pid) / 1e6
        f.record("serve.simple", "resident_after_load", memory, "MB")
    finally:
        for server in filter(None, servers.values()):
            server.stop()


def report_shape(bench, result, goal, ratio):
    ours = result["tenon"]
    f.record(bench, "cpu_us_per_inference", ours, "us", goal=goal)
    if goal is not None:
        f.record(bench, "inferences_per_cpu_second", 1e6 / ours, "/cpu-s", "higher", 1e6 / goal)
        plain = result["tenon-unbatched"]
        f.record(bench, "unbatched_per_cpu_second", 1e6 / plain, "/cpu-s", "higher", 60000)
    report_peers(bench, "cpu_us_per_inference", result, ratio)


def report_peers(bench, figure, result, ratio):
    for name in ("grpc++", "grpc-go"):
        f.record(bench, f"{figure}_to_{name}", result["tenon"], "us", peer=name,
                 peer_value=result[name], ratio_goal=ratio)


def section_large(rounds, scale):
    servers = {
        "tenon": tenon("tenon", MODELS),
        "grpc++": peer("grpc-cpp", "image_mean"),
        "grpc-go": peer("grpc-go", "image_mean"),
    }
    try:
        requests = int(3000 * scale)
        for server in filter(None, servers.values()):
            bodies.check_large(server.grpc)
        result = rounds_of(
            rounds,
            servers,
            lambda s: f.Load(s.grpc, INFER, bodies.large(), 4, 2, requests, f.GRPC_HEADERS),
        )
        ours = result["tenon"]
        f.record("serve.large", "cpu_us_602kb_tcp", ours, "us", goal=300)
        report_peers("serve.large", "cpu_us_602kb_tcp", result, 2.0)
        with bodies.shared_tensor(servers["tenon"].grpc) as body:
            shm = [
                f.Load(servers["tenon"].grpc, INFER, body, 8, 4, requests, f.GRPC_HEADERS).run(
                    servers["tenon"]
                )[0]
                for _ in range(rounds)
            ]
        f.record("serve.large", "cpu_us_602kb_shm", f.median(shm), "us", goal=30)
    finally:
        for server in filter(None, servers.values()):
            server.stop()


def section_rest(rounds, scale):
    """The same request as JSON over HTTP/1.1; the peer is FastAPI on uvicorn."""
    ours = tenon("tenon", MODELS)
    theirs = None
    try:
        if PYTHON.exists():
            port = f.free_port()
            script = f.ROOT / "bench" / "peers" / "python" / "server.py"
            path = MODELS / "simple" / "1" / "model.onnx"
            theirs = f.Process("fastapi", [PYTHON, script, path, port], lambda: http_ready(port))
            theirs.http = port
        requests = int(4000 * scale)
        result = rounds_of(
            rounds,
            {"tenon": ours, "fastapi": theirs},
            lambda s: f.Load(
                s.http,
                "/v2/models/simple/infer",
                bodies.simple_json(),
                8,
                1,
                requests,
                ("content-type: application/json",),
                h1=True,
            ),
        )
        f.record(
            "serve.rest",
            "cpu_us_per_inference",
            result["tenon"],
            "us",
            peer="fastapi",
            peer_value=result["fastapi"],
        )
    finally:
        for server in (ours, theirs):
            if server is not None:
                server.stop()


def bare_loops():
    """CPU us an item of a bare loop of OrtRun on one thread, by model: bench/infer_loop.c."""
    loop = f.BUILD / "bench" / "bench_infer_loop"
    lines = f.BUILD / "bench" / "infer_loop.jsonl"
    lines.unlink(missing_ok=True)
    simple = MODELS / "simple" / "1" / "model.onnx"
    subprocess.run(
        [loop, f.ROOT / ".deps" / "models", simple, lines],
        check=True,
        env={**os.environ, "TENON_ONNXRUNTIME": str(ORT_LIBRARY)},
    )
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    with f.RESULTS.open("a") as results:
        results.write(lines.read_text())
    return {
        row["bench"].removeprefix("infer."): row["value"]
        for row in rows
        if row["figure"] == "bare_cpu_us_per_item"
    }


def section_saturation(rounds, scale):
    """Real models at saturation beside a bare loop of OrtRun. What an instance thread spends on an
    item decides how many it can give: its CPU time is compared, and the process's is reported."""
    bare = bare_loops()
    server = tenon("tenon-real", f.BUILD / "bench" / "models-real")
    try:
        for name, known, build, streams, requests in (
            ("silero_vad", "silero", bodies.silero, 16, 6000),
            ("ocr_cls", "ocr_cls", bodies.ocr_cls, 2, 800),
        ):
            requests = int(requests * scale)
            load = f.Load(server.grpc, INFER, build(), 2, streams, requests, f.GRPC_HEADERS)
            threads, whole = [], []
            for _ in range(rounds):
                before = f.thread_cpu(server.pid, f"m:{name}")
                whole.append(load.run(server)[0])
                threads.append((f.thread_cpu(server.pid, f"m:{name}") - before) / requests * 1e6)
            bench = f"serve.{name}"
            f.record(bench, "process_cpu_us_per_item", f.median(whole), "us")
            f.record(bench, "instance_cpu_us_per_item", f.median(threads), "us",
                     peer="bare loop", peer_value=bare[known], ratio_goal=0.97)
    finally:
        server.stop()


def section_json(rounds, scale):
    ours = tenon("tenon", MODELS)
    try:
        load = f.Load(
            ours.http,
            "/v2/models/image_mean/infer",
            bodies.large_json(),
            1,
            1,
            int(100 * scale) + 5,
            ("content-type: application/json",),
            h1=True,
        )
        cpu = f.median([load.run(ours)[0] for _ in range(rounds)])
        f.record("serve.json", "cpu_ms_1.5mb_body", cpu / 1000, "ms", goal=5)
    finally:
        ours.stop()


def section_memory(rounds, scale):
    simple = f.BUILD / "bench" / "models-one"
    shutil.rmtree(simple, ignore_errors=True)
    subprocess.run([f.ROOT / "tools" / "make-models", simple, "simple"], check=True)
    starts = []
    for _ in range(rounds):
        server = tenon("tenon-one", simple)
        starts.append(server.ready_s * 1000)
        bodies.check_simple(server.grpc)
        resident = f.rss_bytes(server.pid) / 1e6
        before = server.cpu()
        time.sleep(1.0)
        idle = (server.cpu() - before) * 100
        server.stop()
    f.record("serve.size", "resident_one_model", resident, "MB", goal=30)
    f.record("serve.size", "start_to_ready", f.median(starts), "ms", goal=200)
    f.record("serve.size", "idle_cpu", idle, "%", goal=0.05)
    stripped = f.BUILD / "bench" / "tenon.stripped"
    subprocess.run(["strip", "-o", stripped, TENON], check=True)
    size = stripped.stat().st_size / 1e6
    f.record("serve.size", "binary_stripped", size, "MB", goal=6)
    f.record("serve.size", "installed", size + ORT_LIBRARY.stat().st_size / 1e6, "MB", goal=45)
    section_cycles(scale)


def section_cycles(scale):
    """Load and unload of a real model again and again: does memory come back?"""
    server = tenon("tenon-cycles", f.BUILD / "bench" / "models-real", "--mode", "explicit")
    try:
        url = f"http://127.0.0.1:{server.http}/v2/repository/models/ocr_cls/"
        seen = []
        for cycle in range(max(int(60 * scale), 10)):
            for verb in ("load", "unload"):
                request = urllib.request.Request(url + verb, data=b"{}", method="POST")
                urllib.request.urlopen(request, timeout=30).read()
            if cycle >= 5:
                seen.append(f.rss_bytes(server.pid) / 1e6)
        f.record("serve.cycles", "resident_growth", seen[-1] - seen[0], "MB", goal=2)
    finally:
        server.stop()


SECTIONS = {
    "rpc": section_rpc,
    "large": section_large,
    "rest": section_rest,
    "saturation": section_saturation,
    "json": section_json,
    "memory": section_memory,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the load, one round")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=" ".join(SECTIONS))
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {unknown.pop()}; there are {' '.join(SECTIONS)}")
    (f.BUILD / "bench").mkdir(parents=True, exist_ok=True)
    prepare_models()
    for name in options.sections or SECTIONS:
        SECTIONS[name](1 if options.quick else 3, 0.1 if options.quick else 1.0)


if __name__ == "__main__":
    main()
