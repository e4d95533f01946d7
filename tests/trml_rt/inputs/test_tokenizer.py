from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Model
from tokenizers import models, normalizers, pre_tokenizers, processors

from trml_rt.bundle.folder import default_bundle
from trml_rt.errors import ArtefactMismatch, InputUnusable, UsageError
from trml_rt.inputs.tokenizer import Tokenizer, Tokens, pad

CONTEXT = 6

FILES = {
    "word pieces of the default bundle": default_bundle() / "tokenizer.json",
    "byte pairs of the conformance files": Path(__file__).parents[2] / "conformance/byte_pair.json",
}
# What the cleaning of texts looks for, in between any Unicode.
ODD = [
    "&amp;",
    "&#0;",
    "[SEP]",
    "<end_of_text>",
    "â€™",
    "\x1b[1m",
    "\0",
    " ",
    "Σ",
    "ﬁ",
    "👍🏽",
    "中",
]
TEXTS = st.text() | st.lists(st.sampled_from(ODD) | st.text(max_size=3), max_size=20).map("".join)


def finished(model: Model, start: tuple[str, int], end: tuple[str, int]) -> bytes:
    model.post_processor = processors.TemplateProcessing(
        single=f"{start[0]} $A {end[0]}", special_tokens=[start, end]
    )
    model.enable_truncation(max_length=CONTEXT)
    return model.to_str().encode()


def byte_pair() -> bytes:
    """Two words as CLIP has them: "hi" is one token, "ho" is h and o."""
    vocab = {"h": 0, "i</w>": 1, "o</w>": 2, "hi</w>": 3, "<s>": 4, "</s>": 5}
    model = Model(models.BPE(vocab, [("h", "i</w>")], end_of_word_suffix="</w>"))
    model.normalizer = normalizers.Lowercase()
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    return finished(model, ("<s>", 4), ("</s>", 5))


def word_piece() -> bytes:
    vocab = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "good": 4, "##ness": 5}
    model = Model(models.WordPiece(vocab, unk_token="[UNK]"))
    model.normalizer = normalizers.BertNormalizer()
    model.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return finished(model, ("[CLS]", 2), ("[SEP]", 3))


def changed(**parts) -> bytes:
    """A tokenizer.json that has other parts than the one of byte pairs."""
    return json.dumps(json.loads(byte_pair()) | parts).encode()


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.from_bytes(byte_pair())


def row(*ids: int) -> Tokens:
    return Tokens(np.array(ids, dtype=np.int32), truncated=False)


def test_a_byte_pair_tokenizer_puts_special_tokens_around_the_text(tokenizer):
    assert tokenizer.encode("Hi ho").ids.tolist() == [4, 3, 0, 2, 5]


def test_a_word_piece_tokenizer_splits_words_into_pieces():
    tokenizer = Tokenizer.from_bytes(word_piece())
    assert tokenizer.encode("Goodness xyz").ids.tolist() == [2, 4, 5, 1, 3]


def test_ids_are_int32(tokenizer):
    assert tokenizer.encode("hi").ids.dtype == np.int32


def test_a_tokenizer_is_read_from_a_file(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(byte_pair())
    assert Tokenizer.from_file(tmp_path / "tokenizer.json").encode("hi").ids.tolist() == [4, 3, 5]


def test_the_context_comes_from_the_file(tokenizer):
    assert tokenizer.context == CONTEXT


def test_a_text_that_fills_the_context_is_not_truncated(tokenizer):
    assert not tokenizer.encode("hi hi hi hi").truncated


def test_a_text_over_the_context_is_truncated(tokenizer):
    assert tokenizer.encode("hi hi hi hi hi").truncated


def test_a_truncated_text_still_ends_in_end_of_text(tokenizer):
    assert tokenizer.encode("hi hi hi hi hi").ids.tolist() == [4, 3, 3, 3, 3, 5]


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_a_text_without_tokens_of_its_own_is_empty(tokenizer, text):
    with pytest.raises(InputUnusable) as caught:
        tokenizer.encode(text)
    assert caught.value.reason == "empty_text"


def test_a_text_with_a_lone_surrogate_is_undecodable(tokenizer):
    with pytest.raises(InputUnusable) as caught:
        tokenizer.encode("hi \udcff")
    assert caught.value.reason == "undecodable"


def test_padding_in_the_file_is_ignored():
    model = Model.from_buffer(byte_pair())
    model.enable_padding(length=CONTEXT)
    tokenizer = Tokenizer.from_bytes(model.to_str().encode())
    assert tokenizer.encode("hi").ids.tolist() == [4, 3, 5]


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\xff\x00", byte_pair()[:-40]], ids=["empty", "object", "binary", "cut"]
)
def test_a_damaged_tokenizer_is_an_artefact_mismatch(data):
    with pytest.raises(ArtefactMismatch, match=r"tokenizer\.json: not a tokenizer"):
        Tokenizer.from_bytes(data)


def test_a_tokenizer_without_truncation_is_refused():
    model = Model.from_buffer(byte_pair())
    model.no_truncation()
    with pytest.raises(ArtefactMismatch, match="does not cut texts"):
        Tokenizer.from_bytes(model.to_str().encode())


def test_an_absent_tokenizer_is_an_artefact_mismatch(tmp_path):
    with pytest.raises(ArtefactMismatch, match=r"absent\.json: No such file"):
        Tokenizer.from_file(tmp_path / "absent.json")


