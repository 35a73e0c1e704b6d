"""The doors of a real server: tokens, certificates, ports and settings at the start, thousands of
connections, and HTTP/1.1 as other people's programs write it."""

import contextlib
import json
import pathlib
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from server import free_ports, program
from test_faults import alive, request_of, slow, stub_of, until


# --- tokens ---------------------------------------------------------------------------------------

SESAME = '41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb'


def test_tokens_guard_every_door(serve, repository):
    models = repository('plus', 'simple')
    (models / 'plus/model.yaml').write_text(f'tokens: ["{SESAME}"]\n')
    server = serve(models, '--mode', 'explicit', '--load', 'plus', '--load', 'simple',
                   '--access-log', '--log-level', 'debug')
    request = request_of('plus', [1, 4], 'FP32', bytes(16))
    named = {'ModelMetadata': service_pb2.ModelMetadataRequest(name='plus'),
             'ModelConfig': service_pb2.ModelConfigRequest(name='plus'),
             'ModelStatistics': service_pb2.ModelStatisticsRequest(name='plus'),
             'ModelInfer': request,
             'RepositoryModelUnload': service_pb2.RepositoryModelUnloadRequest(model_name='plus')}
    wrong = {None: grpc.StatusCode.UNAUTHENTICATED, 'Bearer wrong':
             grpc.StatusCode.PERMISSION_DENIED, 'Basic open sesame':
             grpc.StatusCode.UNAUTHENTICATED, 'Bearer open sesam':
             grpc.StatusCode.PERMISSION_DENIED,
             f'Bearer {SESAME}': grpc.StatusCode.PERMISSION_DENIED}
    with stub_of(server) as stub:
        for method, message in named.items():
            for token, code in wrong.items():
                metadata = [('authorization', token)] if token else None
                with pytest.raises(grpc.RpcError) as error:
                    getattr(stub, method)(message, metadata=metadata, timeout=20)
                assert error.value.code() == code, (method, token, error.value.details())
            getattr(stub, method)(message, metadata=[('authorization', 'Bearer open sesame')],
                                  timeout=20)
            if method == 'RepositoryModelUnload':
                stub.RepositoryModelLoad(
                    service_pb2.RepositoryModelLoadRequest(model_name='plus'), timeout=20)
        answers = list(stub.ModelStreamInfer(iter([request, request]), timeout=20))
        assert [bool(one.error_message) for one in answers] == [True, True]
        answers = list(stub.ModelStreamInfer(
            iter([request]), metadata=[('authorization', 'bearer open sesame')], timeout=20))
        assert not answers[0].error_message
    for path in ('', '/config', '/stats', '/versions/3', '/versions/3/stats'):
        assert server.get(f'/v2/models/plus{path}')[0] == 401, path
        for token, expected in (('open sesame', 200), ('wrong', 403)):
            asked = urllib.request.Request(f'http://{server.http}/v2/models/plus{path}',
                                           headers={'Authorization': f'Bearer {token}'})
            try:
                with urllib.request.urlopen(asked, timeout=10) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                status = error.code
            assert status == expected, (path, token)
    assert server.get('/v2/models/simple')[0] == 200
    assert server.post('/v2/repository/models/plus/unload', {})[0] == 401
    log = server.log()
    assert 'sesam' not in log and SESAME not in log


# --- TLS ------------------------------------------------------------------------------------------

@pytest.fixture(scope='session')
def authority(tmp_path_factory):
    """authority(name) makes name.pem and name.key, signed by ca.pem, and returns the folder."""
    folder = tmp_path_factory.mktemp('tls')

    def openssl(*arguments):
        subprocess.run(['openssl', *arguments], cwd=folder, check=True, capture_output=True)

    def make(name, ca='ca'):
        if not (folder / f'{ca}.pem').exists():
            openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                    '-nodes', '-keyout', f'{ca}.key', '-out', f'{ca}.pem', '-days', '2', '-subj',
                    f'/CN={ca}')
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
                f'{name}.key', '-out', f'{name}.csr', '-subj', f'/CN={name}')
        (folder / 'ext').write_text('subjectAltName=DNS:localhost,IP:127.0.0.1\n')
        openssl('x509', '-req', '-in', f'{name}.csr', '-CA', f'{ca}.pem', '-CAkey', f'{ca}.key',
                '-CAcreateserial', '-out', f'{name}.pem', '-days', '2', '-extfile', 'ext')
        return folder

    return make


