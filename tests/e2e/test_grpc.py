"""gRPC with the clients that people have: tritonclient (sync, async, streaming), plain grpcio with
reflection and health checks."""

import asyncio
import base64
import queue

import grpc
import numpy
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase)
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

DTYPES = {'bool': bool, 'uint8': numpy.uint8, 'uint16': numpy.uint16, 'uint32': numpy.uint32,
          'uint64': numpy.uint64, 'int8': numpy.int8, 'int16': numpy.int16, 'int32': numpy.int32,
          'int64': numpy.int64, 'fp16': numpy.float16, 'fp32': numpy.float32,
          'fp64': numpy.float64}


def tensor(name, array, dtype=None):
    one = triton.InferInput(name, list(array.shape), dtype or np_to_triton_dtype(array.dtype))
    one.set_data_from_numpy(array)
    return one


def pair(rows=1):
    a = numpy.arange(16 * rows, dtype=numpy.int32).reshape(rows, 16)
    return a, a * 3 + 1


@pytest.fixture(scope='module')
def client(server):
    with triton.InferenceServerClient(server.grpc) as one:
        yield one


@pytest.fixture(scope='module')
def stub(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def test_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready('simple') and client.is_model_ready('simple', '1')
    assert not client.is_model_ready('absent')
    server = client.get_server_metadata()
    assert server.name == 'tenon' and 'binary_tensor_data' in server.extensions
    model = client.get_model_metadata('simple')
    assert [one.name for one in model.inputs] == ['INPUT0', 'INPUT1']
    assert list(model.inputs[0].shape) == [-1, 16] and model.inputs[0].datatype == 'INT32'
    config = client.get_model_config('simple', as_json=True)['config']
    assert config['max_batch_size'] > 1 and config['input'][0]['dims'] == ['16']


@pytest.mark.parametrize('rows', [1, 2, 7, 64])
def test_infer(client, rows):
    a, b = pair(rows)
    result = client.infer('simple', [tensor('INPUT0', a), tensor('INPUT1', b)], request_id='seven')
    assert (result.as_numpy('OUTPUT0') == a + b).all()
    assert (result.as_numpy('OUTPUT1') == a - b).all()
    response = result.get_response()
    assert response.id == 'seven' and response.model_version == '1'
    assert len(response.parameters['model_sha256'].string_param) == 64


def test_inputs_in_another_order_and_one_output(client):
    a, b = pair()
    result = client.infer('simple', [tensor('INPUT1', b), tensor('INPUT0', a)],
                          outputs=[triton.InferRequestedOutput('OUTPUT1')])
    assert (result.as_numpy('OUTPUT1') == a - b).all()
    assert result.as_numpy('OUTPUT0') is None


@pytest.mark.parametrize('name', DTYPES)
def test_every_datatype(client, name):
    array = numpy.array([[0, 1, 2, 100, 7]]).astype(DTYPES[name])
    result = client.infer('identity_' + name, [tensor('INPUT0', array)])
    assert (result.as_numpy('OUTPUT0') == array).all()
    assert result.as_numpy('OUTPUT0').dtype == array.dtype


def test_bf16(stub):
    raw = bytes(range(10))
    request = service_pb2.ModelInferRequest(model_name='identity_bf16')
    request.inputs.add(name='INPUT0', datatype='BF16', shape=[1, 5])
    request.raw_input_contents.append(raw)
    response = stub.ModelInfer(request)
    assert response.raw_output_contents[0] == raw and response.outputs[0].datatype == 'BF16'


def test_bytes(client):
    array = numpy.array([[b'', b'a', 'häß'.encode(), bytes(range(256))]], dtype=object)
    result = client.infer('identity_bytes', [tensor('INPUT0', array, 'BYTES')])
    assert list(result.as_numpy('OUTPUT0')[0]) == list(array[0])


TYPED = {'BOOL': ('bool_contents', [True, False, True]), 'INT8': ('int_contents', [-128, 0, 127]),
         'INT16': ('int_contents', [-32768, 0, 32767]), 'INT32': ('int_contents', [-2**31, 5, 1]),
         'INT64': ('int64_contents', [-2**63, 2**53 + 1, 1]),
         'UINT8': ('uint_contents', [0, 1, 255]),
         'UINT16': ('uint_contents', [0, 1, 65535]), 'UINT32': ('uint_contents', [0, 1, 2**32 - 1]),
         'UINT64': ('uint64_contents', [0, 1, 2**64 - 1]),
         'FP32': ('fp32_contents', [0.5, -1.25, 3e38]), 'FP64': ('fp64_contents', [0.5, -1e300, 0]),
         'BYTES': ('bytes_contents', [b'', b'x' * 300, b'\0\xff'])}


@pytest.mark.parametrize('datatype', TYPED)
def test_typed_contents(client, stub, datatype):
    field, values = TYPED[datatype]
    request = service_pb2.ModelInferRequest(model_name='identity_' + datatype.lower())
    one = request.inputs.add(name='INPUT0', datatype=datatype, shape=[1, 3])
    getattr(one.contents, field).extend(values)
    response = stub.ModelInfer(request)
    result = triton.InferResult(response).as_numpy('OUTPUT0')
    assert list(result[0]) == list(numpy.array(values, dtype=result.dtype))


def test_classification(client):
    a, b = pair()
    outputs = [triton.InferRequestedOutput('OUTPUT0', class_count=3)]
    result = client.infer('simple', [tensor('INPUT0', a), tensor('INPUT1', b)], outputs=outputs)
    assert list(result.as_numpy('OUTPUT0')[0]) == [b'61:15', b'57:14', b'53:13']


def test_versions(client):
    assert client.is_model_ready('plus', '3') and not client.is_model_ready('plus', '1')


def test_statistics(client):
    before = client.get_inference_statistics('simple').model_stats[0]
    a, b = pair(4)
    client.infer('simple', [tensor('INPUT0', a), tensor('INPUT1', b)])
    after = client.get_inference_statistics('simple').model_stats[0]
    assert after.inference_count - before.inference_count == 4
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert sum(one.compute_infer.count for one in after.batch_stats) == after.execution_count
    assert len(client.get_inference_statistics().model_stats) > 20


def test_repository_index_and_refused_loads(client):
    states = {(one.name, one.version): one.state for one in
              client.get_model_repository_index().models}
    assert states['simple', '1'] == 'READY' and states['plus', '3'] == 'READY'
    assert states['plus', '1'] != 'READY'
    with pytest.raises(InferenceServerException, match='--mode explicit'):
        client.load_model('simple')


def test_compressed_requests(client):
    a, b = pair()
    for algorithm in ('gzip', 'deflate'):
        result = client.infer('simple', [tensor('INPUT0', a), tensor('INPUT1', b)],
                              compression_algorithm=algorithm)
        assert (result.as_numpy('OUTPUT0') == a + b).all()


def test_async_callbacks(client):
    done = queue.Queue()
    a, b = pair()
    for i in range(50):
        client.async_infer('simple', [tensor('INPUT0', a + i), tensor('INPUT1', b)],
                           lambda result, error, i=i: done.put((i, result, error)))
    for _ in range(50):
        i, result, error = done.get(timeout=20)
        assert error is None and (result.as_numpy('OUTPUT0') == a + b + i).all()


def test_streaming_answers_in_order_and_errors_in_band(server):
    done = queue.Queue()
    a, b = pair()
    with triton.InferenceServerClient(server.grpc) as client:
        client.start_stream(lambda result, error: done.put((result, error)))
        for i in range(300):
            name = 'absent' if i % 10 == 3 else 'simple'
            client.async_stream_infer(name, [tensor('INPUT0', a + i), tensor('INPUT1', b)],
                                      request_id=str(i))
        for i in range(300):
            result, error = done.get(timeout=20)
            if i % 10 == 3:
                assert 'absent' in str(error)
            else:
                assert error is None and result.get_response().id == str(i)
                assert (result.as_numpy('OUTPUT0') == a + b + i).all()
        client.stop_stream()


def test_large_tensors_by_stream_and_call(server, client):
    array = numpy.random.default_rng(1).random((1, 3, 224, 224), numpy.float32)
    result = client.infer('image_identity', [tensor('INPUT0', array)])
    assert (result.as_numpy('OUTPUT0') == array).all()
    done = queue.Queue()
    with triton.InferenceServerClient(server.grpc) as streaming:
        streaming.start_stream(lambda result, error: done.put((result, error)))
        for _ in range(40):
            streaming.async_stream_infer('image_identity', [tensor('INPUT0', array)])
        for _ in range(40):
            result, error = done.get(timeout=30)
            assert error is None and (result.as_numpy('OUTPUT0') == array).all()


def test_asyncio(server):
    async def run():
        async with triton_aio.InferenceServerClient(server.grpc) as client:
            a, b = pair()
            results = await asyncio.gather(*[
                client.infer('simple', [tensor('INPUT0', a + i), tensor('INPUT1', b)])
                for i in range(64)])
            for i, result in enumerate(results):
                assert (result.as_numpy('OUTPUT0') == a + b + i).all()
    asyncio.run(run())


def test_health_service(server):
    with grpc.insecure_channel(server.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        for service in ('', 'inference.GRPCInferenceService', 'simple'):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == serving, service
        with pytest.raises(grpc.RpcError) as error:
            stub.Check(health_pb2.HealthCheckRequest(service='absent'))
        assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection(server):
    with grpc.insecure_channel(server.grpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert 'inference.GRPCInferenceService' in database.get_services()
        file = database.FindFileContainingSymbol('inference.ModelInferRequest')
        assert file.package == 'inference'


def test_trace_and_log_settings(client):
    settings = client.get_log_settings(as_json=True)['settings']
    assert settings['log_info']['bool_param'] is True
    client.update_log_settings({'log_verbose_level': 1})
    settings = client.get_log_settings(as_json=True)['settings']
    assert settings['log_verbose_level']['uint32_param'] == 1
    client.update_log_settings({'log_verbose_level': 0})
    client.update_trace_settings('simple', {'trace_rate': '7'})
    trace = client.get_trace_settings('simple', as_json=True)['settings']
    assert trace['trace_rate']['value'] == ['7']
    assert client.get_trace_settings(as_json=True)['settings']['trace_rate']['value'] == ['1000']
    with pytest.raises(InferenceServerException, match='operator'):
        client.update_trace_settings('simple', {'trace_file': '/tmp/mine'})
    with pytest.raises(InferenceServerException, match='trace_rate'):
        client.update_trace_settings('simple', {'trace_rate': 'often'})


def test_cuda_shared_memory_is_declined_in_words(client):
    assert len(client.get_cuda_shared_memory_status().regions) == 0
    with pytest.raises(InferenceServerException, match='no GPU'):
        client.register_cuda_shared_memory('region', base64.b64encode(b'handle'), 0, 64)