def test_padding_takes_the_longest_row_by_default():
    assert pad([row(1, 2), row(3, 4, 5)], 9).tolist() == [[1, 2, 9], [3, 4, 5]]


def test_padding_fills_a_fixed_length():
    assert pad([row(1, 2)], 0, length=4).tolist() == [[1, 2, 0, 0]]


def test_padded_ids_are_int32():
    assert pad([row(1)], 0).dtype == np.int32


def test_a_row_longer_than_the_length_is_refused():
    with pytest.raises(UsageError, match="3 tokens do not fit a length of 2"):
        pad([row(1, 2, 3)], 0, length=2)


def test_no_rows_give_an_empty_batch():
    assert pad([], 0, length=4).shape == (0, 4)


def test_threads_share_one_tokenizer(tokenizer):
    texts = ["hi " * (i % 4 + 1) for i in range(200)]
    with ThreadPoolExecutor(4) as threads:
        found = [t.ids.tolist() for t in threads.map(tokenizer.encode, texts)]
    assert found == [tokenizer.encode(text).ids.tolist() for text in texts]


def test_a_fork_after_encoding_warns_of_nothing(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(byte_pair())
    script = (
        "import os, sys\n"
        "from trml_rt.inputs.tokenizer import Tokenizer\n"
        "tokenizer = Tokenizer.from_file(sys.argv[1])\n"
        "tokenizer.encode('hi')\n"
        "if (child := os.fork()) == 0:\n"
        "    os._exit(len(tokenizer.encode('hi')) != 3)\n"
        "sys.exit(os.waitpid(child, 0)[1])\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "tokenizer.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@cache
def shipped(file: Path) -> tuple[Tokenizer, dict[str, int]]:
    """Return the tokenizer of a file, and all its tokens with their ids."""
    content = json.loads(file.read_text())
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    return Tokenizer.from_file(file), content["model"]["vocab"] | added


def outcome(tokenizer: Tokenizer, text: str) -> tuple[list[int], bool] | str:
    """Return the ids and whether they were cut, or the reason of a refusal."""
    try:
        tokens = tokenizer.encode(text)
    except InputUnusable as error:
        return error.reason
    return tokens.ids.tolist(), tokens.truncated


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
@given(text=TEXTS)
@example(text="a" * 5000)
@example(text="a " * 5000)
def test_any_text_gives_ids_between_begin_and_end_or_says_nothing(file, text):
    tokenizer, vocabulary = shipped(file)
    result = outcome(tokenizer, text)
    assert outcome(tokenizer, text) == result
    if result in ("empty_text", "unknown_text"):
        return
    (begin, *own, end), truncated = result
    assert begin in (vocabulary.get("[CLS]"), vocabulary.get("<start_of_text>"))
    assert end in (vocabulary.get("[SEP]"), vocabulary.get("<end_of_text>"))
    assert own
    assert set(own) <= set(vocabulary.values())
    if truncated:
        assert len(own) + 2 == tokenizer.context
    else:
        assert len(own) + 2 <= tokenizer.context


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
@given(before=TEXTS, surrogate=st.characters(categories=["Cs"]), after=TEXTS)
def test_a_lone_surrogate_anywhere_is_undecodable(file, before, surrogate, after):
    assert outcome(shipped(file)[0], before + surrogate + after) == "undecodable"


SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        # A panic of Rust, an exception without a class of its own, and one of a regular expression.
        ({"truncation": json.loads(byte_pair())["truncation"] | {"stride": 99}}, "`stride` must"),
        ({"model": json.loads(byte_pair())["model"] | {"unk_token": "gone"}}, "Unk token `gone`"),
        ({"pre_tokenizer": SPLIT | {"pattern": {"Regex": "(a+)+$"}}}, "Onig: Regex search error"),
    ],
)
def test_a_tokenizer_that_fails_on_a_text_is_what_is_refused(parts, reason):
    tokenizer = Tokenizer.from_bytes(changed(**parts), name="it")
    with pytest.raises(
        ArtefactMismatch, match=f"^it: fails on a text: {reason}.*; export"
    ) as caught:
        tokenizer.encode("hi ho x " * 20 + "a" * 30 + "!")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},  # a panic
        {"model": None},
        {"truncation": json.loads(byte_pair())["truncation"] | {"max_length": 2}},
        {"truncation": json.loads(byte_pair())["truncation"] | {"max_length": 0}},
    ],
)
def test_what_is_no_tokenizer_is_refused(parts):
    with pytest.raises(ArtefactMismatch, match=r"^it: not a tokenizer: .*; export the bundle ag"):
        Tokenizer.from_bytes(changed(**parts), name="it")


def test_ctrl_c_is_no_fault_of_the_tokenizer(tokenizer, monkeypatch):
    class Interrupted:
        def encode(self, _):
            raise KeyboardInterrupt

    monkeypatch.setattr(tokenizer, "_model", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        tokenizer.encode("hi")


@pytest.mark.parametrize("text", ["a" * 1_000_001, "\u4e2d" * 400_000])
def test_a_text_larger_than_a_megabyte_is_not_tokenised(tokenizer, text):
    with pytest.raises(InputUnusable, match="the text is larger than 1 MB; pass one ut") as caught:
        tokenizer.encode(text)
    assert caught.value.reason == "undecodable"


def test_a_text_of_a_megabyte_is_cut_to_the_context(tokenizer):
    assert tokenizer.encode("hi " * 333_333).truncated
