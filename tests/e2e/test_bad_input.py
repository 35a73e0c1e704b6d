"""What clients get wrong, over both protocols: a clear error each, and the server lives on."""

import json
import socket
import threading
import time

import grpc
import numpy
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

INVALID = grpc.StatusCode.INVALID_ARGUMENT
RAW = numpy.arange(16, dtype=numpy.int32).tobytes()


@pytest.fixture(scope='module')
def channel(server):
    with grpc.insecure_channel(server.grpc, options=[
            ('grpc.max_send_message_length', -1),
            ('grpc.max_receive_message_length', -1)]) as one:
        yield one


@pytest.fixture(scope='module')
def stub(channel):
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


def simple(model='simple', version='', shape=(1, 16), datatype='INT32', raws=(RAW, RAW),
           names=('INPUT0', 'INPUT1'), outputs=()):
    request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    for name in names:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
    request.raw_input_contents.extend(raws)
    for name in outputs:
        request.outputs.add(name=name)
    return request


def typed(datatype, field, values, shape=(1, 1), model=None):
    request = service_pb2.ModelInferRequest(model_name=model or 'identity_' + datatype.lower())
    one = request.inputs.add(name='INPUT0', datatype=datatype, shape=shape)
    if field:
        getattr(one.contents, field).extend(values)
    return request


def mixed():
    request = simple()
    request.inputs[1].contents.int_contents.extend(range(16))
    return request


def with_parameter(name, **value):
    request = simple()
    key, content = next(iter(value.items()))
    setattr(request.parameters[name], key, content)
    return request


def classified(model, count):
    request = typed('BYTES', 'bytes_contents', [b'x'], model=model)
    request.outputs.add(name='OUTPUT0').parameters['classification'].int64_param = count
    return request


WRONG = {
    'unknown model': (simple('absent'), grpc.StatusCode.NOT_FOUND, 'absent'),
    'empty model': (simple(''), grpc.StatusCode.NOT_FOUND, ''),
    'unknown version': (simple(version='9'), grpc.StatusCode.NOT_FOUND, '9'),
    'version in words': (simple(version='new'), INVALID, 'new'),
    'huge version': (simple(version='9' * 40), INVALID, 'version'),
    'unknown input': (simple(names=('INPUT0', 'OTHER')), INVALID, 'OTHER'),
    'missing input': (simple(names=('INPUT0',), raws=(RAW,)), INVALID, 'INPUT1'),
    'doubled input': (simple(names=('INPUT0', 'INPUT0')), INVALID, ''),
    'too many inputs': (simple(names=('INPUT0', 'INPUT1', 'X'), raws=(RAW,) * 3), INVALID, ''),
    'hundred inputs': (simple(names=['INPUT0'] * 100, raws=(RAW,) * 100), INVALID, '64'),
    'no inputs': (simple(names=(), raws=()), INVALID, ''),
    'unknown output': (simple(outputs=('OTHER',)), INVALID, 'OTHER'),
    'doubled output': (simple(outputs=('OUTPUT0', 'OUTPUT0')), INVALID, 'twice'),
    'wrong datatype': (simple(datatype='FP32'), INVALID, 'INT32'),
    'unknown datatype': (simple(datatype='FP31'), INVALID, 'FP31'),
    'no datatype': (simple(datatype=''), INVALID, 'datatype'),
    'wrong shape': (simple(shape=(1, 8)), INVALID, 'shape'),
    'wrong rank': (simple(shape=(16,)), INVALID, 'shape'),
    'nine dimensions': (simple(shape=(1,) * 9), INVALID, 'dimensions'),
    'negative dimension': (simple(shape=(-1, 16)), INVALID, ''),
    'overflowing shape': (simple(shape=(2**62, 16)), INVALID, ''),
    'short raw': (simple(raws=(RAW[:-1], RAW)), INVALID, 'INPUT0'),
    'long raw': (simple(raws=(RAW + b'x', RAW)), INVALID, 'INPUT0'),
    'too few raws': (simple(raws=(RAW,)), INVALID, 'raw_input_contents'),
    'too many raws': (simple(raws=(RAW,) * 3), INVALID, 'raw_input_contents'),
    'raw and typed': (mixed(), INVALID, 'typed'),
    'nothing at all': (simple(raws=()), INVALID, 'INPUT0'),
    'typed in the wrong member': (typed('INT32', 'fp32_contents', [1.0]), INVALID, 'int_contents'),
    'typed too few': (typed('INT32', 'int_contents', [1], (1, 2)), INVALID, '2'),
    'typed too many': (typed('INT32', 'int_contents', [1, 2]), INVALID, '1'),
    'typed out of range': (typed('INT8', 'int_contents', [128]), INVALID, 'range'),
    'typed below range': (typed('INT16', 'int_contents', [-32769]), INVALID, 'range'),
    'typed FP16': (typed('FP16', None, []), INVALID, 'raw_input_contents'),
    'BYTES cut': (simple('identity_bytes', names=('INPUT0',), datatype='BYTES', shape=(1, 1),
                         raws=(b'\x05\0\0\0ab',)), INVALID, 'INPUT0'),
    'BYTES too many': (simple('identity_bytes', names=('INPUT0',), datatype='BYTES', shape=(1, 1),
                              raws=(b'\0\0\0\0\0\0\0\0',)), INVALID, 'INPUT0'),
    'BYTES huge length': (simple('identity_bytes', names=('INPUT0',), datatype='BYTES',
                                 shape=(1, 1), raws=(b'\xff\xff\xff\xff',)), INVALID, 'INPUT0'),
    'sequence_start is a number': (with_parameter('sequence_start', int64_param=1), INVALID,
                                   'sequence_start'),
    'negative timeout': (with_parameter('timeout', int64_param=-5), INVALID, 'timeout'),
    'classes of text': (classified('identity_bytes', 3), INVALID, 'no classes'),
    'unknown region': (None, grpc.StatusCode.NOT_FOUND, 'nowhere'),
}


