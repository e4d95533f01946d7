"""Time the encoding step of `trml-rt train`: clips a second, here and in an earlier checkout.

    git worktree add /tmp/before bed326b
    python benchmarks/encoding.py --against bed326b=/tmp/before --out FILE.json

Data are made first: clips of H.264 that are all different, pictures, and texts. A call is
`compute_features` from an empty cache: clips are read, hashed, decoded, encoded and stored. Each
checkout runs in a process of its own, and calls alternate. The vectors of all are compared with
those of the first. `shares_ms` has the processor time of a call: on a machine that also does other
work it says more than the wall clock. Weights are random, from a seed; `lite0` has the structure of
the image encoder that ships. `--also mixed` adds this checkout in half precision.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
FRAMES = 8
LITE0 = {
    "embed_dim": 384,
    "vision_cfg": {
        "timm_model_name": "efficientnet_lite0",
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 224,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
}


def make_backbone(name: str, folder: Path) -> str:
    """Return what `load_backbone` takes for `name`; a folder is made for lite0."""
    if name != "lite0":
        return name
    folder.mkdir(exist_ok=True)
    config = {"model_cfg": LITE0, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return str(folder)


def make_data(folder: Path, clips: int, pictures: int, texts: int) -> None:
    """Write clips of 7 s at 1280 x 720, pictures of 640 x 480, and texts of one to forty words."""
    import av
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(clips):
        scene = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
            for frame in range(7 * 25):
                x, y = (int(150 * (1 + f(frame / 40))) for f in (np.sin, np.cos))
                pixels = np.ascontiguousarray(scene[y : y + 720, x : x + 1280])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
    for number in range(pictures):
        scene = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(scene).save(folder / f"{number}.jpg", quality=90)
    words = ["what", "a", "day", "and", "how", "good", "it", "was", "to", "see", "them", "all"]
    lines = [" ".join(rng.choice(words, 1 + number % 40)) + f" {number}" for number in range(texts)]
    (folder / "texts.json").write_text(json.dumps(lines))


def serve(backbone: str, data: Path, kind: str, mixed: bool) -> None:
    """Be a contender, as `trml_rt.proof.interleave` wants it, in whatever checkout is imported."""
    try:
        from trml_export.backbone.backbone import load_backbone
        from trml_export.data import Sample
        from trml_export.features.features import compute_features
    except ModuleNotFoundError:  # a checkout from before there were rooms
        load_backbone = importlib.import_module("trml_export.backbone").load_backbone
        Sample = importlib.import_module("trml_export.data").Sample  # noqa: N806
        compute_features = importlib.import_module("trml_export.features").compute_features
    from trml_export.config import Config

    start = time.perf_counter()
    seed = None if backbone == "default" else 0
    encoders = load_backbone(backbone, seed=seed)
    try:
        import torch

        from trml_export.backbone.backbone import place

        encoders = place(encoders, torch.device("cpu"), mixed=mixed)
    except ImportError:
        pass  # an earlier checkout has no devices
    endings = {"clips": "*.mp4", "pictures": "*.jpg"}
    if kind == "texts":
        texts = json.loads((data / "texts.json").read_text())
        samples = [Sample(str(i), "train", t, None, 0.0) for i, t in enumerate(texts)]
    else:
        paths = sorted(data.glob(endings[kind]))
        samples = [Sample(p.name, "train", None, p, 0.0) for p in paths]

    def call() -> list[float]:
        with tempfile.TemporaryDirectory() as cache:
            found = compute_features(samples, encoders, Config(frames=FRAMES), cache=Path(cache))
            rows = np.concatenate(
                [
                    np.arange(start, start + count) if count else np.array([text])
                    for text, start, count in zip(
                        found.text_rows, found.clip_starts, found.clip_lengths, strict=True
                    )
                ]
            )
            return [float(value) for value in found.vectors[rows].ravel()]

    loaded = time.perf_counter()
    call()
    say({"load_ms": 1e3 * (loaded - start), "first_call_ms": 1e3 * (time.perf_counter() - loaded)})
    for _ in sys.stdin:
        begin, worked = time.perf_counter(), time.process_time()
        answer = call()
        spent = {"cpu": 1e3 * (time.process_time() - worked)}
        say({"ms": 1e3 * (time.perf_counter() - begin), "answer": answer, "shares": spent})
    say({"peak_mb": None})


def say(record: dict[str, Any]) -> None:
    """Write a line of the protocol."""
    print(json.dumps(record), flush=True)


def compare(
    backbone: str, kind: str, data: Path, checkouts: dict[str, Path], also: list[str], calls: int
) -> dict[str, Any]:
    """Return rates, and how far vectors are from the first's in shares of their length."""
    from trml_rt.proof.interleave import interleave

    def command(checkout: Path, mixed: bool) -> list[str]:
        path = os.pathsep.join(str(checkout / part) for part in (".", "export", "calibration"))
        words = ["--serve", backbone, str(data), kind, "mixed" if mixed else "fp32"]
        return ["env", f"PYTHONPATH={path}", sys.executable, str(Path(__file__).resolve()), *words]

    commands = {name: command(checkout, False) for name, checkout in checkouts.items()}
    commands |= {name: command(ROOT, True) for name in also}
    count = len(json.loads((data / "texts.json").read_text()))
    if kind != "texts":
        count = len(list(data.glob({"clips": "*.mp4", "pictures": "*.jpg"}[kind])))
    found = interleave(commands, calls, warm_up=0)
    first = next(iter(found.values()))["answer"]
    rows = np.array(first).reshape(count * (FRAMES if kind == "clips" else 1), -1)
    for measured in found.values():
        vectors = np.array(measured.pop("answer")).reshape(rows.shape)
        apart = np.linalg.norm(vectors - rows, axis=1) / np.linalg.norm(rows, axis=1)
        measured["per_second"] = round(1e3 * count / measured["p50_ms"], 3)
        measured["farthest_vector"] = float(apart.max())
    return found


