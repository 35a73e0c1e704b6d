"""Nothing calls out: `tenon serve`, traced in a network of its own that leads nowhere, serves as
ever and never tries to reach anything but the loopback interface.

Run as a program (inside that network) it serves, asks, stops, and leaves the trace in a folder."""

import fcntl
import ipaddress
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import time

import pytest

TRACED = 'connect,sendto,sendmsg,sendmmsg,socket'
NETWORK = ['unshare', '--net', '--map-root-user']


def loopback_up():
    """`ip link set lo up`, without iproute2."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack('16sH', b'lo', 0)
        flags = struct.unpack('16sH', fcntl.ioctl(any_socket, 0x8913, request))[1]
        fcntl.ioctl(any_socket, 0x8914, struct.pack('16sH', b'lo', flags | 1))


def inside(models, folder):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import server as servers
    loopback_up()
    # -D: tenon stays the child that the signals go to.
    trace = ['strace', '-D', '-f', '-q', '-e', f'trace={TRACED}', '-o', f'{folder}/trace',
             servers.program()]
    wrapper = pathlib.Path(folder) / 'tenon'
    wrapper.write_text('#!/bin/sh\n'
                       # As a user has it: nothing in the environment asks for silence.
                       'unset ORT_DISABLE_TELEMETRY CI\n'
                       f'exec {" ".join(trace)} "$@"\n')
    wrapper.chmod(0o755)
    os.environ['TENON'] = str(wrapper)
    tensors = [{'name': name, 'datatype': 'INT32', 'shape': [1, 16], 'data': list(range(16))}
               for name in ('INPUT0', 'INPUT1')]
    with servers.Server(models, '--mode=explicit', '--load=simple') as server:
        for _ in range(5):
            status, body = server.post('/v2/models/simple/infer', {'inputs': tensors})
            assert status == 200, body
        assert server.post('/v2/repository/models/plus/load', {})[0] == 200
        assert server.post('/v2/repository/models/plus/unload', {})[0] == 200
        assert server.get('/metrics', port=server.metrics_port)[0] == 200
        first = server.pid
    end = time.monotonic() + 10
    ended = re.compile(rf'^{first} +\+\+\+ exited with 0', re.M)
    while not ended.search(pathlib.Path(f'{folder}/trace').read_text(errors='replace')):
        assert time.monotonic() < end, 'the trace has no end'
        time.sleep(0.05)


def is_loopback(line):
    """Whether the address of a traced call, if it has one, lies on this machine."""
    for text in re.findall(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', line):
        if not ipaddress.ip_address(text[0] or text[1]).is_loopback:
            return False
    return True


def test_is_loopback_can_tell():
    assert is_loopback('connect(3, {sa_family=AF_INET, sin_port=htons(80), '
                       'sin_addr=inet_addr("127.0.0.1")}, 16) = 0')
    assert not is_loopback('connect(3, {sa_family=AF_INET, sin_port=htons(53), '
                           'sin_addr=inet_addr("192.0.2.1")}, 16) = -1 ENETUNREACH')
    assert not is_loopback('connect(9, {sa_family=AF_INET6, sin6_port=htons(443), '
                           'inet_pton(AF_INET6, "2001:db8::1", &sin6_addr)}, 28) = -1')


def test_nothing_calls_out(generated_models, tmp_path):
    for command, why in (('strace', 'no strace'), ('unshare', 'no unshare')):
        if shutil.which(command) is None:
            pytest.skip(f'{why}: tools/setup --for test brings it')
    for command in ([*NETWORK, 'true'], ['strace', '-qq', '-e', 'trace=none', 'true']):
        if subprocess.run(command, capture_output=True, timeout=20, check=False).returncode != 0:
            pytest.skip(f'not allowed here: {" ".join(command)}')
    done = subprocess.run([*NETWORK, sys.executable, __file__, generated_models, tmp_path],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (tmp_path / 'trace').read_text(errors='replace').splitlines()
    # The trace is one of a server at work: it made sockets and answered through them.
    assert any('socket(AF_INET' in line for line in lines)
    calls = [line for line in lines if 'socket(' not in line]
    assert [line for line in calls if not is_loopback(line)] == []
    # Not even on this machine does a server with no exporter open a connection of its own: no
    # resolver, no bus, no daemon.
    assert [line for line in calls if 'connect(' in line] == []
    kinds = {re.search(r'socket\((AF_\w+)', line).group(1) for line in lines if 'socket(' in line}
    assert kinds <= {'AF_INET', 'AF_INET6', 'AF_UNIX'}


if __name__ == '__main__':
    inside(*sys.argv[1:])
