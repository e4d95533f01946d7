from __future__ import annotations

import errno
import shutil

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from tests import tiny
from tests.trml_export.backbone.edits import edit_config
from trml_export.backbone.backbone import load_backbone
from trml_rt.errors import ArtefactMismatch, UsageError

TEXTS = ["a happy day", "what a pity, what a mess!", "x"]


@pytest.mark.parametrize("kind", ["clip", "hf"])
def test_both_towers_end_in_one_space(kind, request):
    backbone = request.getfixturevalue(kind)
    text = backbone.encode_text(backbone.tokenize(TEXTS))
    image = backbone.encode_image(torch.zeros(2, 3, tiny.IMAGE, tiny.IMAGE))
    assert (text.shape, image.shape) == ((3, tiny.SIZE), (2, tiny.SIZE))


@pytest.mark.parametrize("kind", ["clip", "hf"])
def test_a_full_sequence_gives_what_open_clip_gives(kind, request):
    backbone = request.getfixturevalue(kind)
    ids = backbone.tokenize(TEXTS)
    torch.testing.assert_close(backbone.encode_text(ids), backbone.model.encode_text(ids))


@pytest.mark.parametrize("kind", ["clip", "hf"])
def test_padding_can_be_cut_off(kind, request):
    backbone = request.getfixturevalue(kind)
    ids = backbone.tokenize(TEXTS)
    cut = ids[:, : int((ids != 0).sum(dim=1).max())]
    assert cut.shape[1] < ids.shape[1]
    torch.testing.assert_close(
        backbone.encode_text(cut), backbone.encode_text(ids), atol=1e-5, rtol=1e-5
    )


def test_only_clips_own_tower_is_causal(clip, hf):
    assert clip.causal
    assert not hf.causal


def test_a_long_text_ends_in_end_of_text(clip):
    ids = clip.tokenize(["word " * 200])
    assert ids.shape == (1, clip.context_length)
    assert ids[0, -1] == clip.tokenizer.eot_token_id


def test_word_pieces_are_those_of_the_folder(hf):
    assert hf.tokenize(["a day"])[0, :4].tolist() != [0, 0, 0, 0]
    assert hf.tokenizer.tokenizer.convert_ids_to_tokens(hf.tokenize(["a sad day"])[0, :5]) == [
        "[CLS]",
        "a",
        "sad",
        "day",
        "[SEP]",
    ]


def test_nothing_is_trained_or_dropped_out(hf):
    assert not hf.model.training
    assert not any(parameter.requires_grad for parameter in hf.model.parameters())


@pytest.mark.parametrize("kind", ["clip", "hf"])
def test_a_saved_backbone_opens_as_the_same(kind, request, tmp_path):
    backbone = request.getfixturevalue(kind)
    backbone.save(tmp_path / "copy")
    again = load_backbone(tmp_path / "copy")
    assert again.fingerprint == backbone.fingerprint
    ids = backbone.tokenize(TEXTS)
    assert torch.equal(again.encode_text(ids), backbone.encode_text(ids))


def test_random_weights_follow_their_seed(clip_folder):
    one, same, other = (load_backbone(clip_folder, seed=seed).fingerprint for seed in (3, 3, 4))
    assert one == same != other


def test_random_weights_are_saved_too(clip_folder, tmp_path):
    backbone = load_backbone(clip_folder, seed=5)
    backbone.save(tmp_path / "copy")
    assert load_backbone(tmp_path / "copy").fingerprint == backbone.fingerprint


def test_opening_draws_none_of_the_callers_random_numbers(clip_folder):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    load_backbone(clip_folder)
    assert torch.equal(torch.rand(1), expected)


def test_the_fingerprint_knows_the_activation(folder, clip):
    edit_config(folder, lambda c: c["model_cfg"].update(quick_gelu=False))
    assert load_backbone(folder).fingerprint != clip.fingerprint


def test_the_fingerprint_knows_the_vocabulary(hf_folder, hf, tmp_path):
    folder = shutil.copytree(hf_folder, tmp_path / "hf")
    path = folder / "text" / "tokenizer.json"
    path.write_text(path.read_text().replace('"happy"', '"hoppy"'))
    assert load_backbone(folder).fingerprint != hf.fingerprint


def test_the_fingerprint_knows_nothing_of_places(folder, clip):
    assert load_backbone(folder).fingerprint == clip.fingerprint


def test_a_name_of_open_clip_needs_a_weights_file():
    with pytest.raises(UsageError, match="--weights"):
        load_backbone("ViT-B-32-quickgelu")


def test_a_pickle_is_refused(folder):
    with pytest.raises(UsageError, match="trml-rt convert weights"):
        load_backbone(folder, weights=folder / "model.pt")


def test_a_folder_without_weights_says_what_to_pass(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="--weights"):
        load_backbone(folder)


def test_weights_and_a_seed_contradict_each_other(folder):
    with pytest.raises(UsageError, match="not both"):
        load_backbone(folder, weights=folder / "model.safetensors", seed=1)


def test_damaged_weights_are_refused(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ArtefactMismatch, match="is no safetensors file"):
        load_backbone(folder)


def test_weights_that_lack_a_tensor_are_refused(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["text.ln_final.weight"]
    save_file(tensors, path)
    with pytest.raises(ArtefactMismatch, match="ln_final"):
        load_backbone(folder)


def test_positions_are_not_resized_without_a_word(folder):
    edit_config(folder, lambda c: c["model_cfg"]["text_cfg"].update(context_length=50))
    with pytest.raises(ArtefactMismatch, match="positional_embedding"):
        load_backbone(folder)


def test_weights_in_the_layout_of_the_published_files_fit(folder):
    path = folder / "model.safetensors"
    expected = load_backbone(folder).fingerprint
    save_file({k.removeprefix("text."): v for k, v in load_file(path).items()}, path)
    assert load_backbone(folder).fingerprint == expected


def test_a_key_that_open_clip_does_not_know_is_refused(folder):
    edit_config(folder, lambda c: c["model_cfg"]["text_cfg"].update(colour="red"))
    with pytest.raises(ArtefactMismatch, match="colour"):
        load_backbone(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_file_of_the_text_tower_is_no_traceback(hf_folder, tmp_path, name):
    folder = shutil.copytree(hf_folder, tmp_path / "hf")
    (folder / "text" / name).write_text("{")
    with pytest.raises(ArtefactMismatch, match=f"^{folder / 'text'}: cannot be opened"):
        load_backbone(folder)


def test_a_text_file_that_cannot_be_read_is_no_traceback(hf_folder, tmp_path):
    folder = shutil.copytree(hf_folder, tmp_path / "hf")
    backbone = load_backbone(folder)
    shutil.rmtree(folder / "text")
    with pytest.raises(ArtefactMismatch, match=f"^{folder / 'text'}: cannot be opened"):
        _ = backbone.fingerprint


def test_weights_that_cannot_be_read_are_named(folder, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("safetensors.torch.load_file", refuse)
    with pytest.raises(UsageError, match=r"model\.safetensors: cannot be read \(Permission"):
        load_backbone(folder)
