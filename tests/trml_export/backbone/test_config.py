from __future__ import annotations

import shutil
import socket
import sys

import pytest

torch = pytest.importorskip("torch")

from tests import tiny
from tests.trml_export.backbone.edits import edit_config
from trml_export.backbone.backbone import load_backbone
from trml_export.backbone.config import read_backbone_config
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError


def test_preprocessing_is_the_configurations_own(folder):
    edit_config(folder, lambda c: c["preprocess_cfg"].update(resize_mode="longest", fill_color=7))
    preprocess = load_backbone(folder).config.preprocess
    assert (preprocess.height, preprocess.width) == (tiny.IMAGE, tiny.IMAGE)
    assert (preprocess.resize, preprocess.fill) == ("longest", 7)
    assert preprocess.mean == (0.48145466, 0.4578275, 0.40821073)


def test_the_reference_is_opened_by_name_with_openais_preprocessing():
    pytest.importorskip("open_clip")
    config = read_backbone_config("ViT-B-32-quickgelu")
    assert (config.embed_dim, config.context_length) == (512, 77)
    assert config.preprocess.std == (0.26862954, 0.26130258, 0.27577711)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-model", "neither a folder nor a model"),
        ("roberta-ViT-B-32", "nothing is downloaded"),
        ("ViT-B-16-SigLIP", "nothing is downloaded"),
        ("ViT-L-14", "different preprocessing.*name ViT-L-14-quickgelu"),
        ("coca_ViT-B-32", "CoCa"),
    ],
)
def test_a_model_that_cannot_be_had_from_here_is_refused(name, message, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", None)
    with pytest.raises(UsageError, match=message):
        load_backbone(name, seed=0)


def test_a_text_tower_of_coca_in_a_folder_is_refused(folder):
    edit_config(folder, lambda c: c["model_cfg"]["text_cfg"].update(embed_cls=True))
    with pytest.raises(UsageError, match="CoCa models are not supported; take a CLIP-type model"):
        load_backbone(folder, seed=0)


def test_a_text_tower_outside_of_the_folder_is_refused(hf_folder, tmp_path):
    folder = shutil.copytree(hf_folder, tmp_path / "hf")
    (folder / "text").rename(tmp_path / "text")
    edit_config(folder, lambda c: c["model_cfg"]["text_cfg"].update(hf_model_name="../text"))
    with pytest.raises(UsageError, match="subfolder of the model"):
        load_backbone(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"model_cfg": {"embed_dim": 16}}'])
def test_a_configuration_without_towers_is_refused(folder, text):
    (folder / "open_clip_config.json").write_text(text)
    with pytest.raises(ArtefactMismatch, match="open_clip_config"):
        load_backbone(folder)


class _Broken:
    """What importing open_clip ends in where torchvision was built for another torch."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "open_clip":
            raise RuntimeError("operator torchvision::nms does not exist\nmore lines")


def test_packages_that_do_not_fit_each_other_are_named(clip_folder, monkeypatch):
    monkeypatch.delitem(sys.modules, "open_clip")
    monkeypatch.setattr(sys, "meta_path", [_Broken, *sys.meta_path])
    with pytest.raises(EnvironmentUnfit, match=r"nms does not exist\): torch .* and torchvision"):
        read_backbone_config(clip_folder)