@pytest.mark.parametrize('name', WRONG)
def test_grpc(stub, name):
    request, code, words = WRONG[name]
    if request is None:
        request = simple(raws=(RAW,))
        request.inputs[0].parameters['shared_memory_region'].string_param = 'nowhere'
        request.inputs[0].parameters['shared_memory_byte_size'].int64_param = 64
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request, timeout=20)
    assert error.value.code() == code, error.value.details()
    assert words in error.value.details()
    assert stub.ModelInfer(simple(), timeout=20).outputs


def call_raw(channel, method, body):
    return channel.unary_unary(f'/inference.GRPCInferenceService/{method}')(body, timeout=20)


def test_grpc_truncated_and_damaged_messages(channel, stub):
    good = simple().SerializeToString()
    for cut in range(len(good)):
        try:
            call_raw(channel, 'ModelInfer', good[:cut])
        except grpc.RpcError as error:
            assert error.code() in (INVALID, grpc.StatusCode.NOT_FOUND), (cut, error.details())
    for at in range(len(good) * 8):
        bad = bytearray(good)
        bad[at // 8] ^= 1 << at % 8
        try:
            call_raw(channel, 'ModelInfer', bytes(bad))
        except grpc.RpcError as error:
            assert error.code() in (INVALID, grpc.StatusCode.NOT_FOUND), (at, error.details())
    assert stub.ServerLive(service_pb2.ServerLiveRequest()).live


def test_grpc_unknown_method(channel):
    with pytest.raises(grpc.RpcError) as error:
        call_raw(channel, 'NoSuchMethod', b'')
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_grpc_empty_and_large_tensors(stub):
    empty = simple('identity_fp32', names=('INPUT0',), datatype='FP32', shape=(1, 0), raws=(b'',))
    assert stub.ModelInfer(empty).raw_output_contents[0] == b''
    raw = bytes(64 << 20)
    large = simple('identity_fp32', names=('INPUT0',), datatype='FP32', shape=(1, 16 << 20),
                   raws=(raw,))
    assert stub.ModelInfer(large, timeout=60).raw_output_contents[0] == raw


def slow(loops=40000):
    raw = numpy.array([loops], numpy.int64).tobytes()
    return simple('slow', names=('LOOPS',), datatype='INT64', shape=(1,), raws=(raw,))


def test_grpc_deadlines_and_cancellation(stub):
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(slow(), timeout=0.05)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 5
    calls = [stub.ModelInfer.future(slow(4000)) for _ in range(20)]
    for one in calls[1:]:
        one.cancel()
    calls[0].result(timeout=20)
    # what was cancelled does not run: the next answer comes soon
    began = time.monotonic()
    stub.ModelInfer(slow(1), timeout=20)
    assert time.monotonic() - began < 2


def test_grpc_timeout_parameter(stub):
    blocker = stub.ModelInfer.future(slow(60000))
    time.sleep(0.05)  # it runs; together in the queue, the more urgent one would go first
    request = slow(1)
    request.parameters['timeout'].int64_param = 1000
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request, timeout=20)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    blocker.result(timeout=20)


