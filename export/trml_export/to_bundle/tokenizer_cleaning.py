"""Say open_clip's text cleaning in the words of the Hugging Face `tokenizers` format.

open_clip cleans a text in Python (ftfy, HTML entities, white space, case) before its tokenizer
sees it. The runtime has no Python cleaning, so the same steps stand here as normalisers that
travel inside tokenizer.json, in the order that ftfy takes:

    entities, common mojibake, ANSI escapes, one character map, NFC, white space, case

Not carried, because the format has no conditions and no tables of strings:

* mojibake repair beyond the `MOJIBAKE` list (ftfy guesses the encoding of the whole text);
* HTML entities other than those of `ENTITY_CHARACTERS`;
* ftfy's rule that a text holding a literal `<` keeps its entities until html.unescape, so that
  `<b>it&rsquo;s` would keep a curly quote; here it becomes a straight one;
* a mapped character with a combining mark straight after it, as in a curly quote with an accent:
  `Precompiled` maps whole graphemes of under six bytes, and the mark is lost;
* the lower case of a Σ that ends a word but follows an apostrophe, and U+0345 on its own, which
  Python's regex counts as a letter when it ignores case;
* for CLIP, `<start_of_text>` typed straight after punctuation, which open_clip reads as text.
"""

from __future__ import annotations

import html.entities
import re
import struct
from collections.abc import Mapping
from typing import Any

__all__ = ["CLEAN_KINDS", "character_map", "cleaning", "precompiled"]

CLEAN_KINDS = ("lower", "whitespace", "canonicalize")

# One Replace costs 0.6 us a text and cannot hold a table, so the list is short: what Twitter,
# Reddit, subtitles and newspapers leave behind. The ampersand is first: it uncovers the others.
ENTITY_CHARACTERS = "&<>\"'\xa0‘’“”–—…•™€©®£°·½é\u200b"

# UTF-8 read as Windows-1252: the punctuation of subtitle files. ftfy repairs these in any text.
MOJIBAKE = {mark.encode().decode("cp1252"): mark for mark in "‘’“–—…"} | {"â€\x9d": "”"}

_WHITE_SPACE = "\t\n\x0c\r\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f"
_PUNCTUATION = r"[!-/:-@\[-`{-~]"  # string.punctuation
# str.lower() gives the final sigma at the end of a word; the normaliser goes by single letters.
_FINAL_SIGMA = (
    r"(?<=[\p{Lu}\p{Ll}\p{Lt}])Σ(?!['’.:·\p{Mn}\p{Me}\p{Cf}\p{Lm}\p{Sk}]*[\p{Lu}\p{Ll}\p{Lt}])"
)


def cleaning(kind: str) -> list[Any]:
    """Return the normalisers that do what open_clip's clean function `kind` does."""
    from tokenizers import Regex, normalizers

    def replace(pattern: str, content: str) -> Any:
        return normalizers.Replace(Regex(pattern), content)

    characters = character_map()
    steps = [
        replace(_entity_pattern(c, characters), characters.get(c, c)) for c in ENTITY_CHARACTERS
    ]
    steps += [normalizers.Replace(bad, characters.get(c, c)) for bad, c in MOJIBAKE.items()]
    steps += [
        replace(r"\x1b\[[\d;]*[a-zA-Z]", ""),
        normalizers.Replace("\0", ""),  # the map's keys cannot hold a zero byte
        normalizers.Precompiled(precompiled(characters)),
        normalizers.NFC(),
    ]
    if kind == "canonicalize":
        steps += [normalizers.Replace("_", " "), replace(_PUNCTUATION, "")]
    # The map made every white space a blank, so runs of blanks are all that is left to collapse.
    steps += [replace("  +", " "), normalizers.Strip()]
    if kind in ("lower", "canonicalize"):
        steps += [replace(_FINAL_SIGMA, "ς"), normalizers.Lowercase()]
    return steps


