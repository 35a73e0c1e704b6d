"""REST with tritonclient (sync, async, binary and JSON), urllib and curl."""

import asyncio
import json
import shutil
import subprocess

import numpy
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype


def tensor(name, array, binary=True, dtype=None):
    one = triton.InferInput(name, list(array.shape), dtype or np_to_triton_dtype(array.dtype))
    one.set_data_from_numpy(array, binary_data=binary)
    return one


def pair(rows=1):
    a = numpy.arange(16 * rows, dtype=numpy.int32).reshape(rows, 16)
    return a, a * 3 + 1


@pytest.fixture(scope='module')
def client(server):
    with triton.InferenceServerClient(server.http) as one:
        yield one


def test_health_and_metadata(client, server):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready('simple') and not client.is_model_ready('absent')
    assert client.get_server_metadata()['name'] == 'tenon'
    model = client.get_model_metadata('simple')
    assert model['inputs'][1] == {'name': 'INPUT1', 'datatype': 'INT32', 'shape': [-1, 16]}
    assert client.get_model_config('simple')['input'][0]['data_type'] == 'TYPE_INT32'
    status, page = server.get('/')
    assert status == 200 and b'simple' in page


@pytest.mark.parametrize('binary_in', [True, False])
@pytest.mark.parametrize('binary_out', [True, False])
def test_infer(client, binary_in, binary_out):
    a, b = pair(3)
    outputs = [triton.InferRequestedOutput('OUTPUT0', binary_data=binary_out),
               triton.InferRequestedOutput('OUTPUT1', binary_data=not binary_out)]
    result = client.infer('simple', [tensor('INPUT0', a, binary_in), tensor('INPUT1', b, False)],
                          outputs=outputs, request_id='seven')
    assert (result.as_numpy('OUTPUT0') == a + b).all()
    assert (result.as_numpy('OUTPUT1') == a - b).all()
    assert result.get_response()['id'] == 'seven'


DTYPES = [bool, numpy.uint8, numpy.uint16, numpy.uint32, numpy.uint64, numpy.int8, numpy.int16,
          numpy.int32, numpy.int64, numpy.float32, numpy.float64, numpy.float16]


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('binary', [True, False])
def test_every_datatype(client, dtype, binary):
    array = numpy.array([[0, 1, 2, 100, 7]]).astype(dtype)
    name = 'identity_' + np_to_triton_dtype(array.dtype).lower()
    output = [triton.InferRequestedOutput('OUTPUT0', binary_data=binary)]
    if dtype == numpy.float16 and not binary:
        with pytest.raises(InferenceServerException, match='binary'):
            client.infer(name, [tensor('INPUT0', array)], outputs=output)
        return
    result = client.infer(name, [tensor('INPUT0', array, binary)], outputs=output)
    assert (result.as_numpy('OUTPUT0') == array).all()


@pytest.mark.parametrize('binary', [True, False])
def test_bytes(client, binary):
    array = numpy.array([['', 'a', 'häß "\\ \n', '𝄞']], dtype=object)
    output = [triton.InferRequestedOutput('OUTPUT0', binary_data=binary)]
    result = client.infer('identity_bytes', [tensor('INPUT0', array, binary, 'BYTES')],
                          outputs=output)
    values = [one.decode() if isinstance(one, bytes) else one
              for one in result.as_numpy('OUTPUT0')[0]]
    assert values == list(array[0])


def test_floats_are_exact_both_ways(server):
    rng = numpy.random.default_rng(3)
    bits = rng.integers(0, 2**32, 4000, dtype=numpy.uint32).view(numpy.float32)
    array = bits[numpy.isfinite(bits)][:3000].reshape(1, -1)
    body = {'inputs': [{'name': 'INPUT0', 'shape': list(array.shape), 'datatype': 'FP32',
                        'data': [float(one) for one in array[0]]}]}
    status, answer = server.post('/v2/models/identity_fp32/infer', body)
    assert status == 200
    data = numpy.array(json.loads(answer)['outputs'][0]['data']).astype(numpy.float32)
    assert (data.view(numpy.uint32) == array[0].view(numpy.uint32)).all()