INPUT = {'name': 'INPUT0', 'shape': [1, 2], 'datatype': 'FP32', 'data': [1, 2]}


def body(**change):
    return json.dumps({'inputs': [{**INPUT, **change}]})


JSON = {
    'not JSON': ('{"inputs": [', 'body'),
    'empty': ('', 'empty'),
    'an array': ('[]', 'object'),
    'no inputs': ('{}', 'inputs'),
    'inputs are an object': ('{"inputs": {}}', 'array'),
    'trailing text': (body() + 'x', 'body'),
    'NaN': (body().replace('[1, 2]}', '[NaN, 2]}'), 'NaN'),
    'Infinity': (body().replace('[1, 2]}', '[1, -Infinity]}'), 'NaN'),
    'beyond FP32': (body(data=[1e39, 2]), ''),
    'beyond doubles': (body().replace('[1, 2]}', '[1e999, 2]}'), ''),
    'null element': (body(data=[None, 2]), ''),
    'a text as number': (body(data=['1', 2]), ''),
    'too few': (body(data=[1]), '2'),
    'too many': (body(data=[1, 2, 3]), ''),
    'no data': (json.dumps({'inputs': [{k: v for k, v in INPUT.items() if k != 'data'}]}),
                'no data'),
    'no name': (json.dumps({'inputs': [{k: v for k, v in INPUT.items() if k != 'name'}]}), 'name'),
    'shape of texts': (body(shape=['1', '2']), 'shape'),
    'negative shape': (body(shape=[-1, 2]), ''),
    'shape too large': (body(shape=[2**40, 2**40]), ''),
    'shape beyond the text': (body(shape=[1, 10**9]), 'fewer'),
    'unknown datatype': (body(datatype='FP31'), 'FP31'),
    'FP16 as JSON': (body(datatype='FP16'), 'binary'),
    'doubled key': ('{"inputs": [], "inputs": []}', 'twice'),
    'doubled input key': (body().replace('"name"', '"name": "x", "name"', 1), 'twice'),
    'doubled parameter': (body().replace('"name"', '"parameters": {"a": 1, "a": 2}, "name"', 1),
                          'twice'),
    'parameters are a list': (body(parameters=[1]), 'parameters'),
    'deep nesting': ('{"x": ' + '[' * 5000 + ']' * 5000 + '}', ''),
    'deep data': (body().replace('[1, 2]}', '[' * 100 + '1' + ']' * 100 + '}'), ''),
    'bad escape': (body(name='x').replace('"x"', '"\\q"'), ''),
    'lone surrogate': (body(name='x').replace('"x"', '"\\ud800"'), ''),
    'unknown output': (json.dumps({'inputs': [INPUT], 'outputs': [{'name': 'OTHER'}]}), 'OTHER'),
    'binary beyond the body': (body(parameters={'binary_data_size': 8}, data=None)
                               .replace('"data": null', '"x": 1'), 'binary_data_size'),
}


@pytest.mark.parametrize('name', JSON)
def test_rest(server, name):
    text, words = JSON[name]
    status, answer = server.post('/v2/models/identity_fp32/infer', text.encode())
    assert status == 400, answer
    error = json.loads(answer)['error']
    assert words in error, error
    status, _ = server.post('/v2/models/identity_fp32/infer', body().encode())
    assert status == 200