def character_map() -> dict[str, str]:
    """Return ftfy's single-character repairs, taken from ftfy's own tables, and white space."""
    from ftfy import chardata, fixes

    keys = {*chardata.LIGATURES, *chardata.WIDTH_MAP, *chardata.CONTROL_CHARS, *range(0x80, 0xA0)}
    keys |= {ord(c) for c in "\u02bc‘’‚‛“”„‟\x85"}
    space = re.compile(f"[{_WHITE_SPACE}]")
    table = {c: " " for c in map(chr, range(1, 0x2060)) if space.match(c)}
    for key in map(chr, sorted(keys - {0})):
        value = fixes.fix_latin_ligatures(fixes.fix_c1_controls(key))
        value = fixes.uncurl_quotes(fixes.fix_character_width(value))
        table[key] = space.sub(" ", fixes.remove_control_chars(value))
    return {key: value for key, value in table.items() if key != value}


def precompiled(table: Mapping[str, str]) -> bytes:
    """Pack a character map as sentencepiece's charsmap, which the `Precompiled` normaliser reads.

    The layout is little endian. First comes the trie's length in bytes (u32), then the trie as a
    Darts-clone double array (u32 units), then the replacements, each ended by a zero byte. From
    unit `u` at position `p`, the child for byte `b` is at `p ^ offset(u) ^ b` and carries `b` as
    its label. A unit with bit 8 set has a leaf at `p ^ offset(u)`: bit 31 and the replacement's
    position.
    """
    root: dict[int, Any] = {}
    values = bytearray()
    positions: dict[str, int] = {}
    for key, value in sorted(table.items()):
        if value not in positions:
            positions[value] = len(values)
            values += value.encode() + b"\0"
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = positions[value]  # no key holds a zero byte, so label 0 is the leaf

    units: dict[int, int] = {0: 0}
    bases: set[int] = set()  # never shared: a label says which byte led here, not from where
    pending = [(0, root)]
    while pending:
        position, node = pending.pop(0)
        base = 1
        while base in bases or any(base ^ label in units for label in node):
            base += 1
        bases.add(base)
        units[position] |= (position ^ base) << 10 | (0x100 if 0 in node else 0)
        for label, child in node.items():
            units[base ^ label] = child | 1 << 31 if label == 0 else label
            if label:
                pending.append((base ^ label, child))
    # Whole blocks of 256, so that no byte can lead a reader past the end.
    size = (max(units) // 256 + 1) * 256
    trie = struct.pack(f"<{size}I", *(units.get(i, 0) for i in range(size)))
    return struct.pack("<I", len(trie)) + trie + bytes(values)


def _entity_pattern(character: str, characters: Mapping[str, str]) -> str:
    """Return the pattern of every spelling of `character` as an HTML entity."""
    names = [name for name, value in html.entities.html5.items() if value == character]
    codes = [ord(character)]
    # &#146; is a curly quote to every browser and to html.unescape.
    codes += [b for b in character.encode("cp1252", "ignore") if 0x80 <= b < 0xA0]
    spelled = "|".join(sorted(name.rstrip(";") for name in names if name.endswith(";")))
    numbers = "|".join(f"#0*{code}|#[xX]0*(?i:{code:x})" for code in codes)
    terminated = f"(?:{spelled}|{numbers});" if spelled else f"(?:{numbers});"
    if character == "&":
        return f"&(?:{terminated})+|&(?:amp|AMP)(?!;)"
    # html.unescape takes these without a semicolon too, but comes after ftfy's straight quotes.
    bare = sorted(name for name in names if not name.endswith(";"))
    if character not in characters or characters[character] == " ":
        bare += [f"#0*{code}(?![0-9;])" for code in codes]
        bare += [f"#[xX]0*(?i:{code:x})(?![0-9a-fA-F;])" for code in codes]
    return f"&(?:{terminated}{''.join('|' + b for b in bare)})"