def test_integers_beyond_two_to_the_53rd(server):
    for datatype, values in {'INT64': [-2**63, 2**53 + 1, 2**63 - 1],
                             'UINT64': [0, 2**53 + 1, 2**64 - 1]}.items():
        body = {'inputs': [{'name': 'INPUT0', 'shape': [1, 3], 'datatype': datatype,
                            'data': values}]}
        status, answer = server.post(f'/v2/models/identity_{datatype.lower()}/infer', body)
        assert status == 200 and json.loads(answer)['outputs'][0]['data'] == values


def test_nested_data_and_data_before_shape(server):
    body = ('{"inputs":[{"data":[[1,2],[3,4]],"name":"INPUT0","datatype":"INT32","shape":[2,2]}]}')
    status, answer = server.post('/v2/models/identity_int32/infer', body.encode())
    assert status == 200 and json.loads(answer)['outputs'][0]['data'] == [1, 2, 3, 4]


def test_versioned_paths(client, server):
    assert server.get('/v2/models/plus/versions/3')[0] == 200
    assert server.get('/v2/models/plus/versions/3/ready')[0] == 200
    assert server.get('/v2/models/plus/versions/1/ready')[0] == 404
    assert server.get('/v2/models/plus/versions/x')[0] == 400


def test_classification(client):
    a, b = pair()
    outputs = [triton.InferRequestedOutput('OUTPUT0', binary_data=False, class_count=2)]
    result = client.infer('simple', [tensor('INPUT0', a), tensor('INPUT1', b)], outputs=outputs)
    assert result.get_response()['outputs'][0]['data'] == ['61:15', '57:14']


def test_statistics_and_index(client):
    stats = client.get_inference_statistics('simple')['model_stats'][0]
    assert stats['inference_stats']['success']['count'] > 0
    index = client.get_model_repository_index()
    assert {'name': 'simple', 'version': '1', 'state': 'READY', 'reason': ''} in index
    with pytest.raises(InferenceServerException, match='--mode explicit'):
        client.unload_model('simple')


def test_compressed_bodies(client):
    a, b = pair(10)
    for algorithm in ('gzip', 'deflate'):
        result = client.infer('simple', [tensor('INPUT0', a), tensor('INPUT1', b)],
                              request_compression_algorithm=algorithm,
                              response_compression_algorithm=algorithm)
        assert (result.as_numpy('OUTPUT0') == a + b).all()


def test_asyncio(server):
    async def run():
        async with triton_aio.InferenceServerClient(server.http) as client:
            a, b = pair()
            results = await asyncio.gather(*[
                client.infer('simple', [tensor('INPUT0', a + i), tensor('INPUT1', b)])
                for i in range(32)])
            for i, result in enumerate(results):
                assert (result.as_numpy('OUTPUT0') == a + b + i).all()
    asyncio.run(run())


def test_settings(client):
    assert client.get_log_settings()['log_info'] is True
    assert client.update_log_settings({'log_verbose_level': 1})['log_verbose_level'] == 1
    client.update_log_settings({'log_verbose_level': 0})
    assert client.update_trace_settings('simple', {'trace_rate': '9'})['trace_rate'] == '9'
    assert client.update_trace_settings('simple', {'trace_rate': None})['trace_rate'] == '1000'


@pytest.mark.skipif(shutil.which('curl') is None, reason='no curl')
@pytest.mark.parametrize('flag', ['--http1.1', '--http2-prior-knowledge'])
def test_curl(server, flag):
    body = {'inputs': [{'name': name, 'shape': [1, 16], 'datatype': 'INT32',
                        'data': list(range(16))} for name in ('INPUT0', 'INPUT1')]}
    answer = subprocess.run(
        ['curl', '-sS', '--max-time', '20', flag, '-d', json.dumps(body), '-H',
         'Content-Type: application/json', f'http://{server.http}/v2/models/simple/infer'],
        check=True, capture_output=True)
    outputs = json.loads(answer.stdout)['outputs']
    assert outputs[0]['data'] == [2 * i for i in range(16)]
    assert outputs[1]['data'] == [0] * 16


def test_metrics(server):
    status, text = server.get('/metrics', port=server.metrics_port)
    assert status == 200 and b'process_cpu_seconds_total' in text
