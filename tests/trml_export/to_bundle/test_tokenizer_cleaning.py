"""The normalisers clean a text as open_clip's Python functions do."""

from __future__ import annotations

import pytest

pytest.importorskip("open_clip", reason="needs the training extra")

from open_clip.tokenizer import get_clean_fn
from tokenizers.normalizers import Precompiled, Sequence

from trml_export.to_bundle.tokenizer import sample_texts
from trml_export.to_bundle.tokenizer_cleaning import (
    CLEAN_KINDS,
    character_map,
    cleaning,
    precompiled,
)


@pytest.mark.parametrize("kind", CLEAN_KINDS)
def test_a_text_is_cleaned_as_open_clip_cleans_it(kind):
    clean, normaliser = get_clean_fn(kind), Sequence(cleaning(kind))
    texts = sample_texts()
    assert {t: normaliser.normalize_str(t) for t in texts} == {t: clean(t) for t in texts}


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  two   words\n", "two words"),
        ("it\u2019s", "it's"),
        ("itâ€™s", "it's"),
        ("fish &amp; chips", "fish & chips"),
        ("&amp;amp;", "&"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("ﬁne", "fine"),
        ("cafe\u0301", "café"),
    ],
)
def test_what_is_repaired_and_what_it_becomes(text, cleaned):
    assert Sequence(cleaning("whitespace")).normalize_str(text) == cleaned


def test_the_packed_character_map_maps_each_character():
    table = character_map()
    packed = Precompiled(precompiled(table))
    # Letters on both sides, so that no character joins its neighbour's grapheme.
    assert {c: packed.normalize_str(f"x{c}y")[1:-1] for c in table} == table


def test_the_packed_character_map_leaves_other_characters_alone():
    table = character_map()
    others = [chr(i) for i in range(1, 0xD800) if chr(i) not in table]
    text = " ".join(others)
    assert Precompiled(precompiled(table)).normalize_str(text) == text
