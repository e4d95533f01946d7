"""Write clip_tokens.json: open_clip's own ids for the sample texts, cut at end-of-text.

Run from the repository root: PYTHONPATH=.:export python tests/conformance/make_clip_tokens.py
The vocabulary is open_clip's (bpe_simple_vocab_16e6), so a reader makes its tokenizer.json from an
installed open_clip with trml_export.to_bundle.tokenizer.write_tokenizer.
"""

import json
from pathlib import Path

from open_clip.tokenizer import SimpleTokenizer

from trml_export.to_bundle.tokenizer import sample_texts

CONTEXT = 77

if __name__ == "__main__":
    tokenizer = SimpleTokenizer()
    lines = []
    for text, row in zip(sample_texts(), tokenizer(sample_texts(), CONTEXT).tolist(), strict=True):
        # Id 0 is padding, and also the token "!": only the zeros at the end are padding.
        ids = list(row)
        while ids[-1] == 0:
            ids.pop()
        if len(ids) > 2:  # the runtime refuses a text of which nothing is left
            lines.append(json.dumps({"text": text, "ids": ids}))
    cases = ",\n  ".join(lines)
    document = f'{{\n "context": {CONTEXT},\n "cases": [\n  {cases}\n ]\n}}\n'
    Path(__file__).with_name("clip_tokens.json").write_text(document, encoding="ascii")
