"""A training that was stopped goes on, and ends with the numbers of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from trml_export.config import Config
from trml_export.data import Sample
from trml_export.features.features import Features
from trml_export.training import fitting
from trml_export.training.fitting import fit
from trml_export.training.train import train
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit

SIZE = 8
CONFIG = Config(frames=4, epochs=6, batch_size=8, learning_rate=1e-2, patience=6)


def _features(seed: int, count: int = 24) -> Features:
    generator = np.random.default_rng(seed)
    samples = [Sample(f"s{i}", "train", f"text {i}", None, i / count) for i in range(count)]
    texts = [generator.normal(size=SIZE).astype(np.float32) for _ in samples]
    clips = [generator.normal(size=(1 + i % 4, SIZE)).astype(np.float32) for i in range(count)]
    return Features.of(samples, texts, clips)


TRAIN, VALID = _features(0), _features(1)


def _stop_after(epochs: int, monkeypatch, state: Path, config: Config = CONFIG) -> None:
    """Fit until the state of `epochs` is on disk, and stop as Ctrl-C would in the next one."""
    save = fitting.TrainingState.save

    def interrupted(self, path):
        save(self, path)
        if self.epoch == epochs:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitting.TrainingState, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(TRAIN, VALID, config, SIZE, state=state)


@pytest.mark.parametrize("epochs", [1, 4])
@pytest.mark.parametrize("generator", ["mlp", "mean"])
def test_a_stopped_training_ends_with_the_same_weights(epochs, generator, monkeypatch, tmp_path):
    config = CONFIG.model_copy(update={"generator": generator})
    whole = fit(TRAIN, VALID, config, SIZE)
    _stop_after(epochs, monkeypatch, tmp_path / "state", config)
    resumed = fit(TRAIN, VALID, config, SIZE, state=tmp_path / "state")
    assert resumed.resumed == epochs
    assert (resumed.train, resumed.valid, resumed.best_epoch, resumed.history) == (
        whole.train,
        whole.valid,
        whole.best_epoch,
        whole.history,
    )
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)


def test_a_training_that_goes_on_says_after_which_epoch(monkeypatch, caplog, tmp_path):
    _stop_after(4, monkeypatch, tmp_path / "state")
    with caplog.at_level("INFO", "trml_export"):
        fit(TRAIN, VALID, CONFIG, SIZE, state=tmp_path / "state")
    assert caplog.messages[0] == "going on after epoch 4 of 6"
    assert caplog.messages[1].startswith("epoch 5 of 6: loss ")


def test_a_finished_training_that_was_not_saved_is_not_trained_again(tmp_path):
    first = fit(TRAIN, VALID, CONFIG, SIZE, state=tmp_path / "state")
    again = fit(TRAIN, VALID, CONFIG, SIZE, state=tmp_path / "state")
    assert again.resumed == first.epochs
    assert again.valid == first.valid


def test_the_state_of_an_older_version_has_no_history_and_is_taken(tmp_path):
    state = tmp_path / "state"
    fit(TRAIN, VALID, CONFIG, SIZE, state=state)
    with safe_open(state, framework="pt") as file:
        numbers = {k: v for k, v in file.metadata().items() if k != "history"}
    save_file(load_file(state), state, numbers)
    assert fit(TRAIN, VALID, CONFIG, SIZE, state=state).history == []


def test_a_damaged_state_is_refused_by_name(tmp_path):
    state = tmp_path / "state"
    fit(TRAIN, VALID, CONFIG, SIZE, state=state)
    state.write_bytes(state.read_bytes()[:-50])
    with pytest.raises(ArtefactMismatch, match=r"state: .* delete it"):
        fit(TRAIN, VALID, CONFIG, SIZE, state=state)


def test_the_state_of_another_model_is_refused(tmp_path):
    state = tmp_path / "state"
    fit(TRAIN, VALID, CONFIG, SIZE, state=state)
    other = CONFIG.model_copy(update={"head_width": 3})
    with pytest.raises(ArtefactMismatch, match="damaged"):
        fit(TRAIN, VALID, other, SIZE, state=state)


def test_a_state_that_cannot_be_written_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("in the way")
    state = tmp_path / "file" / "state"
    with pytest.raises(EnvironmentUnfit, match=f"^{state}: cannot be written .*--cache$"):
        fit(TRAIN, VALID, CONFIG, SIZE, state=state)


def _arguments(folder: Path, out: str, data: Path, backbone: Path) -> list[str]:
    options = ("epochs=60", "patience=60", "frames=2", "batch_size=2")
    return [
        *(sys.executable, "-c", "from trml_rt.cli import main; main()", "train"),
        *("--data", str(data), "--backbone", str(backbone), "--out", str(folder / out)),
        *(part for option in options for part in ("--set", option)),
        "--json",
    ]


def test_a_killed_command_goes_on_and_writes_the_same_checkpoint(clip_folder, data, tmp_path):
    root = Path(__file__).parents[3]
    paths = os.pathsep.join(str(root / part) for part in (".", "export", "calibration"))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    whole = tmp_path / "whole" / "checkpoint"
    torch.set_num_threads(1)
    config = Config(epochs=60, patience=60, frames=2, batch_size=2)
    train(data, clip_folder, whole, config=config)

    command = _arguments(tmp_path / "killed", "checkpoint", data, clip_folder)
    states = tmp_path / "killed" / ".trml-cache" / "training"
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        while run.poll() is None and not any(states.glob("*.safetensors")):
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
    assert not (tmp_path / "killed" / "checkpoint").exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert 0 < json.loads(done.stdout)["resumed"] < 60
    weights = [
        (folder / "model.safetensors").read_bytes()
        for folder in (whole, tmp_path / "killed" / "checkpoint")
    ]
    assert weights[0] == weights[1]
    assert not any(states.iterdir())
