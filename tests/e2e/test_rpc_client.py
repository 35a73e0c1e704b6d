"""Our gRPC client (build/tests/unit/rpc/rpc_probe) against the servers of other people: grpcio, and
Python's own http.server."""

import functools
import http.server
import json
import pathlib
import subprocess
import threading
import time
from concurrent import futures

import grpc
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROBE = ROOT / 'build/tests/unit/rpc/rpc_probe'


def probe(target, path, **arguments):
    words = [f'{name}={value}' for name, value in arguments.items()]
    done = subprocess.run([PROBE, target, path, *words], capture_output=True, text=True,
                          timeout=60, check=True)
    return json.loads(done.stdout)


def raw(message):
    return message


class Echo(grpc.GenericRpcHandler):
    """Bytes in, bytes out, without protobuf."""

    def service(self, details):
        return {
            '/t.E/Unary': self.unary(lambda request, context: request),
            '/t.E/Fail': self.unary(self.fail),
            '/t.E/Slow': self.unary(self.slow),
            '/t.E/Gzip': self.unary(self.gzip),
            '/t.E/Early': grpc.stream_stream_rpc_method_handler(self.early, raw, raw),
            '/t.E/Stream': grpc.stream_stream_rpc_method_handler(
                lambda requests, context: (request for request in requests), raw, raw),
        }.get(details.method)

    @staticmethod
    def unary(function):
        return grpc.unary_unary_rpc_method_handler(function, raw, raw)

    @staticmethod
    def fail(request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, 'no such thing: \u00e4 100 %')

    @staticmethod
    def slow(request, context):
        while context.is_active():
            time.sleep(0.01)
        return request

    @staticmethod
    def gzip(request, context):
        context.set_compression(grpc.Compression.Gzip)
        return request

    @staticmethod
    def early(requests, context):
        """Answers before the client has said all."""
        yield next(requests)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, 'enough')


@pytest.fixture(scope='module')
def grpc_target():
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[
        ('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1)])
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port('127.0.0.1:0')
    server.start()
    yield f'127.0.0.1:{port}'
    server.stop(None)


@pytest.mark.parametrize('size', [0, 1, 4091, 16384, 65536, 1000000, 20000000])
def test_unary(grpc_target, size):
    got = probe(grpc_target, '/t.E/Unary', size=size)
    assert (got['ok'], got['bytes'], got['mismatched']) == (1, size, 0)


def test_many_at_once(grpc_target):
    got = probe(grpc_target, '/t.E/Unary', calls=2000, together=100, size=185)
    assert (got['ok'], got['messages'], got['mismatched']) == (2000, 2000, 0)


def test_stream(grpc_target):
    got = probe(grpc_target, '/t.E/Stream', messages=100, size=100000)
    assert (got['ok'], got['messages'], got['mismatched']) == (1, 100, 0)


def test_status_and_message(grpc_target):
    got = probe(grpc_target, '/t.E/Fail')
    assert got['status'] == {'5': 1}
    assert got['message'] == 'no such thing: \u00e4 100 %'


def test_unknown_method(grpc_target):
    assert probe(grpc_target, '/t.E/Nothing')['status'] == {'12': 1}


def test_deadline(grpc_target):
    got = probe(grpc_target, '/t.E/Slow', deadline_ms=100)
    assert got['status'] == {'4': 1}
    assert 100000 <= got['wall_us'] < 5000000


def test_cancel(grpc_target):
    got = probe(grpc_target, '/t.E/Stream', messages=50, size=200000, cancel_after=5)
    assert got['status'] == {'1': 1}
    assert got['messages'] == 5


def test_compressed_answer(grpc_target):
    got = probe(grpc_target, '/t.E/Gzip', size=100000)
    assert (got['ok'], got['mismatched']) == (1, 0)


def test_early_end(grpc_target):
    got = probe(grpc_target, '/t.E/Early', messages=100, size=100000)
    assert got['status'] == {'8': 1}
    assert got['message'] == 'enough'


def test_names_are_looked_up(grpc_target):
    port = grpc_target.rsplit(':', 1)[1]
    assert probe(f'localhost:{port}', '/t.E/Unary')['ok'] == 1
    got = probe('no-such-host.invalid:1', '/t.E/Unary')
    assert got['status'] == {'14': 1}
    assert 'the name is not known' in got['message']


@pytest.fixture(scope='module')
def http_target(tmp_path_factory):
    folder = tmp_path_factory.mktemp('http')
    (folder / 'x').write_bytes(b'x' * 100000)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'127.0.0.1:{server.server_address[1]}'
        server.shutdown()


def test_http1_of_a_server_that_closes(http_target):
    got = probe(http_target, '/x', http=1, messages=0, calls=20, together=3)
    assert (got['ok'], got['bytes'], got['http_status']) == (20, 2000000, 200)


def test_http1_head_and_post(http_target):
    got = probe(http_target, '/x', http=1, messages=0, calls=3, method='HEAD')
    assert (got['ok'], got['bytes'], got['http_status']) == (3, 0, 200)
    assert probe(http_target, '/x', http=1, calls=3, method='POST')['http_status'] == 501


def test_grpc_to_a_server_that_does_not_speak_it(http_target):
    got = probe(http_target, '/t.E/Unary')
    assert got['status'] == {'14': 1}
