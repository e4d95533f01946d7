"""Time running the parts of a call side by side against one after the other.

    python benchmarks/overlap.py --clip samples/smiling.mp4 --out benchmarks/results/overlap.json

A call reads 8 frames of a clip, and runs the text encoder and the image encoder. Contenders, each
in a process of its own, calls interleaved: `in turn` (what the runtime does); `text beside
decoding`; `text beside frames` (both encoders at once); `first half early` (the image encoder
starts on the first four frames while the others are decoded). What fuses the vectors is left out.
Needs no training package.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import trml_rt
from trml_rt.backends.process import usable_cores
from trml_rt.bundle.folder import default_bundle, open_bundle
from trml_rt.cli.bench_worker import TEXT, serve
from trml_rt.inputs.image import Preprocessing, to_pixels
from trml_rt.inputs.video import read_frames
from trml_rt.proof.interleave import interleave

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

CONTENDERS = ("in turn", "text beside decoding", "text beside frames", "first half early")


def contender(name: str, bundle: str, clip: str) -> Callable[[], list[float]]:
    """Return the call of one contender, which gives the vectors of both encoders."""
    opened = open_bundle(bundle)
    manifest = opened.manifest
    from trml_rt.backends.onnxruntime import OnnxRuntimeBackend

    backend = OnnxRuntimeBackend()
    text_engine, frame_engine = (
        backend.load(engine, opened.path(engine.file))
        for engine in (manifest.engines[name] for name in ("text", "frame"))
    )
    video = manifest.video
    shape = partial(
        to_pixels,
        preprocessing=Preprocessing(
            video.height, video.width, video.resize, video.interpolation, video.fill
        ),
    )
    with trml_rt.load(opened) as runtime:
        ids = runtime.trace(text=TEXT)["text"]["ids"]
    pool = ThreadPoolExecutor(2)
    half = video.frames // 2

    def text() -> np.ndarray:
        return next(iter(text_engine.run({"ids": ids}).values()))

    def frames(pictures: Any) -> np.ndarray:
        return next(iter(frame_engine.run({"frames": np.stack(pictures)}).values()))

    def read(shape: Callable[[Any], Any] = shape) -> tuple[Any, ...]:
        return read_frames(clip, video.frames, shape, threads=usable_cores()).frames

    def in_turn() -> list[np.ndarray]:
        pictures = read()
        return [text(), frames(pictures)]

    def beside_decoding() -> list[np.ndarray]:
        early = pool.submit(text)
        pictures = read()
        return [early.result(), frames(pictures)]

    def beside_frames() -> list[np.ndarray]:
        pictures = read()
        beside = pool.submit(text)
        return [frames(pictures), beside.result()][::-1]

    def first_half_early() -> list[np.ndarray]:
        # Frames are shaped in the order shown where one thread decodes; else this cannot be done.
        ready: list[np.ndarray] = []
        early: list[Any] = []

        def noting(picture: Any) -> np.ndarray:
            pixels = shape(picture)
            ready.append(pixels)
            if len(ready) == half:
                early.append(pool.submit(frames, ready[:half]))
            return pixels

        pictures = read(noting)
        return [text(), np.concatenate([early[0].result(), frames(pictures[half:])])]

    calls = dict(
        zip(CONTENDERS, (in_turn, beside_decoding, beside_frames, first_half_early), strict=True)
    )
    return lambda: np.concatenate([each.ravel() for each in calls[name]()]).tolist()


def main() -> None:
    """Measure, compare what came out, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    where = [str(arguments.bundle), str(arguments.clip)]
    if arguments.contender:
        serve(lambda: contender(arguments.contender, *where))
        return
    script = [sys.executable, str(Path(__file__).resolve())]
    options = ["--bundle", where[0], "--clip", where[1], "--contender"]
    found = interleave({name: [*script, *options, name] for name in CONTENDERS}, arguments.calls)
    answers = {name: np.array(measured.pop("answer")) for name, measured in found.items()}
    for name, answer in answers.items():
        if np.abs(answer - answers[CONTENDERS[0]]).max() > 1e-4:
            raise SystemExit(f"{name}: another answer")
    result = {
        "what": "a call from the file to the vectors of both encoders, parts side by side or not",
        "bundle": open_bundle(arguments.bundle).manifest.name,
        "clip": arguments.clip.name,
        "machine": describe(("trml-rt", "onnxruntime", "av", "pillow", "numpy")),
        "contenders": found,
    }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
