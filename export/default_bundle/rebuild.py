"""Bring a bundle of this folder's recipe back into PyTorch, as the checkpoint that it came from.

    python rebuild.py --minilm MINILM --out CHECKPOINT [--bundle BUNDLE]

A graph holds its weights by name, rounded as they ship, so nothing is lost and nothing is trained.
`trml-rt export CHECKPOINT --weights fp16` then writes the same model with today's exporter, and
`trml-rt train --backbone CHECKPOINT/backbone` trains new heads over its encoders. MINILM is read
for the shape of the text tower, not for its weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from encoders import build, configuration
from onnx import numpy_helper
from safetensors.torch import save_file

from trml_export.backbone.backbone import Backbone, load_backbone
from trml_export.config import parse_recorded
from trml_export.method.model import TRML
from trml_export.to_bundle.golden import golden_tensors
from trml_export.training.checkpoint import TrainingRecord, save_checkpoint
from trml_rt.bundle.folder import Bundle, default_bundle
from trml_rt.bundle.manifest import PARITY

LEFT_OUT = ("running_mean", "running_var", "num_batches_tracked", "position_ids", "logit_scale")
MADE = {"text_vector", "frame_vectors", "virtual_text", "virtual_video", "prediction"}
BERT_FILES = ("config.json", "tokenizer_config.json", "special_tokens_map.json")


def weights_of(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights of a graph by the names that they had in PyTorch.

    The exporter turns some matrices round and drops their names. Then the bias that is added to
    their product has the name, or the prompt that they multiply.
    """
    graph = onnx.load(path).graph
    stored = {each.name: each for each in graph.initializer}
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    after = {name: node for node in graph.node for name in node.input if node.op_type == "Add"}

    def value(name: str) -> torch.Tensor:
        array = numpy_helper.to_array(stored[source.get(name, name)])
        return torch.from_numpy(array.copy()).float()

    for name in stored:
        name = name.removesuffix("_fp16")
        if name.endswith((".0.scale", ".0.shift")):  # a batch norm in two operators
            norm, _, kind = name.rpartition(".0.")
            yield f"{norm}.{'weight' if kind == 'scale' else 'bias'}", value(name).flatten()
        elif "." in name:
            yield name, value(name)
    for node in graph.node:
        if node.op_type != "MatMul" or source.get(node.input[1], node.input[1]) not in stored:
            continue
        if node.input[0].endswith(".prompt"):
            name = node.input[0].removesuffix("prompt") + "from_prompt.weight"
        else:
            (bias,) = (each for each in after[node.output[0]].input if "." in each)
            name = bias.replace("bias", "weight")
        yield name, value(node.input[1]).T


def fill(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Give `module` these weights; batch norms keep no statistics of their own."""
    for each in module.modules():
        if isinstance(each, torch.nn.BatchNorm2d):
            each.running_mean.zero_()
            each.running_var.fill_(1 - each.eps)
    learned = {name: each for name, each in weights.items() if not name.endswith(LEFT_OUT)}
    missing, unknown = module.load_state_dict(learned, strict=False)
    lost = [name for name in missing if not name.endswith(LEFT_OUT)]
    if lost or unknown:
        raise SystemExit(f"not this recipe's bundle: without {lost}, with {unknown}")


def encoders(bundle: Bundle, minilm: Path, out: Path) -> None:
    """Write the encoders in open_clip's layout."""
    size = bundle.manifest.video.height
    text = out / "text"
    text.mkdir(parents=True)
    for name in BERT_FILES:
        shutil.copyfile(minilm / name, text / name)
    shutil.copyfile(bundle.path(bundle.manifest.text.tokenizer), text / "tokenizer.json")
    vocabulary = json.loads((text / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    (text / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    for name, changes in (
        ("config.json", {"vocab_size": len(tokens)}),
        ("tokenizer_config.json", {"name_or_path": "text"}),
    ):
        context = bundle.manifest.text.context
        key = "max_position_embeddings" if name == "config.json" else "model_max_length"
        settings = json.loads((text / name).read_text(encoding="utf-8"))
        settings |= {**changes, key: context}
        (text / name).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    model = build(text, size)
    weights = {
        name.removeprefix("towers."): tensor
        for engine in ("text", "frame")
        for name, tensor in weights_of(bundle.path(bundle.manifest.engines[engine].file))
    }
    fill(model, weights)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    settings_text = json.dumps(configuration(size), indent=2) + "\n"
    (out / "open_clip_config.json").write_text(settings_text, encoding="utf-8")


def prove(bundle: Bundle, backbone: Backbone, model: TRML) -> float:
    """Return the largest difference to the golden files; refuse what an export would refuse."""
    differences = []
    for name, tensors in golden_tensors(backbone, model, cut=bundle.manifest.text.cut).items():
        with np.load(bundle.folder / "golden" / f"{name}.npz") as golden:
            differences += [
                np.abs(golden[key] - tensors[key]).max() for key in MADE & tensors.keys()
            ]
    largest = float(max(differences))
    if not largest <= PARITY:
        raise SystemExit(f"the weights do not give the golden answers: {largest:.2g} off")
    return largest


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="(default: shipped)")
    parser.add_argument("--minilm", type=Path, required=True, help="HF folder of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    args = parser.parse_args()
    bundle = Bundle(args.bundle)
    training = bundle.manifest.training
    model = TRML(parse_recorded(training["config"]), bundle.manifest.embedding_dim)
    heads = {
        name.removeprefix("model."): tensor
        for engine in ("fuse_text", "fuse_video", "fuse_text_video")
        for name, tensor in weights_of(bundle.path(bundle.manifest.engines[engine].file))
    }
    fill(model, heads)
    with tempfile.TemporaryDirectory() as folder:
        encoders(bundle, args.minilm, Path(folder) / "encoders")
        backbone = load_backbone(Path(folder) / "encoders")
        print(
            f"largest difference to the golden files: {prove(bundle, backbone, model.eval()):.2g}"
        )
        record = TrainingRecord.model_validate(training["record"])
        save_checkpoint(args.out, model, backbone, record)


if __name__ == "__main__":
    main()
