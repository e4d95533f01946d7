"""Try one model of every family that open_clip knows: which work, which are refused, and why.

    python benchmarks/backbones.py --out benchmarks/results/backbones.json

A family is a kind of image tower with a kind of text tower. Its smallest model is built with random
weights of a seed, encodes texts and frames, and is exported: every graph is compared with PyTorch.
A model that wants text files from the network gets stand-ins of the same kind, made here: a text
tower of two layers, and a tokenizer with a small vocabulary. Towers of open_clip's own that would
take more than 2 GB are cut to two layers. Each model has a process of its own. Families that
`--out` has already are not tried again. `--table FILE` writes the table of docs/backbones.md.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LARGE = 500_000_000  # parameters
SEED = 0
TEXTS = ["What a day!", "I am not sure that this was worth the money."]
WORDS = [
    "what",
    "a",
    "day",
    "i",
    "am",
    "not",
    "sure",
    "that",
    "this",
    "was",
    "worth",
    "the",
    "film",
]
TOWERS = {
    "roberta-base": "roberta",
    "xlm-roberta-base": "xlm-roberta",
    "xlm-roberta-large": "xlm-roberta",
    "google/mt5-base": "mt5",
    "google/mt5-xl": "mt5",
    "facebook/nllb-200-distilled-600M": "m2m_100",
    "facebook/nllb-200-distilled-1.3B": "m2m_100",
}
SMALL: dict[str, int] = {
    **dict.fromkeys(("hidden_size", "d_model"), 64),
    **dict.fromkeys(("intermediate_size", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim"), 128),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "num_heads", "encoder_attention_heads"), 2),
    **{"decoder_attention_heads": 2, "d_kv": 32, "max_position_embeddings": 100, "pad_token_id": 0},
}
FILES = {"roberta": "RoBERTa", "xlm-roberta": "XLM-RoBERTa", "mt5": "mT5", "m2m_100": "NLLB"}


def family(config: dict[str, Any]) -> tuple[str, str]:
    """Return the kinds of the image tower and of the text tower of a model of open_clip."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    timm = vision.get("timm_model_name")
    if timm:
        image = re.split(r"[_\d]", timm)[0]
        if "siglip" in timm:
            image = "vit of SigLIP"
        elif timm.startswith("vit_pe_"):
            image = "vit of PE"
        elif image == "vit" and "relpos" in timm:
            image = "vit, relative positions"
        image = f"timm {image}"
    else:
        image = "ResNet" if isinstance(vision.get("layers"), list) else "ViT"
    if "multimodal_cfg" in config:
        return image, "CoCa"
    if "hf_model_name" in text:
        return image, FILES[TOWERS[text["hf_model_name"]]]
    tokenizer = text.get("hf_tokenizer_name")
    if tokenizer is None:
        return image, "CLIP, no causal mask" if text.get("no_causal_mask") else "CLIP"
    kinds = {"SigLIP2": "SigLIP 2", "i18n": "SigLIP, 250,000 words", "SigLIP": "SigLIP"}
    words = next((words for part, words in kinds.items() if part in tokenizer), tokenizer)
    return image, f"tokenizer of {words}"


def families() -> dict[tuple[str, str], list[str]]:
    """Return the models of every family."""
    from open_clip import get_model_config, list_models

    found = collections.defaultdict(list)
    for name in list_models():
        found[family(get_model_config(name))].append(name)
    return dict(sorted(found.items()))


def names() -> dict[str, str]:
    """Return for each name of open_clip whether it needs a weights file alone, or else why not."""
    from open_clip import list_models

    from trml_export.backbone.config import read_backbone_config
    from trml_rt.errors import TrmlError

    said = {}
    for name in list_models():
        try:
            read_backbone_config(name)
            said[name] = "works"
        except TrmlError as error:
            said[name] = str(error)
    return said


def size(name: str) -> int:
    """Return about how many parameters the towers of open_clip's own have that a model has."""
    from open_clip import get_model_config

    config = get_model_config(name)
    vision, text = config["vision_cfg"], config["text_cfg"]
    width = text.get("width", 512)
    total = text.get("vocab_size", 49408) * width + 12 * text.get("layers", 2) * width**2
    if "timm_model_name" in vision:
        return total + config["embed_dim"] * 10_000  # a larger tower gives larger vectors
    layers = vision["layers"]
    if isinstance(layers, list):
        return total + sum(layers) * 3_000 * vision["width"]
    return total + 12 * layers * vision["width"] ** 2


def stand_in(name: str, folder: Path) -> str:
    """Make a folder of the model `name` with what it wants from the network; say what was made."""
    from open_clip import get_model_config
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    config = get_model_config(name)
    vision, text = config["vision_cfg"], config["text_cfg"]
    remarks = []
    if size(name) > LARGE and "timm_model_name" not in vision:
        vision["layers"] = text["layers"] = 2
        remarks.append("two layers a tower")
    tags = list_pretrained_tags_by_model(name)
    preprocess = get_pretrained_cfg(name, tags[0]) if tags else {}
    keys = ("mean", "std", "interpolation", "resize_mode")
    preprocess = {k: preprocess[k] for k in keys if preprocess.get(k)}
    if len(tags) > 1:
        remarks.append(f"preprocessing of {tags[0]}")
    (folder / "text").mkdir(parents=True)
    if "hf_model_name" in text:
        from transformers import AutoConfig

        kind = TOWERS[text["hf_model_name"]]
        small = AutoConfig.for_model(kind, vocab_size=64, **SMALL)
        small.save_pretrained(folder / "text")
        text["hf_model_name"] = "text"
        remarks.append("text tower of two layers")
    if "hf_tokenizer_name" in text:
        make_tokenizer(folder / "text", end=text.get("eos_id", 2))
        text["vocab_size"] = 64
        text["hf_tokenizer_name"] = "text"
        remarks.append("tokenizer with a small vocabulary")
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    return ", ".join(remarks)


