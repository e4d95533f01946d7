"""Make the two encoders as they come, each with a random projection: nothing tuned or aligned.

    python plain_encoders.py --minilm MINILM --efficientnet PTH --out FOLDER

Texts and pictures then lie in spaces that know nothing of each other. This is where a method that
infers one vector from the other has to show that it does no harm (docs/results.md).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import image_tower
import torch
from encoders import build, configuration
from safetensors.torch import save_file
from transformers import AutoModel

TEXT_FILES = (
    *("config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "vocab.txt"),
)


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minilm", type=Path, required=True, help="HF folder of all-MiniLM-L6-v2")
    parser.add_argument("--efficientnet", type=Path, required=True, help="the package's .pth file")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--image-size", type=int, default=128, help="pixels (default 128)")
    args = parser.parse_args()
    (args.out / "text").mkdir(parents=True, exist_ok=True)
    for name in TEXT_FILES:
        shutil.copyfile(args.minilm / name, args.out / "text" / name)
    torch.manual_seed(0)
    model = build(args.out / "text", args.image_size)
    text = AutoModel.from_pretrained(args.minilm, add_pooling_layer=False)
    model.text.transformer.load_state_dict(text.state_dict())
    model.visual.trunk.load_state_dict(image_tower.load_trunk(args.efficientnet).state_dict())
    for projection in (model.text.proj, model.visual.head.proj):
        torch.nn.init.normal_(projection.weight, std=projection.in_features**-0.5)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, args.out / "model.safetensors", metadata={"format": "pt"})
    (args.out / "open_clip_config.json").write_text(
        json.dumps(configuration(args.image_size), indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
