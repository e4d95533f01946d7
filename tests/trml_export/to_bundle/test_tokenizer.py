from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path

import pytest

pytest.importorskip("open_clip", reason="needs the training extra")

from open_clip.tokenizer import HFTokenizer, SigLipTokenizer, SimpleTokenizer
from tokenizers import Tokenizer as Model

from trml_export.to_bundle.tokenizer import (
    TokenizerInfo,
    check_tokenizer,
    sample_texts,
    write_tokenizer,
)
from trml_export.to_bundle.tokenizer_cleaning import CLEAN_KINDS
from trml_rt.errors import UsageError, VerificationFailed
from trml_rt.inputs.tokenizer import Tokenizer

REPOSITORY = Path(__file__).parents[3]
CONFORMANCE = REPOSITORY / "tests" / "conformance" / "clip_tokens.json"
DATA = Path(os.environ.get("TRML_RT_DATA", REPOSITORY.parent / "shared" / "data"))
VADER = DATA / "vader" / "sentences.tsv.gz"
CONTEXT = 77

# The docstring of tokenizer_cleaning says why; a text that starts to fit belongs in the samples.
NOT_CARRIED = [
    "cafÃ© mojibake of a letter",
    "ðŸ˜‚ mojibake of an emoji",
    "P&EACUTE;REZ",
    "&hearts;",
    "this&not",
    "<b>it&rsquo;s</b>",
    "curly’\u0301 quote with an accent",
]


@pytest.fixture(scope="module")
def clip() -> SimpleTokenizer:
    return SimpleTokenizer()


@pytest.fixture(scope="module")
def clip_file(clip, tmp_path_factory) -> tuple[Path, TokenizerInfo]:
    path = tmp_path_factory.mktemp("clip") / "tokenizer.json"
    return path, write_tokenizer(clip, CONTEXT, path)


@pytest.fixture(scope="module")
def word_piece_folder(tmp_path_factory) -> Path:
    """A Hugging Face folder as an uncased BERT has it, with a vocabulary of letters and words."""
    folder = tmp_path_factory.mktemp("wordpiece")
    characters = sorted({c for text in sample_texts() for c in text.lower() if c.isprintable()})
    pieces = [c for c in characters if not c.isspace()]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "it", "##ing", "can", "word"]
    vocab += [*pieces, *(f"##{c}" for c in pieces)]
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return folder


def test_clip_ids_equal_open_clip_on_the_sample_texts(clip, clip_file):
    path, info = clip_file
    assert check_tokenizer(clip, path, info, sample_texts()) == []


def test_the_information_on_clip_names_padding_and_end_of_text(clip_file):
    assert clip_file[1] == TokenizerInfo(context=77, pad_id=0, eos_id=49407, kind="bpe")


def test_the_runtime_reads_the_clip_file_to_the_conformance_ids(clip_file):
    tokenizer = Tokenizer.from_file(clip_file[0])
    cases = json.loads(CONFORMANCE.read_text(encoding="utf-8"))["cases"]
    differing = [c["text"] for c in cases if tokenizer.encode(c["text"]).ids.tolist() != c["ids"]]
    assert differing == []


def test_the_conformance_file_holds_the_sample_texts():
    cases = json.loads(CONFORMANCE.read_text(encoding="utf-8"))["cases"]
    # Nothing is left of a blank text, which the runtime refuses.
    assert [c["text"] for c in cases] == [text for text in sample_texts() if text.strip()]


@pytest.mark.parametrize("text", NOT_CARRIED)
def test_what_the_docstring_gives_up_is_still_out_of_reach(clip, clip_file, text):
    assert check_tokenizer(clip, *clip_file, [text]) == [text]


def test_a_shorter_context_cuts_as_open_clip_does(clip, tmp_path):
    info = write_tokenizer(clip, 12, tmp_path / "tokenizer.json")
    assert check_tokenizer(clip, tmp_path / "tokenizer.json", info, sample_texts()) == []


