"""Count the words of the sentences in Markdown pages, and refuse pages that are hard to read.

    python docs/plain_english.py README.md docs

Only prose counts. Headings, tables, code blocks, comments, pictures and the targets of links are
left out; a list item is at least one sentence, and a command in backquotes counts word by word.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Reading", "main", "pages", "reading", "sentences"]

MOST_WORDS = 15.0  # a sentence, on average over a page
LONG = 25  # words; no sentence may have more

_NO_PROSE = re.compile(
    r"\A---\n.*?^---$"  # front matter
    r"|<!--.*?-->"
    r"|^[ \t]*(```|~~~).*?^[ \t]*\1[ \t]*$"  # a fenced block
    r"|^[ \t]*#.*?$"  # a heading
    r"|^[ \t]*\|.*?$"  # a row of a table
    r"|^:::[^\n]*(?:\n[ \t]+[^\n]*)*",  # what mkdocs fills in, with its options
    re.MULTILINE | re.DOTALL,
)
_PICTURE = re.compile(r"!\[[^]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
_ITEM = re.compile(r"^[ \t]*(?:[-*+]|\d+\.)[ \t]+", re.MULTILINE)
_END = re.compile(r"(?<=[.!?])[*_)\"']*\s+(?=[^a-z\s])")  # the next sentence begins with no a to z
_WORD = re.compile(r"\S*\w\S*")


@dataclass(frozen=True)
class Reading:
    """How a page reads: its number of sentences, of words, and the sentences that are long."""

    sentences: int
    words: int
    long: tuple[str, ...]

    @property
    def average(self) -> float:
        """Words a sentence."""
        return self.words / self.sentences if self.sentences else 0.0

    @property
    def share(self) -> float:
        """The share of the sentences that are long."""
        return len(self.long) / self.sentences if self.sentences else 0.0

    @property
    def passed(self) -> bool:
        """Whether the page is within both limits."""
        return self.average <= MOST_WORDS and not self.long


def sentences(markdown: str) -> Iterator[str]:
    """Yield the sentences of the prose in `markdown`, without its marks."""
    prose = _LINK.sub(r"\1", _PICTURE.sub("", _NO_PROSE.sub("\n\n", markdown)))
    for block in re.split(r"\n\s*\n", _ITEM.sub("\n\n", prose)):
        for sentence in _END.split(" ".join(block.split())):
            if _WORD.search(sentence):
                yield sentence


def reading(markdown: str) -> Reading:
    """Count the sentences of one page."""
    counted = [(sentence, len(_WORD.findall(sentence))) for sentence in sentences(markdown)]
    return Reading(
        len(counted),
        sum(words for _, words in counted),
        tuple(sentence for sentence, words in counted if words > LONG),
    )


def pages(paths: Sequence[Path]) -> list[Path]:
    """Return the Markdown files of `paths`: the files themselves, and all in the folders."""
    return [
        page for path in paths for page in (sorted(path.rglob("*.md")) if path.is_dir() else [path])
    ]


def main(arguments: Sequence[str]) -> int:
    """Print a line a page and one for all; return 1 if a page is over a limit."""
    readings = {page: reading(page.read_text("utf-8")) for page in pages([*map(Path, arguments)])}
    for page, page_reading in readings.items():
        _print(str(page), page_reading)
        for sentence in () if page_reading.passed else page_reading.long:
            print(f"    {sentence}")
    _print(
        "all pages",
        Reading(
            sum(each.sentences for each in readings.values()),
            sum(each.words for each in readings.values()),
            tuple(sentence for each in readings.values() for sentence in each.long),
        ),
    )
    return 0 if all(each.passed for each in readings.values()) else 1


def _print(name: str, page_reading: Reading) -> None:
    print(
        f"{'' if page_reading.passed else 'HARD TO READ '}{name}: {page_reading.sentences} "
        f"sentences, {page_reading.average:.1f} words each, {page_reading.share:.0%} over {LONG}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
