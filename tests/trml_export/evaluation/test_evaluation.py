"""The whole protocol on a tiny world: what is trained, scored, kept and written."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner

from trml_export.backbone.backbone import load_backbone
from trml_export.config import Config
from trml_export.evaluation import Rows, evaluate_checkpoint, evaluate_method, write_report
from trml_export.evaluation.methods import METHODS, choose, train_method
from trml_export.evaluation.paired import paired
from trml_export.evaluation.predictions import predict
from trml_export.evaluation.record import Statistic
from trml_export.features.features import compute_features
from trml_export.method.model import TRML
from trml_export.to_bundle.export import export
from trml_export.training.fitting import evaluate as evaluate_fit
from trml_export.training.fitting import fit
from trml_export.training.train import train
from trml_rt.cli import trml_rt as program
from trml_rt.errors import UsageError

CONFIG = Config(frames=2, epochs=2, batch_size=8)
METHODS_TRIED = ("trml", "constant", "separate")


@pytest.fixture(scope="module")
def backbone(clip_folder):
    return load_backbone(clip_folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def protocol(backbone, data, cache):
    """Three methods, two seeds, two shares of complete training samples, on one worker."""
    return evaluate_method(
        backbone,
        Rows(data),
        config=CONFIG,
        cache=cache,
        methods=choose(METHODS_TRIED),
        completeness=(1.0, 0.5),
        seeds=2,
        workers=1,
    )


@pytest.fixture(scope="module")
def checkpoint(clip_folder, data, cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "checkpoint"
    train(data, clip_folder, folder, config=CONFIG, cache=cache)
    return folder


def test_every_method_seed_and_completeness_is_one_run(protocol):
    runs = [(run["method"], run["completeness"], run["seed"]) for run in protocol.runs]
    assert runs == [(m, c, s) for c in (1.0, 0.5) for m in METHODS_TRIED for s in (0, 1)]


def test_a_finished_run_is_kept_and_not_trained_again(protocol, backbone, data, cache, monkeypatch):
    def refuse(*_):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr("trml_export.evaluation.protocol.ProcessPoolExecutor.submit", refuse)
    again = evaluate_method(
        backbone,
        Rows(data),
        config=CONFIG,
        cache=cache,
        methods=choose(METHODS_TRIED),
        completeness=(1.0, 0.5),
        seeds=2,
    )
    assert again.runs == protocol.runs


def test_a_finished_run_is_found_under_another_name(protocol, backbone, data, cache, monkeypatch):
    monkeypatch.setattr("trml_export.evaluation.protocol.ProcessPoolExecutor.submit", None)
    again = evaluate_method(
        backbone,
        Rows(data),
        config=CONFIG,
        cache=cache,
        methods={"another name": METHODS["trml"]},
        completeness=(1.0,),
        seeds=2,
    )
    assert again.runs == [{**run, "method": "another name"} for run in protocol.runs[:2]]


def test_a_run_equals_a_training_by_hand(protocol, backbone, data, cache):
    dataset = Rows(data).read(CONFIG)
    parts = {
        split: compute_features(
            [s for s in dataset.samples if s.split == split], backbone, CONFIG, cache=cache
        )
        for split in ("train", "valid", "test")
    }
    predictions, _ = train_method(METHODS["trml"], *parts.values(), CONFIG)
    complete = parts["test"].has_text & parts["test"].has_video
    target = np.array([s.target for s in parts["test"].samples])[complete]
    run = protocol.runs[0]
    by_case = {case["case"]: case["mae"] for case in run["cases"]}
    for case, said in (
        ("random_0.0", predictions.both),
        ("video_missing_1.0", predictions.text),
        ("text_missing_1.0", predictions.video),
    ):
        expected = np.abs(said[complete, 0] - target).mean()
        assert by_case[case] == pytest.approx(expected, abs=1e-6)


def test_the_summary_is_mean_and_deviation_over_the_seeds(protocol):
    values = [
        next(c["mae"] for c in run["cases"] if c["case"] == "random_0.3")
        for run in protocol.runs
        if (run["method"], run["completeness"]) == ("constant", 0.5)
    ]
    found = protocol.statistic("constant", 0.5, "random_0.3", "mae")
    assert found.mean == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))
    assert Statistic.of(values[:1]).deviation is None


def test_a_metric_that_no_seed_has_is_a_dash_and_null(protocol):
    """The F1 of a label that is neither true nor chosen, for instance."""
    nothing = Statistic.of([float("nan"), 0.5])
    assert str(nothing) == "-"
    runs = json.loads(json.dumps(protocol.runs))
    for run in runs:
        run["cases"][0]["mae"] = float("nan")
    summary = json.loads(replace(protocol, runs=runs).to_json())["summary"]
    assert summary[0]["mae"] == {"mean": None, "deviation": None}


def test_the_protocol_cases_cover_the_complete_samples_alone(protocol):
    counts = {c["case"]: c["samples"] for c in protocol.runs[0]["cases"]}
    complete = protocol.data["samples"]["text_video"]
    assert {n for case, n in counts.items() if case != "as_is"} == {complete}
    assert counts["as_is"] == sum(protocol.data["samples"].values())


def test_the_floors_answer_the_same_whatever_the_input(protocol, data):
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    mean = np.mean([row["score"] for row in rows if row["split"] == "train"])
    test = [row for row in rows if row["split"] == "test"]
    expected = np.mean([abs(row["score"] - mean) for row in test])
    assert protocol.floors["training_mean"]["as_is"]["mae"] == pytest.approx(expected)
    whole = np.mean([abs(r["score"] - mean) for r in test if "text" in r and "video" in r])
    assert protocol.floors["training_mean"]["complete"]["mae"] == pytest.approx(whole)


def test_the_report_holds_json_csv_tables_and_a_plot_a_completeness(protocol, tmp_path):
    write_report(protocol, tmp_path / "out")
    plots = ["missing_0.5.png", "missing_1.png"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [*plots, "paired.md", "results.csv", "results.json", "results.md"]
    assert (tmp_path / "out" / "missing_1.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    with (tmp_path / "out" / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    cases = [case for run in content["runs"] for case in run["cases"]]
    assert [float(line["mae"]) for line in lines] == [case["mae"] for case in cases]


def test_the_tables_show_retrieval_of_both_directions_beside_its_floor(protocol):
    text = protocol.to_markdown()
    values = [
        run["retrieval"]["video_to_text"]["recall_1"]
        for run in protocol.runs
        if (run["method"], run["completeness"]) == ("trml", 1.0)
    ]
    table = text[text.index("| video to text") : text.index("| text to video")]
    assert f"| TRML | {Statistic.of(values)} |" in table
    assert "| floor: no vector at all |" in table


def test_gains_over_the_constant_are_taken_seed_by_seed(protocol):
    def mae(method: str) -> list[float]:
        return [
            next(c["mae"] for c in run["cases"] if c["case"] == "video_missing_1.0")
            for run in protocol.runs
            if (run["method"], run["completeness"]) == (method, 1.0)
        ]

    gains = [b - a for a, b in zip(mae("trml"), mae("constant"), strict=True)]  # lower is better
    wins = sum(gain > 0 for gain in gains)
    line = next(x for x in paired(protocol).splitlines() if x.startswith("| TRML |"))
    assert line.split(" | ")[2] == f"{Statistic.of(gains)} ({wins}/2)"


def test_there_is_nothing_to_pair_without_the_constant(protocol):
    runs = [run for run in protocol.runs if run["method"] != "constant"]
    assert paired(replace(protocol, runs=runs)) is None


def test_a_report_is_not_replaced_by_accident(protocol, tmp_path):
    write_report(protocol, tmp_path / "out")
    with pytest.raises(UsageError, match="exists already"):
        write_report(protocol, tmp_path / "out")
    write_report(protocol, tmp_path / "out", force=True)


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="no method magic; choose of trml"):
        choose(["trml", "magic"])


@pytest.mark.parametrize("name", ["lambda_0", "constant"])
def test_what_matching_does_not_teach_the_task_does(name, backbone, data, cache):
    """Else a learned constant would learn nothing where TRML's generators learn from matching."""
    dataset = Rows(data).read(CONFIG)
    parts = {
        split: compute_features(
            [s for s in dataset.samples if s.split == split], backbone, CONFIG, cache=cache
        )
        for split in ("train", "valid")
    }
    alone = CONFIG.model_copy(update={"task_teaches_generators": False})
    config = alone.model_copy(update=METHODS[name].changes)
    model = fit(parts["train"], parts["valid"], config, backbone.size).model
    torch.manual_seed(config.seed)
    start = TRML(config, backbone.size).text_to_video.state_dict()
    taught = model.text_to_video.state_dict()
    gone = {key: (taught[key] - start[key]).abs().max().item() for key in start}
    assert max(gone.values()) > CONFIG.learning_rate / 2  # more than weight decay alone