def tls_client(server, folder, certificate=None):
    context = ssl.create_default_context(cafile=folder / 'ca.pem')
    if certificate:
        context.load_cert_chain(folder / f'{certificate}.pem', folder / f'{certificate}.key')
    plain = socket.create_connection(('127.0.0.1', server.http_port), timeout=10)
    return context.wrap_socket(plain, server_hostname='localhost')


def get_over(connection):
    connection.sendall(b'GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n')
    return connection.recv(4096)


def common_name(connection):
    return dict(one[0] for one in connection.getpeercert()['subject'])['commonName']


def wait_for_tls(server, folder, certificate=None):
    def up():
        assert server.process.poll() is None, server.log()
        try:
            with tls_client(server, folder, certificate) as one:
                return b'200' in get_over(one)
        except OSError:
            return False
    until(up)


def test_certificates_are_read_again(serve, repository, authority):
    folder = authority('first')
    authority('second')
    for kind in ('pem', 'key'):
        shutil.copy(folder / f'first.{kind}', folder / f'live.{kind}')
    server = serve(repository('simple'), '--tls-cert', folder / 'live.pem', '--tls-key',
                   folder / 'live.key', wait_ready=False)
    wait_for_tls(server, folder)
    with tls_client(server, folder) as old:
        assert common_name(old) == 'first' and b'200' in get_over(old)
        (folder / 'live.pem').write_text('this is no certificate')
        server.signal(signal.SIGHUP)
        until(lambda: 'certificate' in server.log() or 'live.pem' in server.log())
        with tls_client(server, folder) as still:
            assert common_name(still) == 'first' and b'200' in get_over(still)
        for kind in ('pem', 'key'):
            shutil.copy(folder / f'second.{kind}', folder / f'live.{kind}')
        server.signal(signal.SIGHUP)

        def changed():
            with tls_client(server, folder) as one:
                return common_name(one) == 'second' and b'200' in get_over(one)
        until(changed)
        assert b'200' in get_over(old)  # an open connection stays as it is
    with socket.create_connection(('127.0.0.1', server.http_port), timeout=10) as plain:
        plain.sendall(b'GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n')
        assert b' 200 ' not in plain.recv(4096)  # no plain text on a TLS port
    credentials = grpc.ssl_channel_credentials((folder / 'ca.pem').read_bytes())
    with grpc.secure_channel(f'localhost:{server.grpc_port}', credentials) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=10).live


def test_clients_without_a_certificate_are_refused(serve, repository, authority):
    folder = authority('server')
    authority('friend')
    authority('stranger', ca='otherca')
    server = serve(repository('simple'), '--tls-cert', folder / 'server.pem', '--tls-key',
                   folder / 'server.key', '--tls-ca', folder / 'ca.pem', wait_ready=False)
    wait_for_tls(server, folder, 'friend')
    for certificate in (None, 'stranger'):
        with pytest.raises(OSError):
            with tls_client(server, folder, certificate) as one:
                if not get_over(one):
                    raise OSError('closed')
    with tls_client(server, folder, 'friend') as one:
        assert b'200' in get_over(one)
    root = (folder / 'ca.pem').read_bytes()
    for credentials, fine in ((grpc.ssl_channel_credentials(root), False),
                              (grpc.ssl_channel_credentials(
                                  root, (folder / 'friend.key').read_bytes(),
                                  (folder / 'friend.pem').read_bytes()), True)):
        with grpc.secure_channel(f'localhost:{server.grpc_port}', credentials) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            if fine:
                assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=10).live
            else:
                with pytest.raises(grpc.RpcError):
                    stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=10)


# --- start ----------------------------------------------------------------------------------------

