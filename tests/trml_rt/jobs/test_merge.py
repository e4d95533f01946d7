"""Shards that were answered apart make the file that one run would have written."""

from __future__ import annotations

import pytest

from tests.conftest import TINY
from trml_rt.errors import UsageError
from trml_rt.jobs import merge_jobs, run_job


@pytest.fixture
def shards(run, tmp_path):
    """The files of a job in two shards."""
    for number in (1, 2):
        run(f"{number}.jsonl", shard=f"{number}/2")
    return [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]


def test_shards_together_are_the_bytes_of_one_run(run, shards, tmp_path):
    whole = run("whole.jsonl")
    report = merge_jobs(shards[::-1], tmp_path / "merged.jsonl")
    assert (tmp_path / "merged.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    for name in ("rows", "failed", "presence", "virtual", "errors", "metrics", "measured"):
        assert getattr(report, name) == getattr(whole, name)
    assert report.answered == 0
    with pytest.raises(UsageError, match="exists already"):
        merge_jobs(shards, tmp_path / "merged.jsonl")
    merge_jobs(shards, tmp_path / "merged.jsonl", force=True)
    with pytest.raises(UsageError, match="is read for this job"):
        merge_jobs(shards, shards[0], force=True)


def test_shards_that_are_not_all_of_one_job_are_refused(run, shards, archive, tmp_path):
    out = tmp_path / "m.jsonl"
    with pytest.raises(UsageError, match="shard 2/2 is not there"):
        merge_jobs(shards[:1], out)
    with pytest.raises(UsageError, match=r"is shard 1/2, as .*1\.jsonl is; name it once"):
        merge_jobs([shards[0], shards[0]], out)
    run("whole.jsonl")
    with pytest.raises(UsageError, match="is no shard, but a whole job"):
        merge_jobs([*shards, tmp_path / "whole.jsonl"], out)
    run("other.jsonl", shard="2/2", degrade=True)
    with pytest.raises(UsageError, match="is of a job with another degrade than"):
        merge_jobs([shards[0], tmp_path / "other.jsonl"], out)
    run("third.jsonl", shard="3/3")
    with pytest.raises(UsageError, match="shards of two counts"):
        merge_jobs([*shards, tmp_path / "third.jsonl"], out)
    (tmp_path / "x.jsonl").write_text("")
    with pytest.raises(UsageError, match=r"x\.jsonl: no job wrote it"):
        merge_jobs([tmp_path / "x.jsonl"], out)
    assert not out.exists()


def test_a_shard_that_is_not_finished_is_refused(archive, bundle_copy, tmp_path):
    path = bundle_copy / "onnx" / "text.onnx"
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    with pytest.raises(Exception, match="differs"):
        run_job(archive, tmp_path / "1.jsonl", bundle_copy, shard="1/2", workers=1)
    with pytest.raises(UsageError, match="its job is not finished"):
        merge_jobs([tmp_path / "1.jsonl"], tmp_path / "m.jsonl")
    assert TINY.exists()
