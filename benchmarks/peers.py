"""Time this runtime against its peers: eager open_clip, and a plain ONNX Runtime graph.

    python benchmarks/peers.py --bundle build/vit_b32 --out benchmarks/results/peers_vit_b32.json

The bundle is one of `random_bundle.py`: the same seeded weights are given to open_clip here, so
that the answers can be compared. Contenders: `open_clip` (PyTorch, eager, all 77 tokens);
`plain` (the FP32 graph in a bare ONNX Runtime session, ids padded to all 77 tokens);
`portable` (this runtime, FP32); `int8` (its INT8 engines, if they are built). Each runs in a
process of its own, with the same number of threads, and calls alternate. One text of 17 tokens,
and 8 frames.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trml_rt.bundle.folder import Bundle
from trml_rt.cli.bench_worker import serve
from trml_rt.errors import ArtefactMismatch
from trml_rt.proof.interleave import interleave

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

CONTENDERS = ("open_clip", "plain", "portable", "int8")
TOKENS, FRAMES = 17, 8
PAUSE = 0.3  # seconds, in which the threads of the peers stop spinning
Call = Callable[[], list[float]]


def inputs(bundle: Bundle, engine: str) -> np.ndarray:
    """Return the same seeded input for every contender: ids (1, 17) or frames (8, h, w, 3)."""
    generator = np.random.default_rng(0)
    if engine == "text":
        words = generator.integers(1, 40_000, TOKENS - 2)
        return np.array([[49_406, *words, 49_407]], np.int32)  # start and end of text
    video = bundle.manifest.video
    return generator.integers(0, 256, (FRAMES, video.height, video.width, 3), dtype=np.uint8)


def open_clip(bundle: Bundle, engine: str, threads: int) -> Call:
    """Return a call of open_clip itself, eager, normalised like the graphs."""
    import torch

    from trml_export.backbone.backbone import load_backbone

    torch.set_num_threads(threads)
    name = bundle.manifest.training["backbone"]["name"]
    backbone = load_backbone(name, seed=bundle.manifest.training["backbone"]["seed"])
    model, example = backbone.model.eval(), inputs(bundle, engine)
    picture = backbone.config.preprocess
    mean, std = (torch.tensor(v)[:, None, None] for v in (picture.mean, picture.std))
    context = bundle.manifest.text.context

    @torch.inference_mode()
    def call() -> list[float]:
        if engine == "text":
            ids = torch.zeros((1, context), dtype=torch.long)
            ids[:, :TOKENS] = torch.from_numpy(example)
            vector = model.encode_text(ids)
        else:
            pixels = torch.from_numpy(example).permute(0, 3, 1, 2) / 255
            vector = model.encode_image((pixels - mean) / std)
        return _flat((vector / vector.norm(dim=-1, keepdim=True)).numpy())

    return call


def plain(bundle: Bundle, engine: str, threads: int) -> Call:
    """Return a call of the FP32 graph in a bare session; text is padded to the context."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    path = bundle.path(bundle.manifest.engines[engine].file)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    example = inputs(bundle, engine)
    if engine == "text":
        rest = bundle.manifest.text.context - TOKENS
        example = np.pad(example, ((0, 0), (0, rest)))
    name = session.get_inputs()[0].name
    return lambda: _flat(session.run(None, {name: example})[0])


def runtime(bundle: Bundle, engine: str, threads: int, precision: str) -> Call:
    """Return a call of this runtime's own engine, portable or built."""
    from trml_rt.backends import ONNXRUNTIME
    from trml_rt.backends.onnxruntime import OnnxRuntimeBackend
    from trml_rt.engines.choose import find_engines

    spec = bundle.manifest.engines[engine]
    if precision == "portable":
        path, optimised = bundle.path(spec.file), False
    else:
        path, optimised = find_engines(bundle, precision, ONNXRUNTIME).path(engine), True
    loaded = OnnxRuntimeBackend(threads, optimised=optimised).load(spec, path)
    example = {spec.inputs[0].name: inputs(bundle, engine)}
    return lambda: _flat(loaded.run(example)[spec.outputs[0].name])


def _flat(vectors: np.ndarray) -> list[float]:
    return vectors.ravel().tolist()


def contend(name: str, bundle: Bundle, engine: str, threads: int) -> Call:
    """Return the call of one contender."""
    if name == "open_clip":
        return open_clip(bundle, engine, threads)
    if name == "plain":
        return plain(bundle, engine, threads)
    return runtime(bundle, engine, threads, name)


def compare(bundle: Bundle, engine: str, names: list[str], calls: int, threads: int) -> dict:
    """Time the contenders on one engine and compare their answers with the first one's."""
    commands = {
        name: [
            *(sys.executable, str(Path(__file__).resolve()), "--bundle", str(bundle.folder)),
            *("--threads", str(threads), "--contender", name, "--engine", engine),
        ]
        for name in names
    }
    found = interleave(commands, calls, pause=PAUSE)
    rows = 1 if engine == "text" else FRAMES
    answers = {n: np.array(m.pop("answer")).reshape(rows, -1) for n, m in found.items()}
    reference = answers[names[0]]
    for name, measured in found.items():
        cosine = (answers[name] * reference).sum(-1) / (
            np.linalg.norm(answers[name], axis=-1) * np.linalg.norm(reference, axis=-1)
        )
        measured[f"least_cosine_to_{names[0]}"] = round(float(cosine.min()), 6)
    return found


def sizes(bundle: Bundle, engine: str, names: list[str]) -> dict[str, int]:
    """Return the bytes of the graph files."""
    from trml_rt.backends import ONNXRUNTIME
    from trml_rt.engines.choose import find_engines

    found = {"portable": bundle.manifest.files[bundle.manifest.engines[engine].file].bytes}
    if "int8" in names:
        found["int8"] = find_engines(bundle, "int8", ONNXRUNTIME).manifest.files[engine].bytes
    return found


def main() -> None:
    """Measure, print and write the result; or serve as one contender."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--engine", choices=["text", "frame"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    bundle = Bundle(arguments.bundle)
    if arguments.contender:
        name, engine = arguments.contender, arguments.engine
        serve(lambda: contend(name, bundle, engine, arguments.threads))
        return
    names = list(CONTENDERS)
    if bundle.manifest.training["backbone"]["seed"] is None:
        names.remove("open_clip")  # its weights are not those of a seed
    try:
        sizes(bundle, "text", names)
    except ArtefactMismatch as error:
        print(f"without int8: {error}", file=sys.stderr)
        names.remove("int8")
    result: dict[str, Any] = {
        "what": "time of one encoder call, contenders interleaved, a process each; "
        "speed_up is the median over rounds against the first contender",
        "bundle": bundle.manifest.name,
        "bundle_sha256": bundle.sha256,
        "threads": arguments.threads,
        "inputs": {"text": f"one text of {TOKENS} tokens", "frame": f"{FRAMES} frames"},
        "load_average_at_start": Path("/proc/loadavg").read_text().split()[:3],
        "machine": describe(("torch", "open_clip_torch", "onnxruntime", "trml-rt")),
        "bytes": {engine: sizes(bundle, engine, names) for engine in ("text", "frame")},
        "text": compare(bundle, "text", names, arguments.calls * 3, arguments.threads),
        "frame": compare(bundle, "frame", names, arguments.calls, arguments.threads),
    }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
