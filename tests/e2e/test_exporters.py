"""A live server's exporters: an OpenTelemetry collector over gRPC and over HTTP, a remote-write
receiver, a receiver that is away, and traces that go on from the caller's."""

import http.server
import subprocess
import threading
import time
from concurrent import futures

import grpc
import pytest
import snappy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

from server import ROOT, free_ports
from test_metrics import OPEN, ROWS, documented, of, read, scrape

TRACE, SPAN = '0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'


def wait_for(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, 'it did not come'
        time.sleep(0.05)


class Collector(trace_grpc.TraceServiceServicer, metrics_grpc.MetricsServiceServicer):
    """Keeps what comes, over gRPC; refuses the first request of each kind, to be asked again."""

    def __init__(self):
        self.metrics, self.spans, self.refused = [], [], set()
        self.pool = futures.ThreadPoolExecutor(2)
        self.server = grpc.server(self.pool)
        trace_grpc.add_TraceServiceServicer_to_server(_Traces(self), self.server)
        metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), self.server)
        self.port = self.server.add_insecure_port('127.0.0.1:0')
        self.server.start()

    def refuse_once(self, kind, context):
        if kind not in self.refused:
            self.refused.add(kind)
            context.abort(grpc.StatusCode.UNAVAILABLE, 'not yet')

    def stop(self):
        self.server.stop(0).wait(5)
        self.pool.shutdown()


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, collector):
        self.collector = collector

    def Export(self, request, context):
        self.collector.refuse_once('traces', context)
        self.collector.spans += [span for resource in request.resource_spans
                                 for scope in resource.scope_spans for span in scope.spans]
        return trace_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, collector):
        self.collector = collector

    def Export(self, request, context):
        self.collector.refuse_once('metrics', context)
        self.collector.metrics += [metric for resource in request.resource_metrics
                                   for scope in resource.scope_metrics
                                   for metric in scope.metrics]
        return metrics_pb2.ExportMetricsServiceResponse()


@pytest.fixture
def collector():
    one = Collector()
    yield one
    one.stop()


