"""What the documents say is run: every `sh` block of a tutorial, in order, in one shell; and every
link between documents leads somewhere."""

import os
import re
import subprocess

import pytest

from server import ROOT, free_ports, program

BLOCK = re.compile(r'^```sh\n(.*?)^```', re.M | re.S)
LINK = re.compile(r'\]\(([^)#:]+)(?:#[^)]*)?\)')
DOCUMENTS = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')])


@pytest.mark.parametrize('name', ['docs/quick-start.md'])
def test_tutorial_runs(name):
    blocks = BLOCK.findall((ROOT / name).read_text())
    assert blocks, 'a tutorial without commands'
    script = 'set -eu\ntrap \'kill $(jobs -p) 2>/dev/null || true\' EXIT\n' + '\n'.join(blocks)
    for written, free in zip(('18000', '18001', '18002'), free_ports(3)):
        script = script.replace(written, str(free))
    done = subprocess.run(['bash', '-c', script], cwd=ROOT, capture_output=True, text=True,
                          timeout=180, check=False,
                          env={**os.environ, 'ORT_DISABLE_TELEMETRY': '1'})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for words in ('READY', 'speech (peak', 'wake word heard', 'Hello, tenon 2026',
                  'nv_inference_count', 'open loop'):
        assert words in done.stdout, words


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), f'{document.name}: {target}'


def test_commands_in_documents_exist():
    """Each `tenon COMMAND` that a document names is one that the program has."""
    overview = subprocess.run([program(), '--help'], capture_output=True, text=True, check=True)
    commands = set(re.findall(r'^  (\w+) ', overview.stdout, re.M))
    for document in DOCUMENTS:
        named = set(re.findall(r'(?:^|[`\s/])tenon (?!--)([a-z]+)\b(?= |`)',
                               '\n'.join(re.findall(r'`[^`\n]+`', document.read_text()))))
        assert named <= commands | {'COMMAND'}, f'{document.name}: {named - commands}'


def test_the_reference_of_the_server_is_the_programs():
    """docs/configuration.md ends with what `tenon man serve --markdown` prints."""
    printed = subprocess.run([program(), 'man', 'serve', '--markdown'], capture_output=True,
                             text=True, check=True).stdout
    assert (ROOT / 'docs/configuration.md').read_text().endswith(printed.rstrip() + '\n')