@pytest.mark.parametrize('value', ['x', '-1', '99999', '18446744073709551616'])
def test_rest_wrong_header_length(server, value):
    status, answer = server.post('/v2/models/identity_fp32/infer', body().encode(),
                                 headers={'Inference-Header-Content-Length': value})
    assert status == 400 and b'Content-Length' in answer


def test_rest_binary_left_over(server):
    text = body().encode()
    status, answer = server.post('/v2/models/identity_fp32/infer', text + b'12345678',
                                 headers={'Inference-Header-Content-Length': str(len(text))})
    assert status == 400 and b'belong to none' in answer


def test_rest_integers_must_be_integers(server):
    for data in ('[1.5]', '[1e2]', '[2147483648]', '[-2147483649]', '[true]'):
        text = ('{"inputs":[{"name":"INPUT0","shape":[1,1],"datatype":"INT32","data":%s}]}' % data)
        status, _ = server.post('/v2/models/identity_int32/infer', text.encode())
        assert status == 400, data


def test_rest_paths_and_methods(server):
    assert server.post('/v2/models/absent/infer', body().encode())[0] == 404
    assert server.post('/v2/models/plus/versions/9/infer', body().encode())[0] == 404
    assert server.get('/v2/models/simple/infer')[0] == 405
    assert server.get('/v3')[0] == 404
    assert server.get('/v2/models/%zz')[0] == 404
    assert server.get('/v2/models/a%00b')[0] == 404
    assert server.get('/v2/models//ready')[0] == 404
    assert server.post('/v2/repository/models/simple/load', {})[0] == 403


def test_answers_that_json_cannot_say(server):
    raw = numpy.array([[numpy.nan]], numpy.float32).tobytes()
    head = json.dumps({'inputs': [{'name': 'INPUT0', 'shape': [1, 1], 'datatype': 'FP32',
                                   'parameters': {'binary_data_size': 4}}]}).encode()
    status, answer = server.post('/v2/models/identity_fp32/infer', head + raw,
                                 headers={'Inference-Header-Content-Length': str(len(head))})
    assert status == 400 and b'binary' in answer


def test_batch_above_maximum(serve, repository):
    models = repository('simple')
    (models / 'simple/model.yaml').write_text('batching: {max: 4}\n')
    server = serve(models)
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ModelInfer(simple(shape=(4, 16), raws=(RAW * 4, RAW * 4)))
        with pytest.raises(grpc.RpcError) as error:
            stub.ModelInfer(simple(shape=(5, 16), raws=(RAW * 5, RAW * 5)))
        assert error.value.code() == INVALID and '4' in error.value.details()


def test_full_queue(serve, repository):
    models = repository('slow')
    (models / 'slow/model.yaml').write_text('batching: {queue: 2}\n')
    server = serve(models)
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        calls = [stub.ModelInfer.future(slow(20000)) for _ in range(12)]
        codes = [one.code() for one in calls if one.exception(timeout=30) is not None]
        assert codes and set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert len(codes) < 12
        text = json.dumps({'inputs': [{'name': 'LOOPS', 'shape': [1], 'datatype': 'INT64',
                                       'data': [20000]}]})
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            server.post('/v2/models/slow/infer', text.encode())[0])) for _ in range(12)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert set(answers) == {200, 429}


def test_drain_finishes_what_is_under_way(serve, repository):
    server = serve(repository('slow'))
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = stub.ModelInfer.future(slow(60000))
        time.sleep(0.1)
        server.signal()
        assert call.result(timeout=20).outputs
    assert server.process.wait(20) == 0


def test_a_client_that_leaves_in_the_middle(server):
    text = body().encode()
    head = (b'POST /v2/models/identity_fp32/infer HTTP/1.1\r\nHost: x\r\n'
            b'Content-Length: %d\r\n\r\n' % len(text))
    for cut in (0, 1, len(text) - 1):
        with socket.create_connection(('127.0.0.1', server.http_port)) as one:
            one.sendall(head + text[:cut])
    assert server.get('/v2/health/live')[0] == 200
