"""Write byte_pair.json, texts.json, tokens_byte_pair.json and tokens_word_piece.json.

Run from the repository root: PYTHONPATH=.:export python tests/conformance/make_tokens.py
The tokenizer and the sentences are made anew only when their files are absent: they come from
pages that change, and new ids for old texts would hide a change of behaviour.
"""

import json
import random
import re
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

from trml_export.to_bundle.tokenizer import _CLIP_WORDS, sample_texts
from trml_export.to_bundle.tokenizer_cleaning import cleaning
from trml_rt.errors import InputUnusable
from trml_rt.inputs.tokenizer import Tokenizer as Reader

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WORD_PIECE = ROOT / "trml_rt" / "default_bundle" / "tokenizer.json"
CONTEXT = 32

ODD = [
    *"’‘“”…–—éÉñüßſİıΣσς\u0301\u0308\u200d\u200b\ufe0f\t\n\r\x0b\x85\xa0\u3000\0\x1b\x7f\xad",
    *["&amp;", "&lt;", "&#39;", "&#x27;", "&nbsp;", "&hellip", "&eacute;", "&ampamp;", "&#8217;"],
    *["â€™", "â€œ", "â€¦", "\x1b[31m", "\x1b[0;1m", "[SEP]", "[CLS]", "<end_of_text>", "\r\n"],
    *[
        "😂",
        "👍🏽",
        "👨‍👩‍👧",
        "🇩🇪",
        "한국어",
        "ㅋㅋ",
        "日本",
        "中文",
        "ﬁ",
        "ﬃ",
        "Ａｂ",
        "①",
        "क्षि",
        "ไทย",
    ],
    *["עברית", "عربي", "ΟΔΟΣ", "DŽ", "Ⅷ", "½", "²", "™", "e\u0301", "’\u0301", "ｶﾞ", "\U0001d504"],
    *["  ", "...", "!!!", "?!", "don't", "I'LL", "we’ve", "#tag", "@user", "http://a.b/c?d=e&f"],
]


def learnt() -> Tokenizer:
    """Return a byte-pair tokenizer of CLIP's form, learnt from this project's pages."""
    made = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    made.normalizer = normalizers.Sequence(cleaning("lower"))
    names = ["<start_of_text>", "<end_of_text>"]
    words = "|".join([*map(re.escape, names), _CLIP_WORDS])
    made.pre_tokenizer = pre.Sequence(
        [
            pre.Split(Regex(words), behavior="removed", invert=True),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    letters = sorted(pre.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=1800, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    made.train_from_iterator(pages(), trainer)
    # Every byte must have a token at the end of a word too, as CLIP's vocabulary does.
    document = json.loads(made.to_str())
    vocab = document["model"]["vocab"]
    for letter in letters:
        for word in (letter, f"{letter}</w>"):
            vocab.setdefault(word, len(vocab))
    made = Tokenizer.from_str(json.dumps(document))
    made.add_special_tokens([AddedToken(name, normalized=True, special=True) for name in names])
    made.post_processor = processors.TemplateProcessing(
        single=f"{names[0]} $A {names[1]}",
        special_tokens=[(name, made.token_to_id(name)) for name in names],
    )
    made.enable_truncation(CONTEXT)
    return made


def pages() -> list[str]:
    """Return the sentences of this project's pages."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    parts = re.split(r"(?<=[.:;])\s+|\n+|\s*\|\s*", text)
    return list(dict.fromkeys(p.strip() for p in parts if len(p.strip()) > 3))


def mixtures(count: int) -> list[str]:
    """Return random mixtures of plain, odd and any characters."""
    chance = random.Random(1)
    old = [
        chr(c)
        for c in range(0x80, 0x30000)
        if unicodedata.ucd_3_2_0.category(chr(c)) not in ("Cn", "Cs", "Co")
    ]
    plain = [chr(c) for c in range(0x20, 0x7F)] + ["the ", "good ", "ing ", "un", "ness"]
    kinds = [plain, ODD, old]
    return [
        "".join(
            chance.choice(chance.choices(kinds, [5, 4, 1])[0]) for _ in range(chance.randint(1, 16))
        )
        for _ in range(count)
    ]


def encoded(reader: Reader, text: str) -> list[int] | str:
    """Return the ids, -1 before them where the text was cut, or the reason of refusal."""
    try:
        tokens = reader.encode(text)
    except InputUnusable as error:
        return error.reason
    ids: list[int] = tokens.ids.tolist()
    return [-1, *ids] if tokens.truncated else ids


def write(name: str, rows: list) -> None:
    lines = ",\n".join(json.dumps(row) for row in rows)
    (HERE / name).write_text(f"[\n{lines}\n]\n", encoding="ascii")


if __name__ == "__main__":
    if not (HERE / "byte_pair.json").exists():
        (HERE / "byte_pair.json").write_text(learnt().to_str(), encoding="utf-8")
    if not (HERE / "texts.json").exists():
        write("texts.json", [*pages(), *sample_texts(), *ODD, *mixtures(1200)])
    texts = json.loads((HERE / "texts.json").read_text(encoding="ascii"))
    for name, path in (("byte_pair", HERE / "byte_pair.json"), ("word_piece", WORD_PIECE)):
        reader = Reader.from_file(path)
        write(f"tokens_{name}.json", [encoded(reader, text) for text in texts])
