"""Memory that is given back: small with one model, level over loads and unloads, and right answers
from a library whose pages were dropped while it ran."""

import re
import threading
import time
import urllib.request

import numpy as np
import tritonclient.grpc as grpc


def resident_bytes(server):
    with open(f'/proc/{server.pid}/smaps_rollup', encoding='ascii') as file:
        return int(re.search(r'^Rss:\s+(\d+) kB', file.read(), re.M).group(1)) * 1024


def add(client):
    row = np.arange(16, dtype=np.int32).reshape(1, 16)
    inputs = [grpc.InferInput(name, [1, 16], 'INT32') for name in ('INPUT0', 'INPUT1')]
    for one in inputs:
        one.set_data_from_numpy(row)
    return (client.infer('simple', inputs).as_numpy('OUTPUT0') == 2 * row).all()


def change(server, verb, model):
    request = urllib.request.Request(
        f'http://{server.http}/v2/repository/models/{model}/{verb}', data=b'{}', method='POST')
    urllib.request.urlopen(request, timeout=60).read()


def test_one_small_model_needs_less_than_30_mb(serve, repository):
    server = serve(repository('simple'))
    client = grpc.InferenceServerClient(server.grpc)
    assert all(add(client) for _ in range(100))
    assert resident_bytes(server) < 30e6


def test_loads_and_unloads_give_memory_back(serve, real_models):
    server = serve(real_models, '--mode', 'explicit')
    seen = []
    for cycle in range(60):
        change(server, 'load', 'ocr_cls')
        change(server, 'unload', 'ocr_cls')
        if cycle >= 10:
            seen.append(resident_bytes(server))
    early, late = np.median(seen[:10]), np.median(seen[-10:])
    assert abs(late - early) < 2e6, [round(value / 1e6, 1) for value in seen]


def test_a_running_model_survives_the_trimming_of_its_library(serve, repository):
    """Each load drops the library's pages: answers that run meanwhile must stay right."""
    server = serve(repository('simple', 'plus'), '--mode', 'explicit',
                   '--load', 'simple')
    client = grpc.InferenceServerClient(server.grpc)
    right = []
    over = threading.Event()

    def ask():
        while not over.is_set():
            right.append(add(client))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(20):
            change(server, 'load', 'plus')
            change(server, 'unload', 'plus')
    finally:
        over.set()
        asking.join()
    assert len(right) > 20 and all(right)


def test_an_idle_server_sleeps(serve, repository):
    server = serve(repository('simple'))
    clock = (~server.pid << 3) | 2
    time.sleep(0.5)
    before = time.clock_gettime(clock)
    time.sleep(2)
    assert time.clock_gettime(clock) - before < 0.004
