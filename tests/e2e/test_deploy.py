"""What deploy/ offers fits the program: flags exist, configuration is accepted, probes answer."""

import re
import subprocess
import textwrap
import urllib.request

from server import ROOT, program

DEPLOY = ROOT / 'deploy'


def known_flags(command):
    text = subprocess.run([program(), command, '--help'], capture_output=True, text=True,
                          check=True).stdout
    flags = set(re.findall(r'--(?:\[no-\])?([a-z-]+)', text))
    return flags | {'help', 'config', 'print-config'}


def test_kubernetes_configuration_is_accepted(tmp_path):
    manifest = (DEPLOY / 'kubernetes/tenon-serve.yaml').read_text()
    block = re.search(r'tenon\.yaml: \|\n((?:    .*\n)+)', manifest).group(1)
    file = tmp_path / 'tenon.yaml'
    file.write_text(textwrap.dedent(block))
    done = subprocess.run([program(), 'config', 'check', file], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


def test_flags_in_deploy_exist():
    used = set()
    for file in ('Dockerfile', 'systemd/tenon-serve.service', 'kubernetes/tenon-serve.yaml'):
        for line in (DEPLOY / file).read_text().splitlines():
            if re.match(r'(ENTRYPOINT|CMD|HEALTHCHECK|ExecStart|\s+args:)', line):
                used |= set(re.findall(r'(?<=[\s",\[])--([a-z-]+)', line))
    used -= {'interval'}  # the image builder's own; `timeout` is a flag of both
    assert used, 'no flags found: has the form of the files changed?'
    assert used <= known_flags('serve') | known_flags('models'), used


def test_probes_of_the_manifest_answer(serve, repository):
    server = serve(repository('simple'))
    manifest = (DEPLOY / 'kubernetes/tenon-serve.yaml').read_text()
    paths = set(re.findall(r'path: (/v2/\S+?)[,}]', manifest))
    assert len(paths) == 2
    for path in paths:
        assert urllib.request.urlopen(f'http://{server.http}{path}', timeout=5).status == 200


def test_health_check_of_the_image_is_a_command(serve, repository):
    server = serve(repository('simple'))
    done = subprocess.run([program(), 'models', '--url', server.grpc], capture_output=True,
                          check=False)
    assert done.returncode == 0


def test_unit_file_is_well_formed():
    unit = (DEPLOY / 'systemd/tenon-serve.service').read_text()
    sections = re.findall(r'^\[(\w+)\]$', unit, re.M)
    assert sections == ['Unit', 'Service', 'Install']
    for line in unit.splitlines():
        assert not line or line[0] in '#[' or re.match(r'^[A-Z]\w+=', line), line
