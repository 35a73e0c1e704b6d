"""What the end-to-end tests share: model repositories and running servers."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

os.environ['ORT_DISABLE_TELEMETRY'] = '1'
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from server import ROOT, Server  # noqa: E402


@pytest.fixture(scope='session')
def generated_models(tmp_path_factory):
    """tools/make-models' repository: every datatype, slow, stateful and failing models."""
    folder = tmp_path_factory.mktemp('generated')
    subprocess.run([ROOT / 'tools/make-models', folder], check=True)
    return folder


@pytest.fixture(scope='session')
def real_models():
    """The examples' repository with the models that packages bring."""
    subprocess.run([ROOT / 'tools/make-repository'], check=True, stdout=subprocess.DEVNULL)
    return ROOT / 'build/models'


@pytest.fixture(scope='session')
def samples():
    return ROOT / 'examples/samples'


@pytest.fixture
def repository(tmp_path, generated_models):
    """A repository of one's own: repository('simple', 'plus') copies those models, and returns the
    folder, which the test may change under the server."""

    def make(*names):
        folder = tmp_path / 'models'
        for name in names:
            shutil.copytree(generated_models / name, folder / name)
        return folder

    return make


@pytest.fixture
def serve():
    """serve(models, *arguments) starts a server that ends with the test, whatever happens."""
    running = []

    def start(models, *arguments, **options):
        server = Server(models, *arguments, **options)
        running.append(server)
        return server

    yield start
    for server in running:
        try:
            server.stop()
        finally:
            server.kill()


@pytest.fixture(scope='module')
def server(generated_models):
    """One server over all generated models, shared by a module's tests that do not change it."""
    with Server(generated_models) as one:
        yield one


@pytest.fixture(scope='session')
def model_path(generated_models):
    """model_path('simple') is its file, for the oracle."""
    return lambda name, version=1: pathlib.Path(generated_models) / name / str(version) \
        / 'model.onnx'