def make_tokenizer(folder: Path, *, end: int) -> None:
    """Write a fast tokenizer whose texts end in the token `end`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    special = {1: ["<pad>", "</s>", "<s>"], 2: ["<pad>", "<s>", "</s>"]}[end]
    pieces = [*special, "<unk>", *dict.fromkeys([*WORDS, *letters])]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "bos_token": "<s>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def try_model(name: str, exporting: bool) -> dict[str, Any]:
    """Return what came of one model: by its name alone, and with what it lacks made here."""
    import torch

    from trml_export.backbone.backbone import load_backbone
    from trml_export.backbone.cutting import cutting_is_exact
    from trml_export.to_bundle.tokenizer import portable_tokenizer
    from trml_rt.errors import TrmlError

    result: dict[str, Any] = {"model": name}
    with tempfile.TemporaryDirectory() as made:
        source, folder = name, Path(made)
        try:
            backbone = None if size(name) > LARGE else load_backbone(name, seed=SEED)
        except TrmlError:  # `names` says why
            backbone = None
        try:
            if backbone is None:
                result["stand_ins"] = stand_in(name, folder / name)
                source = str(folder / name)
                backbone = load_backbone(source, seed=SEED)
            result["parameters"] = sum(p.numel() for p in backbone.model.parameters())
            with torch.inference_mode():
                vectors = [
                    backbone.encode_full_text(backbone.tokenize(TEXTS)),
                    backbone.encode_frames(
                        torch.randint(
                            0,
                            256,
                            (2, backbone.preprocessing.height, backbone.preprocessing.width, 3),
                            dtype=torch.uint8,
                        )
                    ),
                ]
            assert all(v.shape == (2, backbone.size) and v.isfinite().all() for v in vectors)
            portable_tokenizer(backbone.tokenizer, backbone.context_length)
            result["cut"] = cutting_is_exact(backbone)
            if exporting:
                result["parity"] = export_parity(backbone, folder)
            result["outcome"] = "works"
        except TrmlError as error:
            result["outcome"] = str(error).replace(str(folder / name), name)
    return result


def export_parity(backbone: Any, folder: Path) -> float:
    """Export `backbone` under an untrained model, and return the largest difference to PyTorch."""
    import torch
    from random_bundle import NOT_TRAINED

    from trml_export.config import Config
    from trml_export.method.model import TRML
    from trml_export.to_bundle.export import export
    from trml_export.training.checkpoint import save_checkpoint

    torch.manual_seed(SEED)
    save_checkpoint(folder / "c", TRML(Config(), backbone.size), backbone, NOT_TRAINED)
    return max(export(folder / "c", folder / "bundle").parity.values())


def table(content: dict[str, Any]) -> str:
    """Return the table of the page, a line a family."""
    lines = [
        "| image tower | text tower | names | of them by name alone | tried | outcome |",
        "|---|---|---|---|---|---|",
    ]
    for entry in content["families"]:
        models = entry["models"]
        alone = sum(content["names"][name] == "works" for name in models)
        made, outcome = entry.get("stand_ins"), entry["outcome"]
        tried = f"`{entry['model']}`" + (f" with {made}" if made else "")
        if outcome != "works":
            outcome = f"refused: {outcome.removeprefix(entry['model'] + ': ')}"
        elif "parity" in entry:
            outcome = f"works, exported within {entry['parity']:.0e}"
        cells = (entry["image"], entry["text"], len(models), alone, tried, outcome)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Try every family, and write what came of each as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--table", type=Path, help="Markdown file to write, from --out alone")
    parser.add_argument("--no-export", action="store_true", help="encode, and export nothing")
    parser.add_argument("--minutes", type=float, default=10, help="of one model")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(try_model(arguments.one, not arguments.no_export)))
        return
    sys.path.insert(0, str(Path(__file__).parent))
    from machine import describe

    content = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    if arguments.table:
        arguments.table.write_text(table(content))
        return
    known = {(entry["image"], entry["text"]): entry for entry in content.get("families", [])}
    machine = describe(("torch", "open_clip_torch", "timm", "transformers", "onnxruntime"))
    for (image, text), models in families().items():
        if (image, text) in known and not _wants_more(known[image, text], arguments.no_export):
            continue
        name = min(models, key=lambda each: (size(each), each))
        start = time.monotonic()
        command = [sys.executable, __file__, "--out", str(arguments.out), "--one", name]
        command += ["--no-export"] if arguments.no_export else []
        try:
            run = subprocess.run(
                command, capture_output=True, text=True, timeout=60 * arguments.minutes
            )
            lines = run.stdout.splitlines() or [""]
            last = (run.stderr.splitlines() or ["no message"])[-1]
            found = json.loads(lines[-1]) if run.returncode == 0 else _failed(name, last)
        except subprocess.TimeoutExpired:
            found = _failed(name, f"took more than {arguments.minutes:g} minutes")
        known[image, text] = {"image": image, "text": text, "models": models, **found}
        known[image, text]["seconds"] = round(time.monotonic() - start, 1)
        print(f"{image} / {text}: {name}: {known[image, text]['outcome']}", file=sys.stderr)
        ordered = [known[key] for key in sorted(known)]
        content = {"machine": machine, "names": names(), "families": ordered}
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


def _wants_more(entry: dict[str, Any], no_export: bool) -> bool:
    """Say whether a family works and was not exported yet."""
    return entry["outcome"] == "works" and "parity" not in entry and not no_export


def _failed(name: str, why: str) -> dict[str, Any]:
    return {"model": name, "outcome": f"FAILED: {why}"}


if __name__ == "__main__":
    main()
