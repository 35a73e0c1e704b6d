"""Starts `tenon serve` for a test: free loopback ports, bounded in time, stopped by its own pid."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 30
STOP_SECONDS = 20
LIFE_SECONDS = 600  # a server that a broken test forgot ends by itself


def program():
    """The release build, or the one that TENON names (a sanitizer build, say)."""
    for place in filter(None, [os.environ.get('TENON'), ROOT / 'build/tenon',
                               ROOT / 'build/src/cmd/tenon']):
        if pathlib.Path(place).exists():
            return str(place)
    raise FileNotFoundError('no build/tenon: run make')


def free_ports(count):
    """Ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(('127.0.0.1', 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Server:
    """A running server. `arguments` go to `tenon serve` after the ports."""

    def __init__(self, models, *arguments, wait_ready=True, environment=None):
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        self.http = f'127.0.0.1:{self.http_port}'
        self.grpc = f'127.0.0.1:{self.grpc_port}'
        self.metrics = f'127.0.0.1:{self.metrics_port}'
        self.log_file = tempfile.NamedTemporaryFile(mode='w+', suffix='.log', prefix='tenon-')
        where = ['--models', str(models)] if models else []
        self.process = subprocess.Popen(
            ['timeout', '--signal=KILL', str(LIFE_SECONDS), program(), 'serve', *where,
             '--http-port', str(self.http_port), '--grpc-port', str(self.grpc_port),
             '--metrics-port', str(self.metrics_port), *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=subprocess.STDOUT,
            env={**os.environ, 'ORT_DISABLE_TELEMETRY': '1', **(environment or {})})
        if wait_ready:
            try:
                self.wait_ready()
            except BaseException:
                self.kill()
                raise

    @property
    def pid(self):
        """Of tenon itself, below the `timeout` that bounds it."""
        with open(f'/proc/{self.process.pid}/task/{self.process.pid}/children',
                  encoding='utf-8') as file:
            children = file.read().split()
        return int(children[0]) if children else self.process.pid

    def log(self):
        self.log_file.flush()
        return pathlib.Path(self.log_file.name).read_text(encoding='utf-8', errors='replace')

    def get(self, path, port=None, timeout=10):
        """(status, body) of a GET; a status of 0 means that nobody answered."""
        url = f'http://127.0.0.1:{port or self.http_port}{path}'
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b''

    def post(self, path, body, timeout=30, headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f'http://{self.http}{path}', data=data,
            headers={'Content-Type': 'application/json', **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def wait_ready(self, seconds=READY_SECONDS):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f'tenon serve ended with {self.process.returncode}:\n'
                                   + self.log())
            if self.get('/v2/health/ready', timeout=2)[0] == 200:
                return
            time.sleep(0.02)
        raise TimeoutError(f'not ready after {seconds} s:\n' + self.log())

    def signal(self, number=signal.SIGTERM):
        os.kill(self.pid, number)

    def stop(self):
        """Ends it as an operator would, and returns its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise TimeoutError('did not drain:\n' + self.log()) from None
        return self.process.returncode

    def kill(self):
        if self.process.poll() is None:
            try:
                self.signal(signal.SIGKILL)
                self.process.wait(5)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait(5)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.kill()
            print(self.log()[-4000:])
        elif self.process.poll() is None:
            code = self.stop()
            assert code == 0, f'tenon serve ended with {code}:\n' + self.log()