def start(*arguments):
    return subprocess.run([program(), 'serve', *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, check=False)


def test_a_taken_port_is_named(serve, repository):
    models = repository('simple')
    server = serve(models)
    for option, port in (('--http-port', server.http_port), ('--grpc-port', server.grpc_port),
                         ('--metrics-port', server.metrics_port)):
        free = dict(zip(('--http-port', '--grpc-port', '--metrics-port'), free_ports(3)))
        free[option] = port
        done = start('--models', models, *[word for pair in free.items() for word in pair])
        assert done.returncode not in (0, None) and str(port) in done.stderr, done.stderr
        assert 'another process' in done.stderr
    alive(server)
    alive(serve(models))


def test_wrong_settings_are_named(repository, tmp_path, authority):
    models = repository('simple')
    folder = authority('own')
    (tmp_path / 'bad.yaml').write_text('serve:\n  http_port: many\n')
    ports = ['--http-port', '0', '--grpc-port', '0', '--metrics-port', '0']
    for arguments, words in (
            (['--models', tmp_path / 'absent', *ports], 'absent'),
            (['--models', models, '--http-port', '70000'], '70000'),
            (['--models', models, '--no-such-option'], 'no-such-option'),
            (['--models', models, '--config', tmp_path / 'bad.yaml'], 'many'),
            (['--models', models, *ports, '--address', '999.1.1.1'], '999.1.1.1'),
            (['--models', models, *ports, '--tls-cert', folder / 'own.pem'], 'key'),
            (['--models', models, *ports, '--tls-cert', folder / 'own.pem', '--tls-key',
              folder / 'ca.key'], 'ca.key'),
            (['--models', models, *ports, '--tls-cert', folder / 'none.pem', '--tls-key',
              folder / 'own.key'], 'none.pem')):
        done = start(*arguments)
        assert 0 < done.returncode < 126, (arguments, done.returncode, done.stderr)
        assert words in done.stderr, (arguments, done.stderr)


# --- connections ----------------------------------------------------------------------------------

def resident(server):
    text = pathlib.Path(f'/proc/{server.pid}/status').read_text(encoding='ascii')
    return int(text.split('VmRSS:')[1].split()[0]) * 1024


def connect(server, count):
    found = []
    for _ in range(count):
        found.append(socket.create_connection(('127.0.0.1', server.http_port), timeout=10))
    return found


def test_ten_thousand_idle_connections(serve, repository):
    count = 10000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 500:
        pytest.skip(f'{hard} open files are allowed here, {count + 500} are needed')
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = []
    try:
        server = serve(repository('simple'))
        before = resident(server)
        idle = connect(server, count)
        alive(server)
        assert (resident(server) - before) / count < 8192
        clock = (~server.pid << 3) | 2
        used = time.clock_gettime(clock)
        time.sleep(1)
        assert time.clock_gettime(clock) - used < 0.1
        for one in idle[::500]:
            one.sendall(b'GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n')
            assert b' 200 ' in one.recv(4096)
    finally:
        for one in idle:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_more_files_for_connections(serve, repository):
    """Out of file descriptors: what is open is served, nothing spins, and it recovers."""
    server = serve(repository('simple'))
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (80, 80))
    idle = connect(server, 200)
    try:
        idle[0].sendall(b'GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n')
        assert b' 200 ' in idle[0].recv(4096)
        clock = (~server.pid << 3) | 2
        used = time.clock_gettime(clock)
        time.sleep(1)
        assert time.clock_gettime(clock) - used < 0.2
    finally:
        for one in idle:
            one.close()
    until(lambda: server.get('/v2/health/live')[0] == 200)


def test_a_small_limit_of_files_is_raised(repository):
    """Ten thousand connections must not fail for the shell's soft limit."""
    ports = free_ports(3)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    process = subprocess.Popen(
        [program(), 'serve', '--models', str(repository('simple')), '--http-port', str(ports[0]),
         '--grpc-port', str(ports[1]), '--metrics-port', str(ports[2])],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard)))
    try:
        def up():
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(
                    f'http://127.0.0.1:{ports[0]}/v2/health/ready', timeout=5).status == 200
            return False
        until(up)
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0] > 256
    finally:
        process.terminate()
        assert process.wait(20) == 0


# --- HTTP/1.1 as it is written by others ----------------------------------------------------------

BODY = json.dumps({'inputs': [{'name': 'INPUT0', 'shape': [1, 2], 'datatype': 'FP32',
                               'data': [1, 2]}]}).encode()
INFER = b'POST /v2/models/identity_fp32/infer HTTP/1.1\r\nHost: x\r\n'


def talk(server, data, answers=1, pause=0):
    with socket.create_connection(('127.0.0.1', server.http_port), timeout=10) as one:
        if pause:
            for at in range(len(data)):
                one.sendall(data[at:at + 1])
                time.sleep(pause)
        else:
            one.sendall(data)
        got = b''
        while got.count(b'HTTP/1.1 ') < answers or not got.endswith((b'}', b'\n')):
            more = one.recv(65536)
            if not more:
                break
            got += more
        return got


