"""Weights that PyTorch saved become safetensors, and nothing of them runs."""

from __future__ import annotations

import json
import os
import pickle
import zipfile

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner
from safetensors.torch import load_file

from trml_export.backbone.torch_files import convert_weights
from trml_rt.cli import trml_rt as program
from trml_rt.errors import ArtefactMismatch, UsageError


@pytest.fixture
def module():
    torch.manual_seed(0)
    half = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3)).half()
    return torch.nn.Sequential(torch.nn.Linear(4, 4), half)


def _same(out, expected):
    tensors = load_file(out)
    assert set(tensors) == set(expected)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


@pytest.mark.parametrize("where", [(), ("state_dict",), ("model",)])
def test_a_checkpoint_is_converted_wherever_it_keeps_its_weights(module, where, tmp_path):
    content = module.state_dict()
    for key in where:
        content = {"epoch": 3, key: content}
    torch.save(content, tmp_path / "a.pt")
    assert convert_weights(tmp_path / "a.pt", tmp_path / "a.safetensors") == 6
    _same(tmp_path / "a.safetensors", module.state_dict())


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PyTorch no longer wants such archives made
def test_an_archive_with_a_program_gives_its_tensors_and_is_not_run(module, tmp_path):
    from torch.jit import trace

    example = torch.randn(2, 4)
    path = tmp_path / "ViT.pt"
    trace(module[0], example).save(path)
    convert_weights(path, tmp_path / "a.safetensors")
    _same(tmp_path / "a.safetensors", module[0].state_dict())


def test_what_asks_for_more_than_tensors_is_refused_before_it_runs(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"weights": Attack()}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "archive.pt", "w") as archive:
        archive.writestr("a/code/x.py", "")
        archive.writestr("a/data.pkl", pickle.dumps(Attack()))
    for name in ("plain.pt", "archive.pt"):
        with pytest.raises(ArtefactMismatch, match="is refused: more than tensors"):
            convert_weights(tmp_path / name, tmp_path / "a.safetensors")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "a.safetensors").exists()


def test_a_file_that_is_cut_off_is_called_that(module, tmp_path):
    path = tmp_path / "a.pt"
    torch.save(module.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ArtefactMismatch, match="is cut off or damaged"):
        convert_weights(path, tmp_path / "a.safetensors")


def test_a_file_of_nothing_is_said(tmp_path):
    torch.save({"epoch": 1}, tmp_path / "a.pt")
    with pytest.raises(ArtefactMismatch, match="holds no weights"):
        convert_weights(tmp_path / "a.pt", tmp_path / "a.safetensors")


def test_a_target_that_is_there_or_has_another_ending_is_refused(module, tmp_path):
    torch.save(module.state_dict(), tmp_path / "a.pt")
    with pytest.raises(UsageError, match=r"are written as \.safetensors"):
        convert_weights(tmp_path / "a.pt", tmp_path / "a.bin")
    (tmp_path / "a.safetensors").write_text("")
    with pytest.raises(UsageError, match="--force"):
        convert_weights(tmp_path / "a.pt", tmp_path / "a.safetensors")


def test_the_command_takes_the_word_weights_before_the_file(module, tmp_path):
    torch.save(module.state_dict(), tmp_path / "a.pt")
    words = [str(tmp_path / "a.pt"), "--out", str(tmp_path / "a.safetensors"), "--json"]
    result = CliRunner().invoke(program, ["convert", "weights", *words])
    assert json.loads(result.output)["tensors"] == 6
    assert CliRunner().invoke(program, ["convert", "weight", *words]).exit_code == 2