def training_rate(rows: int = 2048, epochs: int = 3) -> dict[str, Any]:
    """Return the processor time that training takes, on made features of d = 384 and 8 frames."""
    from trml_export.config import Config
    from trml_export.data import Sample
    from trml_export.features.features import Features
    from trml_export.training.fitting import fit

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(rows, FRAMES + 1, 384)).astype(np.float32)
    samples = [Sample(str(i), "train", f"{i}", None, float(rng.normal())) for i in range(rows)]
    features = Features.of(samples, list(vectors[:, 0]), list(vectors[:, 1:]))
    few = features.take(np.arange(64))
    start = time.process_time()
    fit(features, few, Config(epochs=epochs, patience=epochs), 384)
    spent = 1e3 * (time.process_time() - start) / (rows * epochs)
    return {"rows": rows, "epochs": epochs, "cpu_ms_per_row_and_epoch": round(spent, 3)}


def main() -> None:
    """Make the data, measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", action="append", default=[], help="NAME=CHECKOUT")
    parser.add_argument("--also", action="append", default=[], choices=["mixed"])
    parser.add_argument("--backbones", nargs="+", default=["lite0", "default"])
    parser.add_argument("--kinds", nargs="+", default=["clips", "pictures", "texts"])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        backbone, data, kind, precision = arguments.serve
        serve(backbone, Path(data), kind, precision == "mixed")
        return
    sys.path.insert(0, str(Path(__file__).parent))
    from machine import describe, report

    checkouts = dict(pair.split("=", 1) for pair in arguments.against)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make_data(folder, arguments.clips, arguments.pictures, arguments.texts)
        result = {
            "what": "compute_features from an empty cache; the first contender is the reference",
            "clips": f"{arguments.clips} of 7 s, 1280 x 720, 25 frames a second, H.264; "
            f"{FRAMES} frames of each",
            "pictures": f"{arguments.pictures} of 640 x 480, JPEG",
            "texts": f"{arguments.texts} of 1 to 40 words",
            "machine": describe(
                ("torch", "open_clip_torch", "timm", "onnxruntime", "av", "pillow")
            ),
            "training": training_rate(),
            "backbones": {
                name: {
                    kind: compare(
                        make_backbone(name, folder / name),
                        kind,
                        folder,
                        {**{n: Path(p) for n, p in checkouts.items()}, "now": ROOT},
                        [] if name == "default" else arguments.also,
                        arguments.calls,
                    )
                    for kind in arguments.kinds
                }
                for name in arguments.backbones
            },
        }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
