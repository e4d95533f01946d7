"""What the counter of words counts, and that it refuses pages that are hard to read."""

from __future__ import annotations

import pytest

from docs.plain_english import LONG, MOST_WORDS, main, reading, sentences

SHORT = "One two three. "
LONG_SENTENCE = "Word " + "word " * (LONG - 1) + "end. "


def test_only_prose_counts():
    page = """# A heading of many words that nobody counts

Prose with a [link](https://example.org/a/long/target) in it.

<!-- a comment -->

| a | table |
|---|---|

```sh
trml-rt infer --text t.txt
```

![a picture](picture.png)

::: trml_rt.runtime.load
    options:
      heading_level: 2
"""
    assert list(sentences(page)) == ["Prose with a link in it."]


def test_a_list_item_is_a_sentence_of_its_own():
    assert list(sentences("Before:\n\n- one\n- two. Three\n  goes on\n1. four\n")) == [
        *("Before:", "one", "two.", "Three goes on", "four"),
    ]


def test_a_point_inside_a_number_a_name_or_a_path_ends_nothing():
    assert len(list(sentences("It takes 0.46 ms, see docs/a.md and 4.5 more. Then it ends."))) == 2


def test_a_command_in_backquotes_counts_word_by_word():
    assert reading("Run `trml-rt infer --text t.txt`.").words == 5


def test_average_and_share_are_those_of_the_page():
    page = reading(SHORT * 3 + LONG_SENTENCE)
    assert page.sentences == 4
    assert page.average == (3 * 3 + LONG + 1) / 4
    assert page.share == 1 / 4


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (SHORT * 40, 0),
        (SHORT * 40 + LONG_SENTENCE, 1),  # one sentence is long
        ("Word " + "word " * int(MOST_WORDS) + "more.", 1),  # the average is over the limit
    ],
)
def test_a_page_over_a_limit_fails(tmp_path, capsys, page, code):
    (tmp_path / "page.md").write_text(page)
    assert main([str(tmp_path)]) == code
    assert ("HARD TO READ" in capsys.readouterr().out) == bool(code)


def test_one_hard_page_among_easy_ones_fails(tmp_path, capsys):
    (tmp_path / "easy.md").write_text(SHORT * 100)
    (tmp_path / "hard.md").write_text(LONG_SENTENCE)
    assert main([str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert f"HARD TO READ {tmp_path / 'hard.md'}: 1 sentences, {LONG + 1}.0 words" in told
    assert LONG_SENTENCE.strip() in told
