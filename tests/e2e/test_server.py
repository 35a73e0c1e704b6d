"""The server as an operator meets it: TLS and its reload, signals, ports, what it prints."""

import shutil
import signal
import ssl
import socket
import subprocess
import time

import grpc
import numpy
import pytest
import tritonclient.grpc as triton
import tritonclient.http as triton_http
from server import program


def certificate(folder, name, days=1):
    """A self-signed certificate for 127.0.0.1."""
    key, cert = folder / f'{name}.key', folder / f'{name}.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:prime256v1', '-nodes', '-days', str(days), '-subj',
                    f'/CN={name}', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key,
                    '-out', cert], check=True, capture_output=True)
    return cert, key


def ask(client, kind):
    one = kind.InferInput('INPUT0', [1, 4], 'FP32')
    one.set_data_from_numpy(numpy.zeros((1, 4), numpy.float32))
    return int(client.infer('plus', [one]).as_numpy('OUTPUT0')[0, 0])


def served_name(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(('127.0.0.1', port), 10) as plain:
        with context.wrap_socket(plain) as secure:
            return secure.getpeercert(True)


def wait_tls(server):
    end = time.monotonic() + 20
    while 'msg=ready' not in server.log():
        assert time.monotonic() < end, server.log()
        time.sleep(0.02)


def test_tls_on_both_protocols_and_reload(serve, repository, tmp_path):
    cert, key = certificate(tmp_path, 'first')
    other_cert, other_key = certificate(tmp_path, 'second')
    server = serve(repository('plus'), '--tls-cert', cert, '--tls-key', key, wait_ready=False)
    wait_tls(server)
    with triton.InferenceServerClient(server.grpc, ssl=True, root_certificates=str(cert)) as one:
        assert ask(one, triton) == 3
    with triton_http.InferenceServerClient(
            server.http, ssl=True, ssl_options={'ca_certs': str(cert)},
            ssl_context_factory=lambda **_: ssl.create_default_context(cafile=cert)) as one:
        assert ask(one, triton_http) == 3
    assert server.get('/v2')[0] == 0  # plain text gets nothing
    before = served_name(server.http_port)
    shutil.copy(other_cert, cert)
    shutil.copy(other_key, key)
    server.signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while served_name(server.http_port) == before:
        assert time.monotonic() < end
        time.sleep(0.02)
    now = served_name(server.http_port)
    cert.write_text('broken')
    server.signal(signal.SIGHUP)
    time.sleep(0.3)
    assert served_name(server.http_port) == now
    assert 'the old ones stay' in server.log()


def test_mutual_tls(serve, repository, tmp_path):
    cert, key = certificate(tmp_path, 'server')
    client_cert, client_key = certificate(tmp_path, 'client')
    server = serve(repository('plus'), '--tls-cert', cert, '--tls-key', key, '--tls-ca',
                   client_cert, wait_ready=False)
    wait_tls(server)
    with triton.InferenceServerClient(
            server.grpc, ssl=True, root_certificates=str(cert), private_key=str(client_key),
            certificate_chain=str(client_cert)) as one:
        assert ask(one, triton) == 3
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    with grpc.secure_channel(server.grpc, credentials) as channel:
        with pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=2)


def test_hangup_looks_for_new_models(serve, repository, generated_models):
    models = repository('plus')
    server = serve(models)
    shutil.copytree(generated_models / 'simple', models / 'simple')
    time.sleep(0.2)
    assert server.get('/v2/models/simple/ready')[0] == 404
    server.signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while server.get('/v2/models/simple/ready')[0] != 200:
        assert time.monotonic() < end, server.log()
        time.sleep(0.02)


def run(*arguments):
    return subprocess.run([program(), 'serve', *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, check=False)


def test_what_cannot_be_served_is_told(tmp_path, serve, repository):
    assert run().returncode != 0
    done = run('--models', tmp_path / 'absent')
    assert done.returncode == 66 and 'absent' in done.stderr
    done = run('--models', tmp_path, '--tls-cert', tmp_path / 'x.pem')
    assert done.returncode != 0 and 'tls-key' in done.stderr
    first = serve(repository('plus'))
    done = run('--models', tmp_path, '--http-port', first.http_port, '--grpc-port', 0,
               '--metrics-port', 0)
    assert done.returncode != 0 and str(first.http_port) in done.stderr


def test_only_loopback_by_default(serve, repository):
    server = serve(repository('plus'))
    with open('/proc/net/tcp', encoding='ascii') as file:
        lines = [line.split()[1] for line in file.readlines()[1:] if line.split()[3] == '0A']
    ours = [line for line in lines if int(line.split(':')[1], 16) in
            (server.http_port, server.grpc_port, server.metrics_port)]
    assert len(ours) >= 3 and all(line.startswith('0100007F') for line in ours)


def test_second_signal_ends_at_once(serve, repository):
    """With calls, a stream and a REST request under way and queued: nothing is touched after."""
    server = serve(repository('slow'))
    one = triton.InferInput('LOOPS', [1], 'INT64')
    one.set_data_from_numpy(numpy.array([300000], numpy.int64))
    body = b'{"inputs":[{"name":"LOOPS","shape":[1],"datatype":"INT64","data":[300000]}]}'
    head = b'POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n'
    with triton.InferenceServerClient(server.grpc) as client, \
            socket.create_connection(('127.0.0.1', server.http_port)) as rest:
        for _ in range(5):
            client.async_infer('slow', [one], lambda result, error: None)
        client.start_stream(lambda result, error: None)
        for _ in range(5):
            client.async_stream_infer('slow', [one])
        rest.sendall(head % len(body) + body)
        time.sleep(0.2)
        server.signal()
        time.sleep(0.2)
        assert server.process.poll() is None
        assert server.get('/v2/health/ready')[0] != 200
        server.signal()
        assert server.process.wait(15) == 0, server.log()
