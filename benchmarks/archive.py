"""Answer on an archive of short clips: clips a second, against a plain script.

    python benchmarks/archive.py --bundle build/vit_b32 --out benchmarks/results/archive.json
        [--clips 1000] [--engines "openvino int8"]

The bundle is one of `random_bundle.py`. The clips are cut from `samples/`, each at another moment,
2 seconds of 320 x 180, and no two are equal. `plain` is a script as its users write it: eager
open_clip with decord, one clip after another. Of this runtime there are three ways for the portable
graphs and for each of ENGINES: `one` calls `infer` one clip after another, `batches` gives
`infer_batch` 32 clips at a time, and `callers` has two threads of `load(callers=2)`. Each contender
runs in a process of its own. A round is a tenth of the archive, and rounds alternate between them.
The scores of each are held to those of the first way of this runtime. That open_clip sees the same
frames is shown by `file_to_answer.py`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np

import trml_rt
from trml_rt.bundle.folder import Bundle, open_bundle
from trml_rt.cli.bench_worker import serve
from trml_rt.proof.interleave import interleave

sys.path.insert(0, str(Path(__file__).parent))
from file_to_answer import open_clip
from machine import describe, report

SAMPLES = Path(__file__).parents[1] / "samples"
SECONDS, SIZE, RATE = 2, (320, 180), 24
ROUNDS, WARM = 10, 4  # WARM: clips of a call that is not timed
BATCH, CALLERS = 32, 2
WAYS = ("one", "batches", "callers")


def make(folder: Path, number: int) -> None:
    """Write `number` clips into `folder`: windows of the samples, some mirrored, some darker."""
    pictures = []
    for sample in sorted(SAMPLES.glob("*.mp4")):
        with av.open(str(sample)) as container:
            shown = (f.reformat(*SIZE, "rgb24").to_ndarray() for f in container.decode(video=0))
            pictures.append(list(shown))
    length = SECONDS * RATE
    for index in range(number):
        frames = pictures[index % len(pictures)]
        rest = index // len(pictures)
        start = rest % (len(frames) - length)
        shade, mirrored = divmod(rest // (len(frames) - length), 2)
        with av.open(str(folder / f"{index:04}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
            stream.width, stream.height = SIZE
            stream.pix_fmt = "yuv420p"
            for picture in frames[start : start + length]:
                turned = picture[:, ::-1] if mirrored else picture
                dark = np.ascontiguousarray((turned * (1 - 0.02 * shade)).astype(np.uint8))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(dark, format="rgb24")))
            container.mux(stream.encode())


def rounds_of(folder: Path) -> Iterator[list[Path]]:
    """Yield the clips of each call: twice a few to begin with, then the archive in rounds."""
    clips = sorted(folder.glob("*.mp4"))
    size = len(clips) // ROUNDS
    yield clips[:WARM]
    yield clips[:WARM]
    yield from (clips[place : place + size] for place in range(0, size * ROUNDS, size))


def contend(name: str, bundle: Bundle, clips: Path) -> Callable[[], list[float]]:
    """Return a call of one contender, which takes the next round and gives its scores."""
    answer = plain(bundle) if name == "plain" else runtime(bundle, *name.split())
    rounds = rounds_of(clips)
    return lambda: answer(next(rounds))


def plain(bundle: Bundle) -> Callable[[list[Path]], list[float]]:
    """Return open_clip as `file_to_answer.py` has it, one clip after another; it has no scores."""
    encode = open_clip(bundle, "decord", compiled=False)

    def answer(clips: list[Path]) -> list[float]:
        for clip in clips:
            encode({"video": str(clip)})
        return []

    return answer


def runtime(
    bundle: Bundle, way: str, backend: str, precision: str
) -> Callable[[list[Path]], list[float]]:
    """Return one way of this runtime through a list of clips."""
    rt = trml_rt.load(
        bundle,
        backend=backend,
        precision=None if precision == "portable" else precision,  # type: ignore[arg-type]
        callers=CALLERS if way == "callers" else 1,
    )
    pool = ThreadPoolExecutor(CALLERS)

    def one(clip: Path) -> float:
        return rt.infer(video=clip).score

    def answer(clips: list[Path]) -> list[float]:
        if way == "one":
            return [one(clip) for clip in clips]
        if way == "callers":
            return list(pool.map(one, clips))
        parts = [clips[place : place + BATCH] for place in range(0, len(clips), BATCH)]
        samples = ([{"video": clip} for clip in part] for part in parts)
        return [each.score for part in samples for each in rt.infer_batch(part)]

    return answer


def main() -> None:
    """Make the archive, measure, print and write the result; or serve as one contender."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument(
        "--engines", action="append", help='such as "openvino int8", beside the portable graphs'
    )
    parser.add_argument("--only", action="append", help="contenders to run; the first is named too")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--archive", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clips < ROUNDS:
        parser.error(f"--clips: give {ROUNDS} at least, one for each round")
    bundle = open_bundle(arguments.bundle)
    if arguments.contender:
        serve(lambda: contend(arguments.contender, bundle, arguments.archive))
        return
    engines = ["onnxruntime portable", *(arguments.engines or [])]
    ways = [" ".join(pair) for pair in itertools.product(WAYS, engines)]
    names = arguments.only or ["plain", *ways]
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), arguments.clips)
        script = [sys.executable, str(Path(__file__).resolve()), "--bundle", str(bundle.folder)]
        commands = {name: [*script, "--archive", folder, "--contender", name] for name in names}
        found = interleave(commands, ROUNDS, warm_up=1)
    answers = {name: np.array(measured.pop("answer")) for name, measured in found.items()}
    ours = [name for name in names if name != "plain"]
    for name in ours:
        difference = np.abs(answers[name] - answers[ours[0]]).max()
        found[name]["score_difference"] = float(difference)
    in_a_round = arguments.clips // ROUNDS
    for measured in found.values():
        measured["clips_a_second"] = round(in_a_round / measured["p50_ms"] * 1e3, 2)
    result: dict[str, Any] = {
        "what": "clips a second of an archive of short clips; calls are rounds of a tenth of it, "
        "speed_up is the median over rounds against the first contender",
        "bundle": bundle.manifest.name,
        "bundle_sha256": bundle.sha256,
        "clips": arguments.clips,
        "clips_in_a_round": in_a_round,
        "clip": f"{SECONDS} s of {SIZE[0]} x {SIZE[1]}",
        "load_average_at_end": Path("/proc/loadavg").read_text().split()[:3],
        "machine": describe(("torch", "open_clip_torch", "onnxruntime", "openvino", "trml-rt")),
        "contenders": found,
    }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
