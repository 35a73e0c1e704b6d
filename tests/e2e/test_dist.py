"""`make dist`: the bundle is complete, small, and serves from wherever it is unpacked."""

import gzip
import os
import subprocess
import tarfile

import pytest

from server import ROOT, Server

MB = 1000 * 1000


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    subprocess.run([ROOT / 'tools/make-dist'], check=True, stdout=subprocess.DEVNULL, timeout=300)
    archives = list((ROOT / 'build/dist').glob('tenon-*.tar.gz'))
    assert len(archives) == 1
    folder = tmp_path_factory.mktemp('dist with a space')
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter='data')
    return next(folder.iterdir())


def test_sizes(bundle):
    sizes = {path: path.stat().st_size for path in bundle.rglob('*') if path.is_file()}
    assert sizes[bundle / 'bin/tenon'] < 6 * MB
    assert sum(sizes.values()) < 45 * MB


def test_what_is_in_it(bundle):
    for name in ('lib/libonnxruntime.so.1', 'share/doc/tenon/LICENSE',
                 'share/bash-completion/completions/tenon', 'share/zsh/site-functions/_tenon',
                 'share/fish/vendor_completions.d/tenon.fish',
                 'share/tenon/deploy/systemd/tenon-serve.service'):
        assert (bundle / name).stat().st_size > 0
    page = gzip.decompress((bundle / 'share/man/man1/tenon-serve.1.gz').read_bytes())
    assert b'.SH' in page and b'http-port' in page.replace(b'\\-', b'-')


def test_it_serves_by_its_own_library(bundle, generated_models, monkeypatch):
    monkeypatch.setenv('TENON', str(bundle / 'bin/tenon'))
    with Server(generated_models) as server:
        with open(f'/proc/{server.pid}/maps', encoding='utf-8') as maps:
            libraries = {line.split(maxsplit=5)[5].strip()
                         for line in maps if 'onnxruntime' in line}
        assert libraries == {os.path.realpath(bundle / 'lib/libonnxruntime.so.1')}
        assert server.get('/v2/models/simple/ready')[0] == 200
