"""What `export-triton` writes: a configuration that Triton's own format takes, and the bundle."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import trml_rt
from tests.conftest import TINY
from trml_rt.cli import trml_rt as program
from trml_rt.errors import ArtefactMismatch, UsageError


def parsed(path):
    """The configuration as the messages of NVIDIA's client read it."""
    client = importlib.util.find_spec("tritonclient")
    if client is None:
        pytest.skip("needs tritonclient, which has the format")
    text_format = pytest.importorskip("google.protobuf.text_format")
    source = Path(client.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", source)
    module = importlib.util.module_from_spec(spec)  # without its package, which imports grpc
    spec.loader.exec_module(module)
    return module, text_format.Parse(path.read_text(), module.ModelConfig())


def test_a_model_has_its_code_and_a_whole_bundle(tmp_path):
    model = trml_rt.export_triton(tmp_path / "models", TINY)
    assert model.folder == tmp_path / "models" / "trml"
    assert sorted(path.name for path in model.folder.iterdir()) == ["1", "config.pbtxt"]
    assert sorted(path.name for path in (model.folder / "1").iterdir()) == ["bundle", "model.py"]
    trml_rt.Bundle(model.bundle).verify_files()


@pytest.mark.filterwarnings("ignore:Protobuf gencode version")
def test_the_configuration_is_one_of_triton(tmp_path):
    options = {"backend": "openvino", "precision": "fp16", "degrade": True}
    model = trml_rt.export_triton(tmp_path, TINY, name="mood", **options)
    module, config = parsed(model.folder / "config.pbtxt")
    assert (config.name, config.backend) == ("mood", "python")
    assert config.max_batch_size == trml_rt.Bundle(TINY).manifest.axes.batch.max
    assert {each.name: [*each.dims] for each in config.input} == {
        **{"text": [1], "video": [1], "frames": [-1, -1, -1, 3]},
    }
    assert all(each.optional for each in config.input)
    assert [each.name for each in config.output] == ["label", "score", "answer"]
    assert config.output[1].data_type == module.TYPE_FP32
    assert config.HasField("dynamic_batching")
    assert {name: each.string_value for name, each in config.parameters.items()} == {
        **{"backend": "openvino", "precision": "fp16", "degrade": "true", "isolate": "true"},
    }


def test_other_models_stay_and_the_same_is_replaced_only_by_force(tmp_path):
    for name in ("a", "b"):
        trml_rt.export_triton(tmp_path, TINY, name=name)
    with pytest.raises(UsageError, match="exists already"):
        trml_rt.export_triton(tmp_path, TINY, name="a")
    trml_rt.export_triton(tmp_path, TINY, name="a", force=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").touch()
    with pytest.raises(UsageError, match="is not a model of Triton"):
        trml_rt.export_triton(tmp_path, TINY, name="mine", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "mine"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ü", 3, "a" * 65, 'a"'])
def test_what_is_no_name_of_a_model_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="no name of a model"):
        trml_rt.export_triton(tmp_path, TINY, name=name)


def test_a_damaged_bundle_leaves_nothing(tmp_path, bundle_copy):
    next(bundle_copy.glob("onnx/*")).write_bytes(b"x")
    with pytest.raises(ArtefactMismatch):
        trml_rt.export_triton(tmp_path / "models", bundle_copy)
    assert not (tmp_path / "models").exists() or not any((tmp_path / "models").iterdir())


def test_the_command_says_what_it_wrote(tmp_path):
    words = ["export-triton", str(tmp_path), "--bundle", str(TINY)]
    result = CliRunner().invoke(program, [*words, "--json"])
    assert json.loads(result.stdout)["bundle"] == f"{tmp_path}/trml/1/bundle"
    again = CliRunner().invoke(program, words)
    assert (again.exit_code, "pass --force" in again.stderr) == (2, True)
    assert "named trml" in CliRunner().invoke(program, [*words, "--force"]).stdout
