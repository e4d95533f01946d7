"""Time calls of 1 to 64 rows: this runtime through `infer_batch`, and eager open_clip at once.

    python benchmarks/batches.py --bundle build/vit_b32 --out benchmarks/results/batches.json
        [--batches 1,2,4,8,16,32,64] [--engines "openvino int8"]

The bundle is one of `random_bundle.py`. A row is a text of 17 tokens, or 8 frames of the model's
size. open_clip encodes all rows of a call at once; this runtime cuts them into groups as large as
its engines allow, and goes on to the answers. Each contender runs in a process of its own, and
calls alternate. Vectors are compared with open_clip's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import trml_rt
from trml_rt.bundle.folder import Bundle, open_bundle
from trml_rt.cli.bench_worker import TEXT, serve
from trml_rt.proof.interleave import interleave

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

KINDS = {"text": "text_vector", "video": "frame_vectors"}
FRAMES = 8
PAUSE = 0.2  # seconds, in which the threads of the peers stop spinning
Call = Callable[[], list[float]]


def frames_of(bundle: Bundle) -> np.ndarray:
    """Return seeded frames that need no resizing, (8, height, width, 3) uint8."""
    video = bundle.manifest.video
    shape = (FRAMES, video.height, video.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def open_clip(bundle: Bundle, kind: str, rows: int) -> Call:
    """Return a call of eager open_clip on all rows at once."""
    import open_clip as package
    import torch

    from trml_export.backbone.backbone import load_backbone

    record = bundle.manifest.training["backbone"]
    backbone = load_backbone(record["name"], seed=record["seed"])
    model, picture = backbone.model.eval(), backbone.config.preprocess
    tokenize = package.get_tokenizer(record["name"])
    mean, std = (torch.tensor(v)[:, None, None] for v in (picture.mean, picture.std))
    frames = frames_of(bundle)

    @torch.inference_mode()
    def call() -> list[float]:
        if kind == "text":
            vectors = model.encode_text(tokenize([TEXT] * rows))[:1]
        else:
            pixels = torch.from_numpy(np.concatenate([frames] * rows)).permute(0, 3, 1, 2) / 255
            vectors = model.encode_image((pixels - mean) / std)[:FRAMES]
        return (vectors / vectors.norm(dim=-1, keepdim=True)).numpy().ravel().tolist()

    return call


def runtime(bundle: Bundle, kind: str, rows: int, backend: str, precision: str) -> Call:
    """Return a call of `infer_batch`; the vectors it gives are those of one row, traced once."""
    rt = trml_rt.load(
        bundle,
        backend=backend,
        precision=None if precision == "portable" else precision,  # type: ignore[arg-type]
    )
    row: dict[str, Any] = {"text": TEXT} if kind == "text" else {"video": frames_of(bundle)}
    vectors = rt.trace(**row)[kind][KINDS[kind]].ravel().tolist()

    def call() -> list[float]:
        rt.infer_batch([row] * rows)
        return vectors

    return call


def contend(name: str, bundle: Bundle, kind: str, rows: int) -> Call:
    """Return the call of one contender."""
    if name == "open_clip":
        return open_clip(bundle, kind, rows)
    backend, precision = name.split()
    return runtime(bundle, kind, rows, backend, precision)


def compare(bundle: Bundle, names: list[str], kind: str, rows: int, calls: int) -> dict[str, Any]:
    """Time the contenders on so many rows, and compare their vectors with open_clip's."""
    script = [sys.executable, str(Path(__file__).resolve()), "--bundle", str(bundle.folder)]
    given = ["--kind", kind, "--rows", str(rows)]
    commands = {name: [*script, *given, "--contender", name] for name in names}
    found = interleave(commands, calls, warm_up=1, pause=PAUSE)
    size = bundle.manifest.engines["text"].outputs[0].shape[-1]
    answers = {n: np.array(m.pop("answer")).reshape(-1, size) for n, m in found.items()}
    reference = answers[names[0]]
    for name, measured in found.items():
        norms = np.linalg.norm(answers[name], axis=1) * np.linalg.norm(reference, axis=1)
        cosines = (answers[name] * reference).sum(1) / norms
        measured["least_cosine"] = round(float(cosines.min()), 5)
        measured["rows_a_second"] = round(rows / measured["p50_ms"] * 1e3, 2)
    return found


def main() -> None:
    """Measure, print and write the result; or serve as one contender."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--batches", default="1,2,4,8,16,32,64", help="numbers of rows")
    parser.add_argument("--calls", type=int, default=7)
    parser.add_argument(
        "--engines", action="append", help='such as "openvino int8", beside the portable graphs'
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    if arguments.contender:
        serve(lambda: contend(arguments.contender, bundle, arguments.kind, arguments.rows))
        return
    names = ["open_clip", "onnxruntime portable", *(arguments.engines or [])]
    result: dict[str, Any] = {
        "what": "time of a call of so many rows; speed_up is the median over rounds against "
        "eager open_clip",
        "bundle": bundle.manifest.name,
        "bundle_sha256": bundle.sha256,
        "load_average_at_start": Path("/proc/loadavg").read_text().split()[:3],
        "machine": describe(("torch", "open_clip_torch", "onnxruntime", "openvino", "trml-rt")),
        "kinds": {
            kind: {
                rows: compare(bundle, names, kind, int(rows), arguments.calls)
                for rows in arguments.batches.split(",")
            }
            for kind in KINDS
        },
    }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
