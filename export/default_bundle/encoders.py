"""Make the default bundle's two encoders: an aligned CLIP-type model in open_clip's layout.

    python encoders.py --data DATA --minilm MINILM --efficientnet PTH --work WORK --out ENCODERS

The stages are: trim the vocabulary, tune the image tower, tune the text tower, cache pooled
vectors, align, export. A stage that was done before is read from WORK. The valid split makes every
choice; test rows are never read here.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import time
from pathlib import Path

import align
import image_tower
import numpy as np
import sources
import text_tower
import torch
import vocabulary
from open_clip.model import CustomTextCLIP
from safetensors.torch import load_file, save_file

_log = logging.getLogger(__name__)

DIM = 256


def configuration(size: int, folder: str = "text") -> dict:
    """Return open_clip_config.json; `folder` is relative to it, the loader resolves it."""
    vision = {
        "timm_model_name": image_tower.NAME,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": size,
    }
    text = {
        "hf_model_name": folder,
        "hf_tokenizer_name": folder,
        "hf_model_pretrained": False,
        "hf_proj_type": "linear",
        "hf_pooler_type": "mean_pooler",
        "context_length": vocabulary.CONTEXT,
    }
    return {
        "model_cfg": {
            "embed_dim": DIM,
            "vision_cfg": vision,
            "text_cfg": text,
            "custom_text": True,
        },
        "preprocess_cfg": {
            "mean": [image_tower.MEAN] * 3,
            "std": [image_tower.STD] * 3,
            "interpolation": "bicubic",
            "resize_mode": "shortest",
            "size": [size, size],
        },
    }


def build(folder: Path, size: int) -> CustomTextCLIP:
    """Return the empty open_clip model, its text architecture read from `folder`."""
    settings = configuration(size, str(folder.resolve()))["model_cfg"]
    vision, text = settings["vision_cfg"], settings["text_cfg"]
    return CustomTextCLIP(embed_dim=DIM, vision_cfg=vision, text_cfg=text).eval()


def pooled_text(tower: text_tower.Tower, data: Path, work: Path, folder: Path):
    """Return the text side of train and valid, and emoji words and comments with their codes."""
    rows = [r for r in sources.vader(data) if r.split != "test"]
    rows += [r for r in sources.goemotions(data) if r.split != "test"][::5]
    pairs = [(row, code) for row, code in sources.emoji_pairs(data) if row.split == "train"]
    words = [sources.Text(e.id, "emoji", "train", e.words, e.score) for e in sources.emoji(data)]
    natural = words + [row for row, _ in pairs]
    sentences = text_tower.Sentences(rows + natural, folder)
    pooled = _cached(
        work / "text_pooled.pt",
        work / "text.pt",
        lambda: text_tower.features(tower, sentences)[0],
    )
    side = align.Side(
        pooled[: len(rows)],
        torch.from_numpy(sentences.score[: len(rows)]),
        np.array([row.split for row in rows]),
    )
    return side, pooled[len(rows) :], [w.id for w in words] + [code for _, code in pairs]


def pooled_image(tower: image_tower.Tower, data: Path, work: Path, size: int):
    """Return the image side: plain and augmented views, rare emotions seen more often."""
    pictures = image_tower.Pictures(data, work)
    split = np.where(pictures.emotion < 0, "train", pictures.split)
    row = np.arange(len(split))
    is_face = pictures.emotion >= 0
    tight = np.flatnonzero((split != "test") & (row % 2 == 0))
    other = np.flatnonzero((split != "test") & is_face & (row % 2 == 1))
    rare = np.flatnonzero((split == "train") & is_face & (pictures.score < 0))
    views = [(tight, -1), (other, 1), *((rare, seed) for seed in range(2, 7))]
    pooled = _cached(
        work / f"image_pooled{size}.pt",
        work / f"image{size}.pt",
        lambda: torch.cat(
            [image_tower.features(tower, pictures, index, size, seed)[0] for index, seed in views]
        ),
    )
    index = np.concatenate([index for index, _ in views])
    side = align.Side(pooled, torch.from_numpy(pictures.score[index]), split[index])
    codes = {}
    for place, i in enumerate(tight):
        codes.setdefault(pictures.rows[i].id, place)
    return side, codes


def _cached(path: Path, source: Path, make) -> torch.Tensor:
    """Make `path` unless it is there and newer than the checkpoint it comes from."""
    if not path.exists() or path.stat().st_mtime < source.stat().st_mtime:
        start_time = time.time()
        part = path.with_suffix(".part")
        torch.save(make(), part)
        part.rename(path)
        _log.info("%s: %.0f s", path.name, time.time() - start_time)
    return torch.load(path, weights_only=True)


def export(out: Path, folder: Path, size: int, text, image, aligned: align.Aligned) -> None:
    """Write the folder; weights are rounded to and stored as FP16."""
    model = build(folder, size)
    model.text.transformer.load_state_dict(text.transformer.state_dict())
    model.visual.trunk.load_state_dict(image.trunk.state_dict())
    model.text.proj.load_state_dict(aligned.text.state_dict())
    model.visual.head.proj.load_state_dict(aligned.image.state_dict())
    state = {
        k: v.half().contiguous() if v.is_floating_point() else v.contiguous()
        for k, v in model.state_dict().items()
    }
    if not all(v.isfinite().all() for v in state.values()):
        raise SystemExit("a weight does not fit FP16")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, out / "text", dirs_exist_ok=True)
    text_of = json.dumps(configuration(size), indent=2) + "\n"
    (out / "open_clip_config.json").write_text(text_of, encoding="utf-8")
    save_file(state, out / "model.safetensors.part", metadata={"format": "pt"})
    (out / "model.safetensors.part").chmod(0o644)  # safetensors makes it private
    (out / "model.safetensors.part").rename(out / "model.safetensors")
    build(out / "text", size).load_state_dict(load_file(out / "model.safetensors"))


def main() -> None:
    """Run all stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the shared data sets")
    parser.add_argument("--minilm", type=Path, required=True, help="HF folder of all-MiniLM-L6-v2")
    parser.add_argument("--efficientnet", type=Path, required=True, help="the package's .pth file")
    parser.add_argument("--work", type=Path, required=True, help="caches and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--image-size", type=int, default=128, help="pixels (default 128)")
    parser.add_argument("--tokens", type=int, default=11000, help="vocabulary (default 11000)")
    parser.add_argument("--image-rounds", type=int, default=4, help="default 4")
    parser.add_argument("--text-rounds", type=int, default=1, help="default 1")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    data, work, size = args.data, args.work, args.image_size
    texts = [r.text for r in sources.vader(data) + sources.goemotions(data) if r.split == "train"]
    token_ids = vocabulary.trim(args.minilm, work / "text", texts, args.tokens)
    image = image_tower.train(data, work, args.efficientnet, size, args.image_rounds)
    text = text_tower.train(data, work, args.minilm, work / "text", token_ids, args.text_rounds)
    text_side, natural, codes = pooled_text(text, data, work, work / "text")
    image_side, place = pooled_image(image, data, work, size)
    rows = [i for i, code in enumerate(codes) if code in place]
    pictures = image_side.pooled[torch.tensor([place[codes[i]] for i in rows])]
    aligned = align.train(text_side, image_side, (natural[torch.tensor(rows)], pictures), DIM)
    report = align.report(aligned, text_side, image_side)
    (work / "align.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    export(args.out, work / "text", size, text, image, aligned)


if __name__ == "__main__":
    main()
