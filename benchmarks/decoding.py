"""Time reading 8 frames of a video against FFmpeg decoding it, and an hour against a minute.

    python benchmarks/decoding.py --clip samples/smiling.mp4 --out benchmarks/results/decoding.json

Files are made first: a minute and an hour with a keyframe every two seconds, a minute with one
keyframe alone, and clips of 3 and of 20 seconds. Contenders: `read_frames` of this runtime,
resizing included (`ours`), the same with one thread (`one thread`), and FFmpeg through PyAV, which
decodes every frame with its own threads and keeps none (`ffmpeg`). Each runs in a process of its
own, and calls alternate. Needs no training package.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from trml_rt.backends.process import usable_cores
from trml_rt.cli.bench_worker import serve
from trml_rt.inputs.image import Preprocessing, to_pixels
from trml_rt.inputs.video import read_frames
from trml_rt.proof.interleave import interleave

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

RATE, WIDTH, HEIGHT = 25, 640, 360
COUNT = 8


def make(path: Path, seconds: int, gop: int) -> Path:
    """Write a clip of a scene that moves, H.264 as x264 makes it by default."""
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (HEIGHT // 8 + 64, WIDTH // 8 + 64, 3), dtype=np.uint8)
    scene = scene.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", gop
        stream.codec_context.options = {"sc_threshold": "0"}
        for number in range(seconds * RATE):
            x, y = (int(250 * (1 + f(number / 40))) for f in (np.sin, np.cos))
            picture = np.ascontiguousarray(scene[y : y + HEIGHT, x : x + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def repeat(source: Path, target: Path, times: int) -> Path:
    """Write `source` so many times in a row."""
    with av.open(str(target), "w") as written:
        stream = None
        for number in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or written.add_stream_from_template(video)
                shift = int(number * video.frames / RATE / video.time_base)
                for packet in container.demux(video):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        written.mux(packet)
    return target


def contender(name: str, path: str) -> Callable[[], list[float]]:
    """Return a call that reads the frames of `path`."""
    if name == "ffmpeg":
        return partial(_decode_all, path)
    shape = partial(to_pixels, preprocessing=Preprocessing(224, 224))
    threads = 1 if name == "one thread" else usable_cores()

    def call() -> list[float]:
        frames = read_frames(path, COUNT, shape, threads=threads).frames
        return [float(frame.mean()) for frame in frames]

    return call


def _decode_all(path: str) -> list[float]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        return [float(sum(1 for _ in container.decode(stream)))]


def compare(contenders: dict[str, tuple[str, Path]], calls: int) -> dict[str, Any]:
    """Time the contenders, each a way of reading and a file; the first is the reference."""
    script = [sys.executable, str(Path(__file__).resolve()), "--contender"]
    commands = {name: [*script, way, str(path)] for name, (way, path) in contenders.items()}
    found = interleave(commands, calls)
    for measured in found.values():
        measured.pop("answer")
    return found


def main() -> None:
    """Make the files, measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, action="append", default=[], help="a file of yours")
    parser.add_argument("--calls", type=int, default=15)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--contender", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        serve(lambda: contender(*arguments.contender))
        return
    ways, calls = ("ffmpeg", "ours", "one thread"), arguments.calls
    with tempfile.TemporaryDirectory() as folder:
        minute = make(Path(folder) / "minute.mp4", 60, gop=2 * RATE)
        hour = repeat(minute, Path(folder) / "hour.mp4", 60)
        one_key = make(Path(folder) / "one_key.mp4", 60, gop=100_000)
        clips = {
            "3 s": make(Path(folder) / "3s.mp4", 3, gop=250),
            "20 s": make(Path(folder) / "20s.mp4", 20, gop=3 * RATE),
            "a minute, one keyframe": one_key,
        } | {clip.name: clip for clip in arguments.clip}
        result = {
            "what": f"reading {COUNT} frames, from the file to pixels of 224 x 224",
            "files": f"{WIDTH} x {HEIGHT}, {RATE} frames a second, H.264",
            "machine": describe(("trml-rt", "av", "pillow", "numpy")),
            "clips": {
                name: compare({way: (way, path) for way in ways}, calls)
                for name, path in clips.items()
            },
            "an hour against a minute": compare(
                {"minute": ("ours", minute), "hour": ("ours", hour)}, calls
            ),
        }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
