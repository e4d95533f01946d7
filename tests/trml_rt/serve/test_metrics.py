"""The text of the metrics is what Prometheus reads."""

from __future__ import annotations

import pytest

parser = pytest.importorskip("prometheus_client.parser", reason="reads the metrics")

from tests.trml_rt.serve.callers import call
from trml_rt.serve.metrics import Metrics


def read(text):
    """Return each sample by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_answer_is_counted_by_its_engine_set_and_by_what_was_virtual(rt):
    metrics = Metrics()
    metrics.answered(rt.infer("what a day"), 0.5)
    samples = read(metrics.text({}, {"bundle": 'a "b"\\\n'}))
    assert samples["trml_rt_rows_total", ("engine_set", "text"), ("outcome", "answered")] == 1
    assert samples["trml_rt_virtual_total", ("input", "video"), ("reason", "not_given")] == 1
    assert samples["trml_rt_stage_seconds_count", ("stage", "wait")] == 1
    assert samples["trml_rt_stage_seconds_bucket", ("le", "0.5"), ("stage", "wait")] == 1
    assert samples["trml_rt_info", ("bundle", 'a "b"\\\n')] == 1
    assert samples[("process_resident_memory_bytes",)] > 1 << 20


def test_buckets_of_a_histogram_add_up():
    metrics = Metrics()
    for rows in (1, 2, 3, 100):
        metrics.groups.add("text", rows)
    samples = read(metrics.text({}, {}))
    buckets = [
        samples["trml_rt_group_rows_bucket", ("engine_set", "text"), ("le", bound)]
        for bound in ("1", "2", "4", "64", "+Inf")
    ]
    assert buckets == [1, 2, 3, 3, 4]
    assert samples["trml_rt_group_rows_sum", ("engine_set", "text")] == 106


def test_a_server_counts_what_it_answers_and_what_it_refuses(server):
    call(server, "/infer", {"text": "what a day"})
    call(server, "/infer", {"video": "AAAA"})
    call(server, "/infer", {"words": 1})
    reply = call(server, "/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    samples = read(reply.body.decode())
    assert samples["trml_rt_rows_total", ("engine_set", "text"), ("outcome", "answered")] >= 1
    assert samples["trml_rt_rows_total", ("engine_set", ""), ("outcome", "undecodable")] >= 1
    assert samples["trml_rt_refused_total", ("cause", "bad_request")] >= 1
    assert samples[("trml_rt_requests_inside",)] == 0
