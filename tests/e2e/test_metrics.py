"""A live server's metrics: read by promtool and prometheus_client, moving as they should, Triton's
names among them, gone with their model; and docs/metrics.md tells all of them."""

import gzip
import re
import shutil
import subprocess
import time
import urllib.request

import prometheus_client.openmetrics.parser as openmetrics
import prometheus_client.parser as text_format
import pytest

from server import ROOT

OPEN = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5'
TRITON = {
    'nv_inference_request_success', 'nv_inference_request_failure', 'nv_inference_count',
    'nv_inference_exec_count', 'nv_inference_request_duration_us',
    'nv_inference_queue_duration_us', 'nv_inference_compute_input_duration_us',
    'nv_inference_compute_infer_duration_us', 'nv_inference_compute_output_duration_us',
    'nv_inference_pending_request_count', 'nv_cache_num_hits_per_model',
    'nv_cache_num_misses_per_model',
}
ROWS = {'inputs': [{'name': name, 'datatype': 'INT32', 'shape': [1, 16], 'data': list(range(16))}
                   for name in ('INPUT0', 'INPUT1')]}


def scrape(server, accept='text/plain', coding=None):
    headers = {'Accept': accept, **({'Accept-Encoding': coding} if coding else {})}
    request = urllib.request.Request(f'http://{server.metrics}/metrics', headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        body = answer.read()
        if answer.headers.get('Content-Encoding') == 'gzip':
            body = gzip.decompress(body)
        return answer.headers, body.decode()


def read(server):
    """{(sample name, labels)}: value"""
    values = {}
    for family in text_format.text_string_to_metric_families(scrape(server)[1]):
        for sample in family.samples:
            # The parser hangs _total onto every counter; Triton's names have none.
            name = sample.name.removesuffix('_total') if sample.name.startswith('nv_') \
                else sample.name
            key = name, tuple(sorted(sample.labels.items()))
            assert key not in values, f'twice: {key}'
            values[key] = sample.value
    return values


def of(values, name, **labels):
    """The sum of the samples whose labels include these."""
    found = [value for (other, have), value in values.items()
             if other == name and set(labels.items()) <= set(have)]
    assert found, f'no {name}{labels}'
    return sum(found)


def promtool():
    ours = ROOT / '.deps/bin/promtool'
    found = str(ours) if ours.exists() else shutil.which('promtool')
    if found is None:
        pytest.skip('no promtool: tools/setup --for test brings it')
    return found


def test_promtool_finds_nothing_to_say(server):
    server.post('/v2/models/simple/infer', ROWS)
    done = subprocess.run([promtool(), 'check', 'metrics'], input=scrape(server)[1], text=True,
                          capture_output=True, timeout=60, check=False)
    # 1: unreadable. 3: breaks a habit of naming, as Triton's names do.
    said = [line for line in (done.stdout + done.stderr).splitlines()
            if line and not line.startswith('nv_')]
    assert done.returncode in (0, 3) and said == []


def test_both_formats_say_the_same(server):
    headers, text = scrape(server)
    assert headers['Content-Type'] == 'text/plain; version=0.0.4; charset=utf-8'
    headers, opened = scrape(server, OPEN, 'gzip')
    assert headers['Content-Type'] == \
        'application/openmetrics-text; version=1.0.0; charset=utf-8'
    assert headers['Content-Encoding'] == 'gzip' and opened.endswith('# EOF\n')
    names = [{sample.name for family in parse(body) for sample in family.samples}
             for parse, body in ((text_format.text_string_to_metric_families, text),
                                 (openmetrics.text_string_to_metric_families, opened))]
    # The text parser hangs _total onto every counter.
    assert {name.removesuffix('_total') for name in names[0]} == \
        {name.removesuffix('_total') for name in names[1]}


def test_counters_follow_the_requests(server):
    model = {'model': 'simple', 'version': '1'}
    server.post('/v2/models/simple/infer', ROWS)
    before = read(server)
    for _ in range(7):
        assert server.post('/v2/models/simple/infer', ROWS)[0] == 200
    wrong = {'inputs': [{**ROWS['inputs'][0], 'shape': [1, 17]}]}
    assert server.post('/v2/models/simple/infer', wrong)[0] == 400
    after = read(server)

    def rise(name, **labels):
        return of(after, name, **labels) - of(before, name, **labels)

    assert rise('tenon_infer_requests_total', result='ok', **model) == 7
    assert rise('tenon_infer_request_seconds_count', **model) == 7
    assert rise('tenon_infer_queue_seconds_count', **model) == 7
    assert rise('tenon_infer_input_bytes_total', **model) == 7 * 128
    assert rise('tenon_infer_batch_items_sum', **model) == 7
    assert rise('tenon_rpc_calls_total', kind='http', code='200') == 7
    assert rise('tenon_rpc_calls_total', kind='http', code='400') == 1
    assert rise('tenon_rpc_received_bytes_total') > 7 * 128
    assert rise('process_cpu_seconds_total') > 0
    seconds = rise('tenon_infer_request_seconds_sum', **model)
    assert 0 < rise('tenon_infer_compute_seconds_sum', **model) < seconds < 5
    assert rise('nv_inference_request_success', **model) == 7
    assert rise('nv_inference_count', **model) == 7
    assert 0 < rise('nv_inference_exec_count', **model) <= 7
    total_us = rise('nv_inference_request_duration_us', **model)
    parts_us = sum(rise(f'nv_inference_{part}_duration_us', **model)
                   for part in ('queue', 'compute_input', 'compute_infer', 'compute_output'))
    assert 0 < parts_us <= total_us + 4
    assert abs(total_us / 1e6 - seconds) < 1e-5


def test_triton_s_names_are_there(server):
    names = {line.split()[2] for line in scrape(server)[1].splitlines()
             if line.startswith('# TYPE')}
    assert TRITON <= names


def test_what_a_process_tells(server):
    values = read(server)
    assert 5e6 < of(values, 'process_resident_memory_bytes') < 1e9
    assert 4 < of(values, 'process_open_fds') < of(values, 'process_max_fds')
    assert abs(time.time() - of(values, 'process_start_time_seconds')) < 600
    assert of(values, 'tenon_build_info') == 1


def test_an_unloaded_model_leaves(serve, repository):
    server = serve(repository('simple', 'plus'), '--mode=explicit', '--load=simple')
    assert of(read(server), 'nv_inference_count', model='simple') == 0
    server.post('/v2/models/simple/infer', ROWS)
    assert server.post('/v2/repository/models/plus/load', {})[0] == 200
    assert of(read(server), 'nv_inference_count', model='plus') == 0
    assert of(read(server), 'nv_inference_count', model='simple') == 1
    assert server.post('/v2/repository/models/simple/unload', {})[0] == 200
    end = time.monotonic() + 10
    while 'model="simple"' in scrape(server)[1]:
        assert time.monotonic() < end, 'the series stay'
        time.sleep(0.05)
    assert of(read(server), 'nv_inference_count', model='plus') == 0
    assert server.post('/v2/repository/models/simple/load', {})[0] == 200
    assert of(read(server), 'nv_inference_count', model='simple') == 0


def test_pages_for_people_and_probes(server):
    assert server.get('/', port=server.metrics_port)[0] == 200
    assert server.get('/healthz', port=server.metrics_port) == (200, b'ok\n')
    assert server.get('/nothing', port=server.metrics_port)[0] == 404


def documented():
    """{name: (type, labels)} of the tables in docs/metrics.md."""
    rows = {}
    for line in (ROOT / 'docs/metrics.md').read_text().splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        name = re.fullmatch(r'`([a-z_]+)`', cells[0]) if len(cells) == 4 else None
        if name:
            assert name.group(1) not in rows, f'{name.group(1)} is told twice'
            assert len(cells[3]) > 10, f'{name.group(1)} is not explained'
            rows[name.group(1)] = cells[1], frozenset(re.findall(r'`([a-z_]+)`', cells[2]))
    return rows


def test_the_document_tells_every_metric(server):
    server.post('/v2/models/simple/infer', ROWS)
    text = scrape(server)[1]
    live = {}
    for name, kind in re.findall(r'^# TYPE (\S+) (\S+)$', text, re.M):
        sample = re.search(rf'^{name}(?:_count)?(?:\{{(.*)\}})? ', text, re.M)
        labels = re.findall(r'([a-z_]+)="', sample.group(1) or '') if sample else None
        live[name] = kind, None if labels is None else frozenset(labels)
    told = documented()
    # Exporters are off unless they are asked for: their families are told, not seen here.
    assert set(live) == {name for name in told if not name.startswith('tenon_export_')}
    for name, (kind, labels) in live.items():
        assert told[name][0] == kind, name
        assert labels is None or told[name][1] == labels, name


def test_dashboard_and_rules_ask_for_what_exists(server):
    """Every name in the dashboard and in the alert rules is one that is told."""
    told = set(documented())
    places = [ROOT / 'deploy/grafana/tenon-serve.json', ROOT / 'deploy/prometheus/tenon.rules.yml']
    for place in places:
        names = set(re.findall(r'\b((?:tenon|nv|process)_[a-z_]+)\b', place.read_text()))
        names = {re.sub(r'_(bucket|sum|count)$', '', name) if name not in told else name
                 for name in names}
        assert names and names <= told, names - told


def test_promtool_accepts_the_rules():
    folder = ROOT / 'deploy/prometheus'
    for arguments in (['check', 'rules', 'tenon.rules.yml'], ['test', 'rules', 'tenon.test.yml']):
        done = subprocess.run([promtool(), *arguments], cwd=folder, capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
