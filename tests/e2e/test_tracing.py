"""Traces of single requests in a file, switched on and off by the clients' trace settings."""

import json

import numpy
import pytest
import tritonclient.grpc as triton
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'


def ask(client, count, model='plus', **options):
    kind = triton_http if isinstance(client, triton_http.InferenceServerClient) else triton
    one = kind.InferInput('INPUT0', [1, 4], 'FP32')
    one.set_data_from_numpy(numpy.zeros((1, 4), numpy.float32))
    for _ in range(count):
        client.infer(model, [one], **options)


def test_trace_file(serve, repository, tmp_path):
    file = tmp_path / 'trace.json'
    server = serve(repository('plus', 'simple'), '--trace-file', file)
    with triton.InferenceServerClient(server.grpc) as client:
        ask(client, 5)
        client.update_trace_settings('plus', {'trace_level': ['TIMESTAMPS'], 'trace_rate': '1',
                                              'trace_count': '3'})
        ask(client, 5, request_id='mine', headers={'traceparent': PARENT})
        with triton_http.InferenceServerClient(server.http) as http:
            settings = http.get_trace_settings('plus')
            assert settings['trace_level'] == ['TIMESTAMPS'] and settings['trace_count'] == '0'
            http.update_trace_settings('plus', {'trace_count': '-1'})
            ask(http, 2)
            http.update_trace_settings('plus', {'trace_level': ['OFF']})
            ask(http, 2)
    server.stop()
    traces = json.loads(file.read_text())
    assert len(traces) == 5
    for one in traces:
        assert one['model_name'] == 'plus'
        stamps = [stamp['ns'] for stamp in one['timestamps']]
        assert stamps == sorted(stamps) and len(stamps) == 7
    assert traces[0]['trace_id'] == PARENT.split('-')[1] and traces[0]['request_id'] == 'mine'


def test_an_unwritable_trace_file_is_told_at_start(serve, repository):
    with pytest.raises(RuntimeError, match='cannot write'):
        serve(repository('plus'), '--trace-file', '/nowhere/trace.json')


def test_a_full_disk_loses_traces_and_nothing_else(serve, repository):
    server = serve(repository('plus'), '--trace-file', '/dev/full', '--trace-rate', '1')
    with triton.InferenceServerClient(server.grpc) as client:
        ask(client, 20)
        with pytest.raises(InferenceServerException):
            client.update_trace_settings(settings={'trace_rate': '0'})
    assert server.log().count('traces cannot be written') == 1