@pytest.mark.parametrize("clean", CLEAN_KINDS)
def test_every_clean_function_is_carried_for_clip(clean, tmp_path):
    # write_tokenizer itself compares all sample texts.
    write_tokenizer(SimpleTokenizer(clean=clean), CONTEXT, tmp_path / "tokenizer.json")


@pytest.mark.parametrize("clean", CLEAN_KINDS)
def test_every_clean_function_is_carried_for_word_piece(clean, word_piece_folder, tmp_path):
    tokenizer = HFTokenizer(str(word_piece_folder), clean=clean)
    info = write_tokenizer(tokenizer, 20, tmp_path / "tokenizer.json")
    assert info == TokenizerInfo(context=20, pad_id=0, eos_id=None, kind="wordpiece")


@pytest.mark.skipif(
    not VADER.exists(), reason=f"{VADER} is not here; TRML_RT_DATA names its folder"
)
def test_clip_ids_equal_open_clip_on_all_vader_sentences(clip, clip_file):
    with gzip.open(VADER, "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        texts = [row["text"] for row in rows]
    assert check_tokenizer(clip, *clip_file, texts) == []


def test_differing_texts_are_named(clip, clip_file):
    path, info = clip_file
    other = SimpleTokenizer(clean="canonicalize")
    assert check_tokenizer(other, path, info, ["plain", "it's"]) == ["it's"]


def test_a_file_that_differs_on_the_samples_is_not_written(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("trml_export.to_bundle.tokenizer.cleaning", lambda kind: [])
    with pytest.raises(VerificationFailed, match="other ids than SimpleTokenizer"):
        write_tokenizer(clip, CONTEXT, tmp_path / "tokenizer.json")
    assert not (tmp_path / "tokenizer.json").exists()


@pytest.mark.parametrize("context", [0, 2])
def test_a_context_without_room_for_text_is_refused(clip, context, tmp_path):
    with pytest.raises(UsageError, match="leaves no room for text"):
        write_tokenizer(clip, context, tmp_path / "tokenizer.json")


def test_random_word_dropping_is_refused(tmp_path):
    tokenizer = SimpleTokenizer(reduction_mask="random")
    with pytest.raises(UsageError, match="drops random words"):
        write_tokenizer(tokenizer, CONTEXT, tmp_path / "tokenizer.json")


def test_an_unknown_clean_function_is_refused(tmp_path):
    tokenizer = SimpleTokenizer()
    tokenizer.clean_fn = str.upper
    with pytest.raises(UsageError, match="cleans text with upper"):
        write_tokenizer(tokenizer, CONTEXT, tmp_path / "tokenizer.json")


def test_a_siglip_tokenizer_is_refused(tmp_path):
    tokenizer = SigLipTokenizer.__new__(SigLipTokenizer)
    with pytest.raises(UsageError, match="SigLipTokenizer cannot be written"):
        write_tokenizer(tokenizer, CONTEXT, tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [({"tokenizer_mode": "clips"}, "class token"), ({"strip_sep_token": True}, "strip_sep_token")],
)
def test_token_changes_after_the_file_are_refused(settings, fault, word_piece_folder, tmp_path):
    tokenizer = HFTokenizer(str(word_piece_folder), **settings)
    with pytest.raises(UsageError, match=fault):
        write_tokenizer(tokenizer, CONTEXT, tmp_path / "tokenizer.json")


@pytest.mark.parametrize("side", ["padding_side", "truncation_side"])
def test_a_tokenizer_that_works_from_the_left_is_refused(side, word_piece_folder, tmp_path):
    tokenizer = HFTokenizer(str(word_piece_folder))
    setattr(tokenizer.tokenizer, side, "left")
    with pytest.raises(UsageError, match="on the left"):
        write_tokenizer(tokenizer, CONTEXT, tmp_path / "tokenizer.json")


def test_the_file_pads_nothing(clip_file):
    assert Model.from_file(str(clip_file[0])).padding is None
