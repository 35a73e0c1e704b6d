"""The command line as a person meets it: help, mistakes, files in, words out, load."""

import json
import pathlib
import re
import subprocess

import numpy as np
import pytest

from server import ROOT, Server, program

EX_USAGE, EX_DATAERR, EX_UNAVAILABLE, EX_CONFIG = 64, 65, 69, 78


def run(*arguments, timeout=60, **options):
    return subprocess.run([program(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, check=False, **options)


def commands():
    return re.findall(r'^  (\w+) ', run('--help').stdout, re.M)


def test_version_is_the_build_files():
    version = re.search(r"version: '([^']+)'", (ROOT / 'meson.build').read_text()).group(1)
    assert run('--version').stdout == f'tenon {version}\n'


def test_without_arguments_it_says_how():
    done = run()
    assert done.returncode == EX_USAGE
    assert 'usage: tenon COMMAND' in done.stderr


@pytest.mark.parametrize('name', commands())
def test_every_command_has_help_manual_and_examples(name):
    done = run(name, '--help')
    assert done.returncode == 0
    assert f'usage: tenon {name}' in done.stdout
    assert 'examples:' in done.stdout
    prose = done.stdout.split('examples:')[0]
    assert all(len(line) <= 80 for line in prose.splitlines())
    page = run('man', name)
    assert page.returncode == 0 and page.stdout.startswith('.TH')
    checked = subprocess.run(['mandoc', '-T', 'lint', '-W', 'error'], input=page.stdout, text=True,
                             capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_mistyped_names_are_corrected():
    done = run('sreve')
    assert done.returncode == EX_USAGE and "did you mean 'serve'" in done.stderr
    done = run('serve', '--htp-port', '1')
    assert done.returncode == EX_USAGE and '--http-port' in done.stderr


def test_configuration_errors_name_line_and_column(tmp_path):
    file = tmp_path / 'tenon.yaml'
    file.write_text('serve:\n  http_port: 8000\n  grcp_port: 8001\n')
    done = run('config', 'check', file)
    assert done.returncode == EX_CONFIG
    assert f'{file}:3:3' in done.stderr and 'grpc_port' in done.stderr
    file.write_text('serve:\n  http_port: 8000\n')
    assert run('config', 'check', file).stdout == f'{file}: ok\n'


def test_print_config_reads_back_to_itself(tmp_path):
    first = run('serve', '--models', tmp_path, '--http-port', '1234', '--print-config')
    assert first.returncode == 0 and 'http_port: 1234' in first.stdout
    file = tmp_path / 'tenon.yaml'
    file.write_text(first.stdout)
    again = run('serve', '--config', file, '--print-config')
    assert again.stdout == first.stdout


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_completion_scripts(shell):
    script = run('completion', shell)
    assert script.returncode == 0 and 'serve' in script.stdout
    if shell == 'bash':
        words = subprocess.run(
            ['bash', '-c', script.stdout + '\nCOMP_WORDS=(tenon se)\nCOMP_CWORD=1\n'
             '$(complete -p tenon | sed -n "s/.*-F \\([^ ]*\\).*/\\1/p") tenon se tenon\n'
             'echo "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True)
        assert 'serve' in words.stdout
    assert run('completion', 'tcsh').returncode == EX_USAGE


def test_no_server_is_said_plainly():
    done = run('models', '--url', '127.0.0.1:1', '--timeout', '3s')
    assert done.returncode == EX_UNAVAILABLE
    assert 'tenon serve' in done.stderr


def infer(server, *arguments, **options):
    return run('infer', '--url', server.grpc, *arguments, **options)


def test_arrays_in_and_out(server, tmp_path):
    a = np.arange(32, dtype=np.int32).reshape(2, 16)
    np.save(tmp_path / 'a.npy', a)
    (tmp_path / 'b.json').write_text(json.dumps((a * 10).tolist()))
    done = infer(server, 'simple', '-i', f'INPUT0=@{tmp_path}/a.npy', '-i',
                 f'INPUT1=@{tmp_path}/b.json', '--json', '--save', f'OUTPUT0={tmp_path}/sum.npy')
    assert done.returncode == 0, done.stderr
    outputs = {item['name']: item for item in json.loads(done.stdout)['outputs']}
    assert outputs['OUTPUT0']['shape'] == [2, 16]
    assert outputs['OUTPUT1']['data'] == (a - a * 10).ravel().tolist()
    assert (np.load(tmp_path / 'sum.npy') == a + a * 10).all()


@pytest.mark.parametrize('datatype, value', [
    ('bool', '[true,false]'), ('int8', '[-128,127]'), ('uint64', '[18446744073709551615,0]'),
    ('int64', '[-9223372036854775808,9007199254740993]'), ('fp32', '[0.1,3.4028235e38]'),
    ('fp64', '[0.1,5e-324]'), ('bytes', '["a","\\u00e9\\n"]'),
])
def test_datatypes_come_back_as_they_went(server, datatype, value):
    done = infer(server, f'identity_{datatype}', '-i', f'INPUT0=[{value}]', '--json')
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)['outputs'][0]
    assert output['data'] == json.loads(value)


def test_mistakes_say_what_to_do(server):
    done = infer(server, 'simple', '-i', 'INPUT0=ones')
    assert done.returncode != 0 and '--input INPUT1=VALUE' in done.stderr
    done = infer(server, 'simple', '-i', 'INPUT=ones')
    assert 'did you mean INPUT' in done.stderr
    done = infer(server, 'simpel')
    assert done.returncode != 0 and 'simpel' in done.stderr
    done = infer(server, 'simple', '-i', 'INPUT0=[1,2]', '-i', 'INPUT1=ones')
    assert 'INPUT0' in done.stderr and 'shape' in done.stderr
    done = infer(server, 'simple', '-i', 'INPUT0=@/nowhere.npy', '-i', 'INPUT1=ones')
    assert '/nowhere.npy' in done.stderr


def test_models_lists_and_describes(server):
    table = run('models', '--url', server.grpc)
    assert re.search(r'^simple +1 +READY', table.stdout, re.M)
    rows = json.loads(run('models', '--url', server.grpc, '--json').stdout)
    assert {'name': 'simple', 'version': '1', 'state': 'READY', 'reason': ''} in rows
    one = run('models', '--url', server.grpc, 'simple')
    assert 'INPUT0  INT32[?,16]' in one.stdout


def test_load_and_unload(serve, repository):
    server = serve(repository('simple'), '--mode', 'explicit')
    url = ('--url', server.grpc)
    assert infer(server, 'simple', '-i', 'INPUT0=ones', '-i', 'INPUT1=ones').returncode != 0
    assert run('models', *url, '--load', 'simple').stdout == 'loaded simple\n'
    assert infer(server, 'simple', '-i', 'INPUT0=ones', '-i', 'INPUT1=ones').returncode == 0
    assert run('models', *url, '--unload', 'simple').stdout == 'unloaded simple\n'
    assert run('models', *url, '--load', 'nothing').returncode != 0


def test_bench_counts_what_the_server_counts(serve, repository):
    server = serve(repository('simple'))
    done = run('bench', 'simple', '--url', server.grpc, '-i', 'INPUT0=ones', '-i', 'INPUT1=ones',
               '--duration', '1s', '--warmup', '0s', '--json')
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report['failed'] == report['wrong'] == 0
    assert report['answers'] > 100
    described = run('models', '--url', server.grpc, 'simple').stdout
    counted = int(re.search(r'(\d+) inferences', described).group(1))
    # What was under way when measuring ended was answered, but not measured.
    assert report['answers'] <= counted <= report['answers'] + 64


def test_bench_open_loop_charges_a_slow_server(serve, repository):
    """`slow` answers some requests a second; at a higher rate the wait must show in the latency."""
    server = serve(repository('slow'))
    question = ('slow', '--url', server.grpc, '-i', 'LOOPS=[3000]')
    shape = run('models', '--url', server.grpc, 'slow').stdout
    name = re.search(r'input +(\S+)', shape).group(1)
    question = ('slow', '--url', server.grpc, '-i', f'{name}=ones')
    closed = json.loads(run('bench', *question, '-c', '1', '-d', '1s', '--json').stdout)
    rate = closed['per_second'] * 2
    done = run('bench', *question, '--rate', f'{rate:.1f}', '-d', '1s', '--json')
    opened = json.loads(done.stdout)
    assert opened['latency_ms']['p99'] > closed['latency_ms']['p50'] * 5


def test_bench_reports_failures(serve, repository):
    server = serve(repository('pick'))
    done = run('bench', 'pick', '--url', server.grpc, '-i', 'INDEX=[99]', '-d', '300ms', '--warmup',
               '0s')
    assert done.returncode == EX_UNAVAILABLE
    assert 'failed' in done.stdout


@pytest.fixture(scope='module')
def real(real_models):
    with Server(real_models) as one:
        yield one


@pytest.mark.parametrize('question, words', [
    (('silero_vad', 'input', 'speech.wav'), r'speech \(peak (0\.9|1\.0)'),
    (('wake_word', 'audio', 'hey_jarvis.wav'), r'wake word heard \(peak 0\.9'),
    (('wake_word', 'audio', 'speech.wav'), r'no wake word'),
    (('ocr_cls', 'x', 'text_line.png'), r'upright \((0\.9|1)'),
    (('ocr_cls', 'x', 'text_upside_down.png'), r'upside down \((0\.9|1)'),
    (('ocr_rec', 'x', 'text_line.png'), r'"Hello, tenon 2026"'),
])
def test_real_models_answer_in_words(real, samples, question, words):
    model, name, file = question
    done = infer(real, model, '--input', f'{name}=@{pathlib.Path(samples) / file}')
    assert done.returncode == 0, done.stderr
    assert re.search(words, done.stdout), done.stdout