def test_separate_models_answer_each_case_with_the_model_of_that_case(backbone, data, cache):
    dataset = Rows(data).read(CONFIG)
    parts = [
        compute_features(
            [s for s in dataset.samples if s.split == split], backbone, CONFIG, cache=cache
        )
        for split in ("train", "valid", "test")
    ]
    method = METHODS["separate"]
    predictions, record = train_method(method, *parts, CONFIG)
    assert set(record) == {"text", "video", "text_video"}
    alone = {**method.changes, "trained_views": "video"}
    model = fit(parts[0], parts[1], CONFIG.model_copy(update=alone), backbone.size).model
    np.testing.assert_array_equal(predictions.video, predict(model, parts[2]).video)


def test_predictions_agree_with_what_training_measures(backbone, data, cache):
    dataset = Rows(data).read(CONFIG)
    features = compute_features(dataset.samples, backbone, CONFIG, cache=cache)
    torch.manual_seed(0)
    model = TRML(CONFIG, backbone.size).eval()
    metrics = evaluate_fit(model, features)
    found = predict(model, features)
    target = np.array([sample.target for sample in features.samples])
    error = np.nanmean(np.abs(found.text[:, 0] - target))
    assert error == pytest.approx(metrics["text_mae"], abs=1e-6)


def _cases(text: str) -> dict[str, float]:
    content = json.loads(text)
    return {case["case"]: case["mae"] for case in content["runs"][0]["cases"]}


