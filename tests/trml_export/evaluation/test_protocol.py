"""Runs: which there are, what is kept of them, and that none outlives the command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.trml_export.evaluation.conftest import METHODS_TRIED
from trml_export.evaluation import DataSplit, MethodSubject, evaluate
from trml_export.evaluation.methods import METHODS, methods_named, train_method
from trml_export.features.features import compute_features
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit


def test_every_method_seed_and_completeness_is_one_run(protocol):
    runs = [(run["method"], run["completeness"], run["seed"]) for run in protocol.runs]
    assert runs == [(m, c, s) for c in (1.0, 0.5) for m in METHODS_TRIED for s in (0, 1)]


def test_a_finished_run_is_kept_and_not_trained_again(
    protocol, clip, tiny_config, data, cache, monkeypatch
):
    def refuse(*_):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr("trml_export.evaluation.protocol.ProcessPoolExecutor.submit", refuse)
    again = evaluate(
        MethodSubject(
            clip,
            tiny_config,
            cache,
            methods=methods_named(METHODS_TRIED),
            completeness=(1.0, 0.5),
            seeds=2,
        ),
        DataSplit(data),
    )
    assert again.runs == protocol.runs


def test_a_finished_run_is_found_under_another_name(
    protocol, clip, tiny_config, data, cache, monkeypatch
):
    monkeypatch.setattr("trml_export.evaluation.protocol.ProcessPoolExecutor.submit", None)
    again = evaluate(
        MethodSubject(
            clip,
            tiny_config,
            cache,
            methods={"another name": METHODS["trml"]},
            completeness=(1.0,),
            seeds=2,
        ),
        DataSplit(data),
    )
    assert again.runs == [{**run, "method": "another name"} for run in protocol.runs[:2]]


def test_every_run_that_ends_is_one_line_of_the_log(clip, tiny_config, data, tmp_path, caplog):
    caplog.set_level("INFO", "trml_export.evaluation.protocol")
    for _ in range(2):
        evaluate(
            MethodSubject(
                clip,
                tiny_config,
                tmp_path,
                methods=methods_named(["zero"]),
                completeness=(0.5,),
                seeds=1,
            ),
            DataSplit(data),
        )
    assert caplog.messages == [
        "runs to train: 1; in the cache: 0",
        "run 1 of 1: zero, seed 0, training 50% complete",
        "runs to train: 0; in the cache: 1",
    ]


def test_finished_runs_that_cannot_be_kept_are_refused_before_any_training(
    clip, tiny_config, data, tmp_path, monkeypatch
):
    monkeypatch.setattr("trml_export.evaluation.protocol.ProcessPoolExecutor", None)
    (tmp_path / "protocol").write_text("in the way")
    with pytest.raises(
        EnvironmentUnfit, match=f"^{tmp_path / 'protocol'}: cannot be written .*--cache$"
    ):
        evaluate(MethodSubject(clip, tiny_config, tmp_path), DataSplit(data))


def test_a_damaged_finished_run_is_named_to_be_deleted(
    protocol, clip, tiny_config, data, cache, tmp_path
):
    copy = shutil.copytree(cache, tmp_path / "cache")
    for path in (copy / "protocol").iterdir():
        path.write_text("{")
    with pytest.raises(ArtefactMismatch, match=r"\.json: this finished run is damaged .*delete it"):
        evaluate(
            MethodSubject(
                clip,
                tiny_config,
                copy,
                methods=methods_named(["trml"]),
                completeness=(1.0,),
                seeds=1,
            ),
            DataSplit(data),
        )


def test_a_worker_that_the_system_ends_is_said_with_the_way_out(
    clip, tiny_config, data, tmp_path, monkeypatch
):
    monkeypatch.setattr("trml_export.evaluation.protocol._prepare", sys.exit)
    with pytest.raises(EnvironmentUnfit, match="pass fewer --workers"):
        evaluate(
            MethodSubject(
                clip,
                tiny_config,
                tmp_path,
                methods=methods_named(["zero"]),
                completeness=(1.0,),
                seeds=1,
            ),
            DataSplit(data),
        )


def test_a_run_equals_a_training_by_hand(protocol, clip, tiny_config, data, cache):
    dataset = DataSplit(data).read(tiny_config)
    parts = {
        split: compute_features(
            [s for s in dataset.samples if s.split == split], clip, tiny_config, cache=cache
        )
        for split in ("train", "valid", "test")
    }
    predictions, _ = train_method(METHODS["trml"], *parts.values(), tiny_config)
    complete = parts["test"].has_text & parts["test"].has_video
    target = np.array([s.target for s in parts["test"].samples])[complete]
    run = protocol.runs[0]
    by_case = {case["case"]: case["mae"] for case in run["cases"]}
    for case, predicted in (
        ("random_0.0", predictions.both),
        ("video_missing_1.0", predictions.text),
        ("text_missing_1.0", predictions.video),
    ):
        expected = np.abs(predicted[complete, 0] - target).mean()
        assert by_case[case] == pytest.approx(expected, abs=1e-6)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("number", "end", "code", "said"),
    [
        (signal.SIGINT, os.killpg, 130, ["trml-rt: interrupted"]),  # as a terminal does
        (signal.SIGKILL, os.kill, -signal.SIGKILL, []),
    ],
    ids=["Ctrl-C", "kill -9"],
)
def test_a_protocol_that_is_stopped_leaves_no_process_behind_and_none_of_them_speaks(
    clip_folder, data, tmp_path, number, end, code, said
):
    root = Path(__file__).parents[3]
    paths = os.pathsep.join(str(root / part) for part in (".", "export", "calibration"))
    command = [sys.executable, "-c", "from trml_rt.cli import main; main()", "eval"]
    command += ["--data", str(data), "--backbone", str(clip_folder), "--cache", str(tmp_path)]
    command += ["--set", "epochs=100", "--set", "patience=100", "--workers", "2"]
    with (
        (tmp_path / "said").open("w") as stderr,
        subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": paths},
            stderr=stderr,
            start_new_session=True,
        ) as run,
    ):
        while not any(tmp_path.glob("protocol/*.json")):
            assert run.poll() is None
            time.sleep(0.02)
        workers = _children(run.pid)
        earlier = len((tmp_path / "said").read_text())
        end(run.pid, number)
    assert run.returncode == code
    lines = (tmp_path / "said").read_text()[earlier:].splitlines()
    told = [line for line in lines if line and not line.startswith(("run ", "still working"))]
    assert told == said
    assert len(workers) >= 2
    deadline = time.monotonic() + 30
    while any(map(_lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(_lives, workers))