def test_pipelined_requests_are_answered_in_order(server):
    data = b''.join(b'GET /v2/models/%s HTTP/1.1\r\nHost: x\r\n\r\n' % name
                    for name in (b'simple', b'absent', b'plus', b'identity_fp32') * 25)
    got = talk(server, data, 100)
    assert got.count(b'HTTP/1.1 200') == 75 and got.count(b'HTTP/1.1 404') == 25
    assert got.index(b'"simple"') < got.index(b'absent') < got.index(b'"plus"')


def test_chunks_and_single_bytes(server):
    chunks = b''.join(b'%x;note=1\r\n%s\r\n' % (1, BODY[at:at + 1]) for at in range(len(BODY)))
    data = INFER + b'Transfer-Encoding: chunked\r\n\r\n' + chunks + b'0\r\nTrailer: x\r\n\r\n'
    assert b'[1,2]' in talk(server, data).replace(b'1.0', b'1').replace(b'2.0', b'2')
    assert b' 200 ' in talk(server, INFER + b'Content-Length: %d\r\n\r\n' % len(BODY) + BODY,
                            pause=0.0005)


def test_expectations(server):
    with socket.create_connection(('127.0.0.1', server.http_port), timeout=10) as one:
        one.sendall(INFER + b'Expect: 100-continue\r\nContent-Length: %d\r\n\r\n' % len(BODY))
        assert one.recv(4096).startswith(b'HTTP/1.1 100 ')
        one.sendall(BODY)
        assert b' 200 ' in one.recv(4096)
    assert b' 417 ' in talk(server, INFER + b'Expect: miracles\r\nContent-Length: 1\r\n\r\nx')


def test_head_has_no_body(server):
    with socket.create_connection(('127.0.0.1', server.http_port), timeout=10) as one:
        one.sendall(b'HEAD /v2/models/simple HTTP/1.1\r\nHost: x\r\n\r\n'
                    b'GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        got = b''
        while more := one.recv(4096):
            got += more
    assert got.count(b'HTTP/1.1 200') == 2 and b'INPUT0' not in got


@pytest.mark.parametrize('head, status', [
    (b'Content-Length: 5\r\nContent-Length: 6\r\n', b'400'),
    (b'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', b'400'),
    (b'Content-Length: -1\r\n', b'400'), (b'Content-Length: 0x10\r\n', b'400'),
    (b'Content-Length: 99999999999999999999999\r\n', b'4'),
    (b'Content-Length: 9999999999\r\n', b'413'),
    (b'Transfer-Encoding: gzip\r\n', b'501'),
    (b'Content-Encoding: br\r\nContent-Length: 5\r\n', b'415'),
    (b'X: ' + b'a' * 100000 + b'\r\n', b'431'),
    (b''.join(b'X%d: y\r\n' % i for i in range(20000)), b'431'),
])
def test_heads_that_are_refused(server, head, status):
    try:
        got = talk(server, INFER + head + b'\r\nhello')
    except ConnectionResetError:
        got = b'HTTP/1.1 ' + status  # cut off while it was still sending
    assert got.startswith(b'HTTP/1.1 ' + status), got[:200]
    alive(server)


# --- ends that do not wait ------------------------------------------------------------------------

@pytest.mark.parametrize('batching', ['', 'batching: {queue: 100}\ninstances: 2\n'])
@pytest.mark.parametrize('way', ['timeout', 'second signal'])
def test_an_end_with_requests_under_way(serve, repository, way, batching):
    """A drain that is cut short: the requests fail, the program ends cleanly all the same."""
    models = repository('slow', 'image_identity')
    (models / 'slow/model.yaml').write_text(batching)
    server = serve(models, '--drain-timeout', '200ms' if way == 'timeout' else '60s')
    text = json.dumps({'inputs': [{'name': 'LOOPS', 'shape': [1], 'datatype': 'INT64',
                                   'data': [300000]}]}).encode()
    with stub_of(server) as stub, socket.create_connection(('127.0.0.1', server.http_port)) as one:
        calls = [stub.ModelInfer.future(slow(300000)) for _ in range(5)]
        stream = stub.ModelStreamInfer(iter([slow(300000)] * 3))
        one.sendall(b'POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n'
                    % len(text) + text)
        time.sleep(0.3)
        server.signal()
        if way == 'second signal':
            time.sleep(0.1)
            server.signal()
        assert server.process.wait(30) == 0, server.log()
        for call in calls:
            assert call.exception(timeout=10) is None or call.code() is not grpc.StatusCode.OK
        stream.cancel()
