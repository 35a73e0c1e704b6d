"""System shared memory over both protocols, and owners that misbehave."""

import mmap
import os

import numpy
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

SIZE = 64


class Region:
    """A POSIX shared memory object of our own, so that tests can misuse it."""

    def __init__(self, name, size):
        self.key = f'/tenon_test_{os.getpid()}_{name}'
        self.path = '/dev/shm' + self.key
        with open(self.path, 'wb') as file:
            file.truncate(size)
        self.file = open(self.path, 'r+b')
        self.map = mmap.mmap(self.file.fileno(), size)

    def put(self, array, offset=0):
        data = array.tobytes()
        self.map[offset:offset + len(data)] = data

    def get(self, dtype, count, offset=0):
        return numpy.frombuffer(self.map, dtype, count, offset).copy()

    def close(self):
        self.map.close()
        self.file.close()
        os.unlink(self.path)


@pytest.fixture
def region():
    made = []

    def make(name, size):
        made.append(Region(name, size))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=['grpc', 'http'])
def client(request, server):
    kind = triton_grpc if request.param == 'grpc' else triton_http
    with kind.InferenceServerClient(getattr(server, request.param)) as one:
        one.kind = kind
        one.unregister_system_shared_memory()
        yield one
        one.unregister_system_shared_memory()


def shared_input(client, name, region, offset=0, size=SIZE):
    one = client.kind.InferInput(name, [1, 16], 'INT32')
    one.set_shared_memory(region, size, offset)
    return one


def shared_output(client, name, region, offset=0, size=SIZE):
    one = client.kind.InferRequestedOutput(name)
    one.set_shared_memory(region, size, offset)
    return one


def regions_of(client):
    status = client.get_system_shared_memory_status()
    return sorted(status.regions if client.kind is triton_grpc else
                  [one['name'] for one in status])


def infer(client):
    return client.infer(
        'simple', [shared_input(client, 'INPUT0', 'in'),
                   shared_input(client, 'INPUT1', 'in', SIZE)],
        outputs=[shared_output(client, 'OUTPUT0', 'out'),
                 shared_output(client, 'OUTPUT1', 'out', SIZE)])


def registered(client, region):
    inputs, outputs = region('in', 4096), region('out', 4096)
    a = numpy.arange(16, dtype=numpy.int32)
    inputs.put(a)
    inputs.put(a * 5, SIZE)
    client.register_system_shared_memory('in', inputs.key, 2 * SIZE)
    client.register_system_shared_memory('out', outputs.key, 2 * SIZE)
    return a, inputs, outputs


def test_inputs_and_outputs_in_shared_memory(client, region):
    a, _, outputs = registered(client, region)
    assert regions_of(client) == ['in', 'out']
    result = infer(client)
    assert (outputs.get(numpy.int32, 16) == a * 6).all()
    assert (outputs.get(numpy.int32, 16, SIZE) == a * -4).all()
    output = result.get_output('OUTPUT0')
    parameters = output.parameters if client.kind is triton_grpc else output['parameters']
    assert 'shared_memory_region' in parameters
    client.unregister_system_shared_memory('in')
    assert regions_of(client) == ['out']
    with pytest.raises(InferenceServerException, match="'in'"):
        infer(client)


def test_shared_input_and_plain_output(client, region):
    a, _, _ = registered(client, region)
    result = client.infer('simple', [shared_input(client, 'INPUT0', 'in'),
                                     shared_input(client, 'INPUT1', 'in', SIZE)])
    assert (result.as_numpy('OUTPUT0') == a * 6).all()


def test_wrong_regions_are_refused(client, region):
    one = region('one', 4096)
    for offset, size in ((0, 4097), (4096, 1), (2**63, 8), (0, 2**63), (0, 0)):
        with pytest.raises(InferenceServerException):
            client.register_system_shared_memory('one', one.key, size, offset)
    with pytest.raises(InferenceServerException):
        client.register_system_shared_memory('one', '/tenon_test_absent', 8)
    with pytest.raises(InferenceServerException):
        client.register_system_shared_memory('one', '/../etc/passwd', 8)
    client.register_system_shared_memory('one', one.key, 4096)
    with pytest.raises(InferenceServerException, match='already'):
        client.register_system_shared_memory('one', one.key, 4096)


@pytest.mark.parametrize('offset, size', [(SIZE, 2 * SIZE), (0, SIZE - 4), (2**62, SIZE)])
def test_wrong_places_are_refused(client, region, offset, size):
    registered(client, region)
    with pytest.raises(InferenceServerException):
        client.infer('simple', [shared_input(client, 'INPUT0', 'in', offset, size),
                                shared_input(client, 'INPUT1', 'in', SIZE)])
    with pytest.raises(InferenceServerException):
        client.infer('simple', [shared_input(client, 'INPUT0', 'in'),
                                shared_input(client, 'INPUT1', 'in')],
                     outputs=[shared_output(client, 'OUTPUT0', 'out', offset, size)])
    assert client.is_server_live()


def test_owner_truncates_a_registered_region(client, region):
    registered(client, region)
    path = [one for one in os.listdir('/dev/shm') if one.endswith('_in')][0]
    os.truncate('/dev/shm/' + path, 0)
    with pytest.raises(InferenceServerException, match='bytes'):
        infer(client)
    os.truncate('/dev/shm/' + path, 4096)
    infer(client)
