"""`make run`: the answers a person sees, the examples they paste, and Ctrl-C."""

import os
import signal
import subprocess
import sys

import pytest

from server import ROOT


@pytest.fixture(scope='module')
def demo():
    """(what it printed up to "Serving.", the process), stopped by the last test or here."""
    process = subprocess.Popen(['timeout', '--foreground', '300', 'tools/run-demo'], cwd=ROOT,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               stdin=subprocess.DEVNULL, start_new_session=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith('Serving.'):
            break
    yield ''.join(lines), process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def example(text, start):
    """A block of the closing examples, as a person would copy it."""
    blocks = text.split('Ask it yourself:')[1].split('\n\n')
    return next(block for block in blocks if block.lstrip().startswith(start))


def test_answers_in_words(demo):
    text = demo[0]
    assert 'output: speech (peak 1.0' in text
    assert 'wake word heard (peak 0.99' in text
    assert 'upside down (1)' in text
    assert '"Hello, tenon 2026"' in text
    assert 'Serving. Ctrl-C' in text


def test_curl_example(demo):
    done = subprocess.run(['bash', '-c', example(demo[0], 'curl')], capture_output=True, text=True,
                          timeout=30, check=True)
    assert '[1,2,3,4,5,6,7,8,9,10,1,2,3,4,5,6]' in done.stdout.replace(' ', '')


def test_python_example(demo):
    script = example(demo[0], 'python3').replace('python3', sys.executable, 1)
    done = subprocess.run(['bash', '-c', script], capture_output=True, text=True, timeout=60,
                          check=False)
    assert '[[2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2]]' in done.stdout, done.stderr


def test_grpcurl_example_names_a_method_that_reflection_knows(demo):
    import grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
    words = example(demo[0], 'grpcurl').split()
    service, method = words[-1].split('/')
    with grpc.insecure_channel(words[-2]) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)
        answer = next(stub.ServerReflectionInfo(iter([request]), timeout=20))
    assert any(method.encode() in file
               for file in answer.file_descriptor_response.file_descriptor_proto)


def test_interrupt_drains(demo):
    text, process = demo
    os.killpg(process.pid, signal.SIGINT)
    assert 'drains and stops' in process.stdout.read()
    assert process.wait(30) in (0, 124, 130), text
