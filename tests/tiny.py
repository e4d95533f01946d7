"""Make a tiny world in a folder: two kinds of backbone and a data set, all from seeds.

The networks are real ones of open_clip and transformers, only small and untrained: every
stage after them is tested on the true tokenizers, shapes and file formats, without a download.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

IMAGE = 32
SIZE = 16  # d, of the shared space
CONTEXT = 77
HF_CONTEXT = 24

VISION = {"image_size": IMAGE, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
PREPROCESS = {
    "size": IMAGE,
    "mode": "RGB",
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
GOOD = ["a happy day", "what a joy", "lovely warm sun", "i like it so much", "great fun"]
BAD = ["a sad day", "what a pity", "cold grey rain", "i hate it so much", "awful mess"]


def clip_backbone(folder: Path, *, seed: int = 0) -> Path:
    """Make a CLIP with byte pairs (the vocabulary is open_clip's own): 6 MB of weights."""
    text = {"context_length": CONTEXT, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    model = {"embed_dim": SIZE, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": text}
    return _write_backbone(folder, model, seed)


def hf_backbone(folder: Path, *, seed: int = 0) -> Path:
    """Make a CLIP whose text tower is a BERT with WordPieces, in `text/`."""
    from transformers import BertConfig

    pieces = _word_pieces()
    (folder / "text").mkdir(parents=True)
    BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        pad_token_id=pieces.index("[PAD]"),
    ).save_pretrained(folder / "text")
    _write_tokenizer(folder / "text", pieces)
    text = {
        "hf_model_name": "text",
        "hf_tokenizer_name": "text",
        "hf_proj_type": "linear",
        "hf_pooler_type": "mean_pooler",
        "context_length": HF_CONTEXT,
    }
    model = {"embed_dim": SIZE, "vision_cfg": VISION, "text_cfg": text}
    return _write_backbone(folder, model, seed)


def shallow_vit_b32(folder: Path, *, layers: int = 3, seed: int = 0) -> Path:
    """Make a ViT-B-32-quickgelu of few layers, of the widths and the vocabulary of the whole."""
    import open_clip

    model = open_clip.get_model_config("ViT-B-32-quickgelu")
    for tower in ("vision_cfg", "text_cfg"):
        model[tower]["layers"] = layers
    return _write_backbone(folder, model, seed)


def dataset(folder: Path, *, rows: int = 24, seed: int = 0, task: str = "regression") -> Path:
    """Make `data.jsonl` with pictures and frame folders; return its path.

    Text and picture both follow the target: bright and glad above zero, dark and sad below.
    Every fifth row lacks its video, every seventh its text.
    """
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(rows):
        good = index % 4 < 2
        row: dict[str, object] = {"id": f"s{index}", "split": _split(index)}
        if index % 7 != 6:
            row["text"] = str(generator.choice(GOOD if good else BAD)) + f" {index}"
        if index % 5 != 4:
            row["video"] = _pictures(folder, index, good, generator)
        if task == "regression":
            row["score"] = float(round((1 if good else -1) * generator.uniform(0.5, 3.0), 3))
        else:
            row["label"] = "positive" if good else "negative"
        lines.append(json.dumps(row))
    path = folder / "data.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _split(index: int) -> str:
    return ("train", "train", "train", "valid", "train", "test")[index % 6]


def _pictures(folder: Path, index: int, good: bool, generator: np.random.Generator) -> str:
    """Write one picture, or every third time a folder of three frames; return its name."""
    level = 190 if good else 40
    names = [f"v{index}.png"] if index % 3 else [f"v{index}/{n}.png" for n in range(3)]
    for name in names:
        pixels = level + generator.integers(-30, 30, (40, 48, 3))
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return names[0].split("/")[0]


def _write_backbone(folder: Path, model: dict[str, object], seed: int) -> Path:
    from safetensors.torch import save_file

    from trml_export.backbone.backbone import load_backbone

    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    tower = load_backbone(folder, seed=seed).model
    tensors = {name: value.clone() for name, value in tower.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


def _word_pieces() -> list[str]:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = sorted({word for line in GOOD + BAD for word in line.split()} - set(letters))
    digits = [str(digit) for digit in range(10)]
    rest = letters + digits + [".", ",", "!", "?", "'"]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *rest] + [
        "##" + piece for piece in letters + digits
    ]


def _write_tokenizer(folder: Path, pieces: list[str]) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, pieces.index(name)) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    special = {f"{n}_token": f"[{n.upper()}]" for n in ("pad", "unk", "cls", "sep", "mask")}
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
