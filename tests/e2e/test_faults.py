"""Faults and races around a real server: clients that leave, memory that changes under a request,
files that break, full disks, loads and requests at once. It answers on."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.request

import grpc
import numpy
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from server import free_ports, program
from test_shared_memory import Region

SEED = int(os.environ.get('SEED', time.time_ns() % 10**9))


@pytest.fixture
def rng():
    print(f'SEED={SEED}')
    return random.Random(SEED)


@contextlib.contextmanager
def stub_of(server, **options):
    with grpc.insecure_channel(server.grpc, options=list(options.items())) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def request_of(model, shape, datatype, raw, name='INPUT0'):
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    request.raw_input_contents.append(raw)
    return request


def slow(loops):
    return request_of('slow', [1], 'INT64', struct.pack('<q', loops), 'LOOPS')


def run_together(*workers):
    """Each in a thread of its own; the first failure is raised."""
    failures = []

    def guarded(worker):
        try:
            worker()
        except BaseException as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in workers]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if failures:
        raise failures[0]


def alive(server):
    assert server.get('/v2/health/live')[0] == 200
    assert server.process.poll() is None


# --- clients that leave ---------------------------------------------------------------------------

def binary_body(model, array, pad=0):
    head = json.dumps({'id': 'x' * pad, 'inputs': [
        {'name': 'INPUT0', 'shape': array.shape, 'datatype': 'FP32',
         'parameters': {'binary_data_size': array.nbytes}}]}).encode()
    data = head + array.tobytes()
    return (f'POST /v2/models/{model}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n'
            f'Inference-Header-Content-Length: {len(head)}\r\n\r\n').encode() + data


def test_http_clients_leave_while_their_batch_runs(server, rng):
    array = numpy.ones((1, 3, 224, 224), numpy.float32)
    bodies = [binary_body('image_identity', array, pad) for pad in range(1, 5)]
    end = time.monotonic() + 3

    def leave():
        own = random.Random(rng.random())
        while time.monotonic() < end:
            with socket.create_connection(('127.0.0.1', server.http_port)) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                one.sendall(own.choice(bodies))
                time.sleep(own.choice((0, 0.0005, 0.001, 0.003)))

    run_together(*[leave] * 6)
    with stub_of(server) as stub:
        answer = stub.ModelInfer(request_of('image_identity', array.shape, 'FP32',
                                            array.tobytes()), timeout=20)
        assert answer.raw_output_contents[0] == array.tobytes()


def test_grpc_clients_leave_while_their_batch_runs(server, rng):
    request = service_pb2.ModelInferRequest(model_name='identity_int8')
    one = request.inputs.add(name='INPUT0', datatype='INT8', shape=[64, 1000])
    one.contents.int_contents.extend(i % 256 - 128 for i in range(64000))
    end = time.monotonic() + 3

    def leave():
        own = random.Random(rng.random())
        with stub_of(server) as stub:
            while time.monotonic() < end:
                calls = [stub.ModelInfer.future(request) for _ in range(8)]
                time.sleep(own.choice((0, 0.001, 0.003, 0.01)))
                for call in calls:
                    call.cancel()

    run_together(*[leave] * 4)
    with stub_of(server) as stub:
        answer = stub.ModelInfer(request, timeout=20).raw_output_contents[0]
        assert answer == bytes(i % 256 ^ 0x80 for i in range(64000))


def test_a_cancelled_run_does_not_spoil_the_next(server, rng):
    with stub_of(server) as stub:
        for _ in range(150):
            call = stub.ModelInfer.future(slow(3000))
            time.sleep(rng.random() * 0.004)
            call.cancel()
            assert stub.ModelInfer(slow(1), timeout=20).outputs


def test_streams_that_are_dropped(server, rng):
    raw = bytes(4 * 3 * 224 * 224)
    request = request_of('image_identity', [1, 3, 224, 224], 'FP32', raw)

    def drop():
        own = random.Random(rng.random())
        for _ in range(10):
            with stub_of(server) as stub:
                answers = stub.ModelStreamInfer(iter([request] * 20))
                for _ in range(own.randrange(4)):
                    next(answers)
                answers.cancel()

    run_together(*[drop] * 3)
    with stub_of(server) as stub:
        answers = list(stub.ModelStreamInfer(iter([request] * 3), timeout=20))
        assert [one.infer_response.raw_output_contents[0] == raw for one in answers] == [True] * 3


# --- memory that changes under a request ----------------------------------------------------------

@pytest.fixture
def region():
    made = []

    def make(name, size):
        made.append(Region(name, size))
        return made[-1]

    yield make
    for one in made:
        one.close()


def shared(model, datatype, shape, name, size, offset=0):
    request = service_pb2.ModelInferRequest(model_name=model)
    one = request.inputs.add(name='INPUT0', datatype=datatype, shape=shape)
    one.parameters['shared_memory_region'].string_param = name
    one.parameters['shared_memory_byte_size'].int64_param = size
    one.parameters['shared_memory_offset'].int64_param = offset
    return request


def test_lengths_that_change_under_a_request(server, region):
    """BYTES lie in shared memory with their lengths, which the client may change at any time."""
    count = 4096
    memory = region('lengths', 8 * count)
    good = struct.pack('<I', 4) + b'good'
    memory.map[:] = good * count
    over = threading.Event()

    def spoil():
        while not over.is_set():
            for at in (0, 8 * (count // 2), 8 * (count - 1)):
                memory.map[at:at + 4] = b'\xff\xff\xff\x7f'
            memory.map[:] = good * count

    spoiler = threading.Thread(target=spoil)
    answered = refused = 0
    with stub_of(server) as stub, triton.InferenceServerClient(server.grpc) as client:
        client.register_system_shared_memory('lengths', memory.key, 8 * count)
        request = shared('identity_bytes', 'BYTES', [1, count], 'lengths', 8 * count)
        spoiler.start()
        try:
            for _ in range(400):
                try:
                    stub.ModelInfer(request, timeout=20)
                    answered += 1
                except grpc.RpcError as error:
                    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
                    refused += 1
        finally:
            over.set()
            spoiler.join()
            client.unregister_system_shared_memory('lengths')
    assert answered + refused == 400
    alive(server)


def test_unregistered_and_truncated_while_in_use(server, region, rng):
    size = 4 * 3 * 224 * 224
    memory = region('use', 2 * size)
    end = time.monotonic() + 3
    ok = []

    def use():
        request = shared('image_mean', 'FP32', [1, 3, 224, 224], 'use', size)
        with stub_of(server) as stub:
            while time.monotonic() < end:
                try:
                    stub.ModelInfer(request, timeout=20)
                    ok.append(True)
                except grpc.RpcError as error:
                    assert error.code() in (grpc.StatusCode.NOT_FOUND,
                                            grpc.StatusCode.INVALID_ARGUMENT), error

    def disturb():
        own = random.Random(rng.random())
        with triton.InferenceServerClient(server.grpc) as client:
            while time.monotonic() < end:
                os.truncate(memory.path, 2 * size)
                client.register_system_shared_memory('use', memory.key, 2 * size)
                time.sleep(own.random() * 0.02)
                if own.random() < 0.5:
                    os.truncate(memory.path, 0)
                client.unregister_system_shared_memory('use')
        os.truncate(memory.path, 2 * size)

    run_together(use, use, disturb)
    assert ok
    alive(server)


# --- classification -------------------------------------------------------------------------------

def classes(server, array, count):
    with triton.InferenceServerClient(server.grpc) as client:
        one = triton.InferInput('INPUT0', list(array.shape), 'FP32')
        one.set_data_from_numpy(array)
        outputs = [triton.InferRequestedOutput('OUTPUT0', class_count=count)]
        return client.infer('identity_fp32', [one], outputs=outputs).as_numpy('OUTPUT0')


@pytest.mark.parametrize('count', [1, 2, 7, 1000])
def test_classes_are_the_best_in_order(server, count):
    array = numpy.random.default_rng(SEED).permutation(12000).reshape(2, 6000)
    array = array.astype(numpy.float32)
    for row, texts in zip(array, classes(server, array, count)):
        assert [int(text.split(b':')[1]) for text in texts] == list(numpy.argsort(-row)[:count])


def test_equal_classes_and_nan(server):
    array = numpy.array([[1, numpy.nan, 3, 3, numpy.nan, 1]], numpy.float32)
    order = [int(text.split(b':')[1]) for text in classes(server, array, 9)[0]]
    assert order == [2, 3, 0, 5, 1, 4]


def test_too_many_classes_are_refused(server):
    array = numpy.zeros((1, 5000), numpy.float32)
    with pytest.raises(InferenceServerException, match='1000 is the most'):
        classes(server, array, 1001)
    for count in (0xffffffff, 2**40):
        with pytest.raises(InferenceServerException, match='most'):
            classes(server, array, count)


# --- files ----------------------------------------------------------------------------------------

def plus(client):
    one = triton.InferInput('INPUT0', [1, 4], 'FP32')
    one.set_data_from_numpy(numpy.zeros((1, 4), numpy.float32))
    return int(client.infer('plus', [one]).as_numpy('OUTPUT0')[0, 0])


def until(check, seconds=15):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, 'it did not happen'
        time.sleep(0.02)


def state(client, name, version):
    for one in client.get_model_repository_index().models:
        if (one.name, one.version) == (name, str(version)):
            return one.state, one.reason
    return None, None


def make_empty(path):
    path.write_bytes(b'')


def make_cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def make_folder(path):
    path.unlink()
    path.mkdir()


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_loop(path):
    path.unlink()
    path.symlink_to(path)


def make_dangling(path):
    path.unlink()
    path.symlink_to('/nowhere/model.onnx')


def make_device(path):
    path.unlink()
    path.symlink_to('/dev/zero')


def make_foreign(path):
    path.write_bytes(os.urandom(100000))


BREAKERS = [make_empty, make_cut, make_folder, make_pipe, make_loop, make_dangling, make_device,
            make_foreign]


@pytest.mark.parametrize('spoil', BREAKERS)
def test_a_broken_newest_version_leaves_the_older_one(serve, repository, spoil):
    models = repository('plus')
    (models / 'plus/model.yaml').write_text('versions: {policy: all}\n')
    spoil(models / 'plus/3/model.onnx')
    server = serve(models, '--no-strict-readiness')
    with triton.InferenceServerClient(server.grpc) as client:
        until(lambda: client.is_model_ready('plus', '2'))
        assert plus(client) == 2
        kind, reason = state(client, 'plus', 3)
        assert kind in (None, 'UNAVAILABLE'), (kind, reason)


def test_every_cut_of_a_model_is_refused(serve, repository):
    models = repository('plus')
    content = (models / 'plus/3/model.onnx').read_bytes()
    shutil.rmtree(models / 'plus/2')
    shutil.rmtree(models / 'plus/3')
    server = serve(models, '--mode', 'explicit', '--load', 'plus')
    with triton.InferenceServerClient(server.grpc) as client:
        (models / 'plus/3').mkdir()
        for size in range(0, len(content), 5):
            (models / 'plus/3/model.onnx').write_bytes(content[:size])
            with contextlib.suppress(InferenceServerException):
                client.load_model('plus')
            assert plus(client) in (1, 3), size
        (models / 'plus/3/model.onnx').write_bytes(content)
        client.load_model('plus')
        assert plus(client) == 3


@pytest.mark.parametrize('text', ['versions: {policy: latest\n', 'nonsense: 1\n', '\0\0\0',
                                  'batching: {max: -1}\n', 'tokens: [x]\n', '- a\n- b\n', '&a [*a]',
                                  'batching: {queue: 99999999999999999999}\n'])
def test_a_broken_configuration_is_named(serve, repository, text):
    models = repository('plus', 'simple')
    (models / 'plus/model.yaml').write_text(text)
    server = serve(models, '--no-strict-readiness')
    with triton.InferenceServerClient(server.grpc) as client:
        until(lambda: client.is_model_ready('simple'))
        assert not client.is_model_ready('plus')
        reasons = [one.reason for one in client.get_model_repository_index().models
                   if one.name == 'plus']
        assert any('model.yaml' in reason for reason in reasons), reasons


def test_full_disk_for_logs_and_traces(serve, repository):
    models = repository('simple')
    with open('/dev/full', 'w', encoding='ascii') as full:
        ports = free_ports(3)
        process = subprocess.Popen(
            ['timeout', '-s', 'KILL', '60', program(), 'serve', '--models', str(models),
             '--access-log', '--trace-file', '/dev/full', '--trace-rate', '1', '--http-port',
             str(ports[0]), '--grpc-port', str(ports[1]), '--metrics-port', str(ports[2])],
            stdout=full, stderr=full)
        try:
            with triton.InferenceServerClient(f'127.0.0.1:{ports[1]}') as client:
                def ready():
                    with contextlib.suppress(InferenceServerException):
                        return client.is_server_ready()
                    return False
                until(ready)
                array = numpy.ones((1, 16), numpy.int32)
                inputs = []
                for name in ('INPUT0', 'INPUT1'):
                    inputs.append(triton.InferInput(name, [1, 16], 'INT32'))
                    inputs[-1].set_data_from_numpy(array)
                for _ in range(300):
                    result = client.infer('simple', inputs)
                    assert (result.as_numpy('OUTPUT0') == 2).all()
        finally:
            with open(f'/proc/{process.pid}/task/{process.pid}/children',
                      encoding='ascii') as file:
                os.kill(int(file.read().split()[0]), signal.SIGTERM)
            assert process.wait(20) == 0


# --- loads, versions and requests at once ---------------------------------------------------------

def test_unload_while_requests_run(serve, repository):
    server = serve(repository('slow', 'plus'), '--mode', 'explicit', '--load', 'slow')
    with triton.InferenceServerClient(server.grpc) as client, stub_of(server) as stub:
        for _ in range(10):
            calls = [stub.ModelInfer.future(slow(2000)) for _ in range(5)]
            time.sleep(0.005)
            client.unload_model('slow')
            for call in calls:
                # accepted before the unload: answered; after: not found
                error = call.exception(timeout=20)
                assert error is None or error.code() in (grpc.StatusCode.NOT_FOUND,
                                                         grpc.StatusCode.UNAVAILABLE), error
            client.load_model('slow')
        assert stub.ModelInfer(slow(1), timeout=20).outputs


def test_sequences_of_many_clients(serve, repository):
    models = repository('accumulate')
    (models / 'accumulate/model.yaml').write_text(
        'sequence: {states: [{input: STATE, output: NEXT_STATE}]}\n')
    server = serve(models)

    def step(sequence, number, length):
        request = request_of('accumulate', [1, 1], 'FP32', struct.pack('<f', sequence + number))
        if sequence % 2:
            request.parameters['sequence_id'].int64_param = sequence
        else:
            request.parameters['sequence_id'].string_param = f'sequence {sequence}'
        request.parameters['sequence_start'].bool_param = number == 0
        request.parameters['sequence_end'].bool_param = number == length - 1
        return request

    def check(sequence, answers):
        sums = numpy.cumsum([sequence + i for i in range(30)], dtype=numpy.float32)
        assert [struct.unpack('<f', one.raw_output_contents[0])[0] for one in answers] \
            == list(sums)

    def by_call(first):
        with stub_of(server) as stub:
            for sequence in range(first, first + 10):
                check(sequence, [stub.ModelInfer(step(sequence, i, 30), timeout=30)
                                 for i in range(30)])

    def by_stream(first):
        """A stream keeps the order of its requests, so they need not wait for one another."""
        with stub_of(server) as stub:
            for sequence in range(first, first + 10):
                answers = list(stub.ModelStreamInfer(
                    iter([step(sequence, i, 30) for i in range(30)]), timeout=30))
                assert not any(one.error_message for one in answers)
                check(sequence, [one.infer_response for one in answers])

    run_together(*[lambda first=first: by_call(first) for first in (1000, 2000)],
                 *[lambda first=first: by_stream(first) for first in (3000, 4000)])
    with stub_of(server) as stub, pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(step(1000, 5, 30), timeout=20)  # it has ended
    assert 'sequence_start' in error.value.details()


def test_full_queue_says_when_to_come_back(serve, repository):
    models = repository('slow')
    (models / 'slow/model.yaml').write_text('batching: {queue: 1}\n')
    server = serve(models)
    body = {'inputs': [{'name': 'LOOPS', 'shape': [1], 'datatype': 'INT64', 'data': [40000]}]}
    found = []

    def ask():
        request = urllib.request.Request(f'http://{server.http}/v2/models/slow/infer',
                                         json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found.append((answer.status, None))
        except urllib.error.HTTPError as error:
            found.append((error.code, error.headers.get('Retry-After')))

    run_together(*[ask] * 10)
    refused = [after for status, after in found if status == 429]
    assert {status for status, _ in found} == {200, 429}
    assert refused and all(after is not None and int(after) >= 1 for after in refused)


# --- kept answers ---------------------------------------------------------------------------------

def counted(server, model):
    with triton.InferenceServerClient(server.grpc) as client:
        stats = client.get_inference_statistics(model).model_stats[0]
        return stats.execution_count, stats.inference_stats.cache_hit.count


def test_equal_requests_run_once_and_for_a_time(serve, repository):
    models = repository('slow')
    (models / 'slow/model.yaml').write_text('cache: {enabled: true, ttl: 2s}\n')
    server = serve(models)
    with stub_of(server) as stub:
        calls = [stub.ModelInfer.future(slow(20000)) for _ in range(30)]
        assert len({call.result(timeout=20).raw_output_contents[0] for call in calls}) == 1
        executions, hits = counted(server, 'slow')
        assert executions == 1 and hits == 29
        stub.ModelInfer(slow(20001), timeout=20)
        assert counted(server, 'slow')[0] == 2
        time.sleep(2.1)
        stub.ModelInfer(slow(20000), timeout=20)
        assert counted(server, 'slow')[0] == 3


def test_a_leader_that_leaves_is_followed(serve, repository):
    models = repository('slow')
    (models / 'slow/model.yaml').write_text('cache: {enabled: true}\n')
    server = serve(models)
    with stub_of(server) as stub:
        for loops in range(20000, 20010):
            first = stub.ModelInfer.future(slow(loops))
            time.sleep(0.01)
            others = [stub.ModelInfer.future(slow(loops), timeout=20) for _ in range(5)]
            time.sleep(0.01)
            first.cancel()
            others[2].cancel()
            for other in others[:2] + others[3:]:
                assert other.result().outputs


def test_shared_memory_cannot_poison_kept_answers(serve, repository, region, rng):
    """A client that changes its inputs after they were hashed, or its outputs before they are kept,
    must not decide what others are answered."""
    models = repository('identity_fp32')
    (models / 'identity_fp32/model.yaml').write_text('cache: {enabled: true, ttl: 10m}\n')
    server = serve(models)
    count = 100000
    inputs, outputs = region('poison_in', 4 * count), region('poison_out', 4 * count)
    over = threading.Event()
    truths = [numpy.full(count, i, numpy.float32) for i in range(60)]
    evil = numpy.full(count, -1, numpy.float32).tobytes()

    def spoil():
        while not over.is_set():
            inputs.map[:] = evil
            outputs.map[:] = evil
            inputs.map[:] = rng.choice(truths).tobytes()

    with stub_of(server) as stub, triton.InferenceServerClient(server.grpc) as client:
        for one, name in ((inputs, 'poison_in'), (outputs, 'poison_out')):
            client.register_system_shared_memory(name, one.key, 4 * count)
        spoiler = threading.Thread(target=spoil)
        spoiler.start()
        try:
            for truth in truths:
                stub.ModelInfer(shared('identity_fp32', 'FP32', [1, count], 'poison_in',
                                       4 * count), timeout=20)
                request = request_of('identity_fp32', [1, count], 'FP32', truth.tobytes())
                output = request.outputs.add(name='OUTPUT0')
                output.parameters['shared_memory_region'].string_param = 'poison_out'
                output.parameters['shared_memory_byte_size'].int64_param = 4 * count
                stub.ModelInfer(request, timeout=20)
        finally:
            over.set()
            spoiler.join()
        for truth in truths:
            request = request_of('identity_fp32', [1, count], 'FP32', truth.tobytes())
            answer = stub.ModelInfer(request, timeout=20).raw_output_contents[0]
            assert answer == truth.tobytes()
