"""What other people's readers say of our metrics and spans: promtool, prometheus_client,
OpenTelemetry's own messages, and Snappy."""
import math
import pathlib
import shutil
import subprocess

import pytest
import snappy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
import prometheus_client.openmetrics.parser
from prometheus_client import openmetrics, parser as text_parser

ROOT = pathlib.Path(__file__).resolve().parents[2]
ODD_MODEL = 'a"b\\c\nd'
NOT_OURS = "nv_inference_"


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run([ROOT / "build/tests/e2e/telemetry_samples", folder], check=True, timeout=60)
    return folder


def promtool():
    ours = ROOT / ".deps/bin/promtool"
    found = str(ours) if ours.exists() else shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool: tools/setup --for test brings it")
    return found


def value_of(families, name, **labels):
    found = [sample for family in families for sample in family.samples
             if sample.name == name and sample.labels == labels]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_promtool_finds_nothing_to_say(samples):
    text = (samples / "metrics.txt").read_bytes()
    done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True,
                          timeout=60)
    # Exit 1: it cannot be read. Exit 3: it can, but breaks a habit; Triton's names do.
    said = [line for line in (done.stdout + done.stderr).decode().splitlines()
            if line and not line.startswith(NOT_OURS)]
    assert done.returncode in (0, 3) and said == []


@pytest.mark.parametrize("name", ["metrics.txt", "openmetrics.txt"])
def test_prometheus_client_reads_the_values(samples, name):
    text = (samples / name).read_text()
    reader = openmetrics.parser if name == "openmetrics.txt" else text_parser
    families = list(reader.text_string_to_metric_families(text))
    kinds = {family.name: family.type for family in families}
    assert kinds["sample_duration_seconds"] == "histogram"
    assert kinds["sample_requests"] == "counter"
    assert kinds["nv_inference_count"] == ("unknown" if name == "openmetrics.txt" else "counter")
    assert "sample_empty" in kinds or name == "metrics.txt"
    assert value_of(families, "sample_requests_total", model=ODD_MODEL, version="1").value == 7
    assert value_of(families, "sample_requests_total", model="grüß 🍋", version="2").value == 0.1
    # The text parser calls a counter without _total by its name; promtool keeps it too.
    nv = [s for f in families for s in f.samples if s.name.startswith(NOT_OURS)]
    assert [s.value for s in nv] == [3]
    assert value_of(families, "sample_level").value == -1.5e-9
    assert math.isnan(value_of(families, "sample_odd", model="nan", version="1").value)
    assert value_of(families, "sample_odd", model="minus", version="1").value == -math.inf
    count = value_of(families, "sample_duration_seconds_count", model="m", version="1").value
    last = value_of(families, "sample_duration_seconds_bucket", model="m", version="1", le="+Inf")
    assert count == last.value == 1001


def test_openmetrics_carries_the_examples(samples):
    text = (samples / "openmetrics.txt").read_text()
    assert text.endswith("# EOF\n")
    found = {sample.name: sample.exemplar
             for family in openmetrics.parser.text_string_to_metric_families(text)
             for sample in family.samples if sample.exemplar}
    assert set(found) == {"sample_requests_total", "sample_duration_seconds_bucket"}
    example = found["sample_duration_seconds_bucket"]
    assert example.labels == {"trace_id": "ab" * 16, "span_id": "01" * 8}
    assert example.value == 0.003


def test_otlp_metrics_are_what_opentelemetry_understands(samples):
    data = (samples / "otlp_metrics.pb").read_bytes()
    request = metrics_service_pb2.ExportMetricsServiceRequest.FromString(data)
    (of_resource,) = request.resource_metrics
    assert of_resource.resource.attributes[0].key == "service.name"
    assert of_resource.resource.attributes[0].value.string_value == "tenon"
    metrics = {metric.name: metric for metric in of_resource.scope_metrics[0].metrics}
    duration = metrics["sample_duration_seconds"]
    assert duration.unit == "s" and duration.histogram.aggregation_temporality == 2
    (busy,) = [p for p in duration.histogram.data_points if p.count]
    assert busy.count == sum(busy.bucket_counts) == 1001
    assert len(busy.explicit_bounds) + 1 == len(busy.bucket_counts) == 20
    assert busy.exemplars[0].trace_id == b"\xab" * 16
    assert busy.start_time_unix_nano == 1700000000 * 10**9
    requests = metrics["sample_requests_total"].sum
    assert requests.is_monotonic
    assert {tuple(a.value.string_value for a in p.attributes): p.as_double
            for p in requests.data_points}[(ODD_MODEL, "1")] == 7
    # Nothing was lost to unknown fields: it encodes to the same bytes again.
    assert request.SerializeToString(deterministic=True) == data


def test_otlp_spans_are_what_opentelemetry_understands(samples):
    data = (samples / "otlp_traces.pb").read_bytes()
    request = trace_service_pb2.ExportTraceServiceRequest.FromString(data)
    root, child = request.resource_spans[0].scope_spans[0].spans
    assert (root.name, root.kind, root.parent_span_id) == ("request", 2, b"")
    assert len(root.trace_id) == 16 and child.trace_id == root.trace_id
    assert child.parent_span_id == root.span_id
    assert root.attributes[1].value.int_value == -8
    assert (root.status.code, root.status.message) == (2, "broken")
    assert request.SerializeToString(deterministic=True) == data


def write_request_class(folder):
    """The message of remote write, from the .proto file."""
    ds = folder / "remote.ds"
    subprocess.run(["protoc", "-I", ROOT / "proto", f"--descriptor_set_out={ds}", "remote.proto"],
                   check=True, timeout=60)
    files = descriptor_pb2.FileDescriptorSet.FromString(ds.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


def test_remote_write_says_what_the_text_says(samples, tmp_path):
    body = snappy.decompress((samples / "remote.snappy").read_bytes())
    assert body == (samples / "remote.pb").read_bytes()
    assert len((samples / "remote.snappy").read_bytes()) * 2 < len(body)
    request = write_request_class(tmp_path).FromString(body)
    sent = {}
    for series in request.timeseries:
        names = [label.name for label in series.labels]
        assert names == sorted(names) and len(set(names)) == len(names)
        labels = {label.name: label.value for label in series.labels}
        (sample,) = series.samples
        assert sample.timestamp == 1700000000123
        sent[labels.pop("__name__"), tuple(sorted(labels.items()))] = sample.value
    text = (samples / "openmetrics.txt").read_text()
    read = {}
    for family in openmetrics.parser.text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sorted(label for label in sample.labels.items() if label[1])
            read[sample.name, tuple(labels)] = sample.value
    assert sent.keys() == read.keys()
    for key, value in read.items():
        assert sent[key] == value or (math.isnan(value) and math.isnan(sent[key])), key