def test_a_bundle_scores_what_its_checkpoint_scores(checkpoint, data, cache, tmp_path):
    export(checkpoint, tmp_path / "bundle")
    run = CliRunner().invoke(
        program.commands["eval"],
        ["--data", str(data), "--bundle", str(tmp_path / "bundle"), "--json"],
    )
    assert run.exit_code == 0, run.output
    torch_cases = _cases(evaluate_checkpoint(checkpoint, Rows(data), cache=cache).to_json())
    assert _cases(run.stdout) == pytest.approx(torch_cases, abs=1e-4)
    subject = json.loads(run.stdout)["subject"]
    assert (subject["kind"], subject["backend"]) == ("bundle", "onnxruntime")


def test_the_command_prints_a_table_and_names_unusable_inputs(checkpoint, data, cache, tmp_path):
    rows = data.read_text()
    (data.parent / "broken.mp4").write_bytes(b"no video" * 20)
    broken = data.parent / "with_broken.jsonl"
    row = {"id": "x", "split": "test", "text": "so", "video": "broken.mp4", "score": 0.0}
    broken.write_text(rows + json.dumps(row) + "\n")
    run = CliRunner().invoke(
        program.commands["eval"],
        ["--data", str(broken), "--checkpoint", str(checkpoint), "--cache", str(cache)],
    )
    assert run.exit_code == 0, run.output
    assert run.stdout.startswith("| mae")
    assert "x: undecodable" in run.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give one of --checkpoint, --bundle, --backbone, not none"),
        (["--bundle", "b", "--backbone", "c"], "not --bundle and --backbone"),
        (["--bundle", "b", "--seeds", "3"], "--seeds: has no meaning with --bundle"),
        (["--checkpoint", "c", "--backend", "auto"], "--backend: has no meaning with --checkpoint"),
        (["--backbone", "c", "--precision", "fp16"], "--precision: has no meaning with --backbone"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    run = CliRunner().invoke(program.commands["eval"], ["--data", "d", *options])
    assert isinstance(run.exception, UsageError)
    assert message in str(run.exception)


def test_a_split_without_samples_is_said(checkpoint, data, cache, tmp_path):
    rows = [r for r in data.read_text().splitlines() if json.loads(r)["split"] != "test"]
    path = data.parent / "no_test.jsonl"
    path.write_text("\n".join(rows))
    with pytest.raises(UsageError, match="no sample has the split 'test'"):
        evaluate_checkpoint(checkpoint, Rows(path), cache=cache)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_protocol_leaves_no_process_behind(clip_folder, data, tmp_path):
    root = Path(__file__).parents[3]
    paths = os.pathsep.join(str(root / part) for part in (".", "export", "calibration"))
    command = [sys.executable, "-c", "from trml_rt.cli import main; main()", "eval"]
    command += ["--data", str(data), "--backbone", str(clip_folder), "--cache", str(tmp_path)]
    command += ["--set", "epochs=100", "--set", "patience=100", "--workers", "2"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}) as run:
        while not any(tmp_path.glob("protocol/*.json")):
            assert run.poll() is None
            time.sleep(0.02)
        workers = _children(run.pid)
        run.send_signal(signal.SIGKILL)
    assert len(workers) >= 2
    deadline = time.monotonic() + 30
    while any(map(_lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(_lives, workers))