@pytest.fixture
def receiver():
    """A plain HTTP server: [(path, headers, body)], and the status it answers with."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def do_POST(self):
            body = self.rfile.read(int(self.headers['Content-Length']))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.server.came.append((self.path, headers, body))
            self.send_response(self.server.status)
            self.send_header('Content-Length', '0')
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    server.came, server.status, server.port = [], 200, server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_spans_and_metrics_reach_a_collector(serve, repository, collector):
    server = serve(repository('simple'), f'--otlp-url=grpc://127.0.0.1:{collector.port}',
                   '--otlp-sample=1', '--otlp-interval=200ms')
    parent = {'traceparent': f'00-{TRACE}-{SPAN}-01'}
    unsampled = {'traceparent': f'00-{"1" * 32}-{SPAN}-00'}
    for headers in (parent, unsampled, None):
        assert server.post('/v2/models/simple/infer', ROWS, headers=headers)[0] == 200
    wait_for(lambda: len(collector.spans) >= 2)
    spans = {span.trace_id.hex(): span for span in collector.spans}
    assert len(spans) == 2 and '1' * 32 not in spans
    ours = spans[TRACE]
    assert ours.parent_span_id.hex() == SPAN and len(ours.span_id) == 8
    assert abs(ours.end_time_unix_nano / 1e9 - time.time()) < 60
    assert 0 < ours.end_time_unix_nano - ours.start_time_unix_nano < 10e9
    attributes = {one.key: one.value for one in ours.attributes}
    assert attributes['model.name'].string_value == 'simple'
    wait_for(lambda: any(metric.name == 'tenon_infer_requests_total'
                         for metric in collector.metrics))
    # The same trace is the example of its bucket.
    assert f'trace_id="{TRACE}"' in scrape(server, OPEN)[1]
    # Each was refused once and asked again, and the books balance.
    values = read(server)
    assert of(values, 'tenon_export_retries_total', exporter='otlp_spans') >= 1
    assert of(values, 'tenon_export_settled_total', exporter='otlp_spans',
              result='delivered') == 2
    for name in ('otlp_spans', 'otlp_metrics'):
        assert of(values, 'tenon_export_accepted_total', exporter=name) == \
            of(values, 'tenon_export_settled_total', exporter=name) + \
            of(values, 'tenon_export_buffered', exporter=name)
    # The document tells their names and labels.
    told = documented()
    for (name, labels), _ in values.items():
        if name.startswith('tenon_export_'):
            family = name if name in told else name.rsplit('_', 1)[0]
            assert told[family][1] == {label for label, _ in labels if label != 'le'}, name


def test_a_collector_over_http(serve, repository, receiver):
    server = serve(repository('simple'), f'--otlp-url=http://127.0.0.1:{receiver.port}',
                   '--otlp-sample=1', '--otlp-interval=200ms')
    assert server.post('/v2/models/simple/infer', ROWS)[0] == 200
    wait_for(lambda: {'/v1/metrics', '/v1/traces'} <= {path for path, _, _ in receiver.came})
    for path, headers, body in receiver.came:
        assert headers['content-type'] == 'application/x-protobuf'
        kind = metrics_pb2.ExportMetricsServiceRequest if path == '/v1/metrics' \
            else trace_pb2.ExportTraceServiceRequest
        message = kind.FromString(body)
        resources = message.resource_metrics if path == '/v1/metrics' else message.resource_spans
        names = {one.key: one.value.string_value for one in resources[0].resource.attributes}
        assert names['service.name'] == 'tenon-serve'


def write_request(folder):
    ds = folder / 'remote.ds'
    subprocess.run(['protoc', '-I', ROOT / 'proto', f'--descriptor_set_out={ds}', 'remote.proto'],
                   check=True, timeout=60)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(ds.read_bytes()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('prometheus.WriteRequest'))


def test_remote_write(serve, repository, receiver, tmp_path):
    server = serve(repository('simple'), '--remote-write-interval=200ms',
                   f'--remote-write-url=http://127.0.0.1:{receiver.port}/api/v1/write')
    assert server.post('/v2/models/simple/infer', ROWS)[0] == 200
    before = len(receiver.came)
    wait_for(lambda: len(receiver.came) >= before + 3)
    message = write_request(tmp_path)
    last = {}
    for path, headers, body in receiver.came:
        assert path == '/api/v1/write' and headers['content-encoding'] == 'snappy'
        assert headers['x-prometheus-remote-write-version'] == '0.1.0'
        for series in message.FromString(snappy.decompress(body)).timeseries:
            labels = {label.name: label.value for label in series.labels}
            assert list(labels) == sorted(labels) and labels['job'] == 'tenon-serve'
            assert labels['instance'].endswith(f':{server.metrics_port}')
            assert abs(series.samples[0].timestamp / 1e3 - time.time()) < 60
            last[labels['__name__'], labels.get('model')] = series.samples[0].value
    assert last['nv_inference_count', 'simple'] == 1
    assert last['tenon_infer_request_seconds_count', 'simple'] == 1


def test_a_receiver_that_is_away_harms_nothing(serve, repository):
    (port,) = free_ports(1)
    server = serve(repository('simple'), f'--otlp-url=grpc://127.0.0.1:{port}', '--otlp-sample=1',
                   '--otlp-interval=100ms', f'--remote-write-url=http://127.0.0.1:{port}/write',
                   '--remote-write-interval=100ms')
    for _ in range(20):
        assert server.post('/v2/models/simple/infer', ROWS)[0] == 200
        time.sleep(0.05)
    values = read(server)
    assert of(values, 'tenon_export_settled_total', exporter='remote_write',
              result='delivered') == 0
    assert of(values, 'tenon_export_buffered', exporter='remote_write') > 0
    assert server.stop() == 0


@pytest.mark.parametrize('flag', ['--otlp-url=nowhere', '--remote-write-url=grpc://a',
                                  '--otlp-sample=2', '--remote-write-interval=1ms'])
def test_wrong_settings_are_refused(serve, repository, flag):
    server = serve(repository('simple'), flag, wait_ready=False)
    assert server.process.wait(20) in (64, 65, 78)
    assert len(server.log()) > 40
