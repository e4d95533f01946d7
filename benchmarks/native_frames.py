"""What frames cost the native library before an engine sees them, beside another build of it.

    python benchmarks/native_frames.py --before OLD/libtrml_rt.so
        --out benchmarks/results/native_frames.json [--now NEW/libtrml_rt.so] [--rounds 15]

Eight frames of each size and format go through `trml_rt_infer` on the default bundle. What counts
is the stage "preprocess" of the answer: converted, resized and cropped, without any engine. Calls
of the two builds alternate. `speed_up` is the median over rounds of the time before by that now.
Scores of RGB must be the same in both builds.

`nv12` compares what the builds answer on NV12 of the sample clips with what they answer on RGB of
the same frames, made by swscale in two ways: `fast`, which is how Python's reader converts, and
`accurate`, with accurate rounding and full chroma. `levels` is how far `fast` is from `accurate`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import describe, report

from tests.native.binding import Library
from trml_rt.bundle.folder import default_bundle
from trml_rt.inputs.clip import choose_indices

ROOT = Path(__file__).parents[1]
CASES = (("rgb", 1920, 1080), ("nv12", 1920, 1080), ("rgb", 640, 360), ("nv12", 640, 360))
FRAMES = 8
SAME = 1e-6
SWS_BICUBIC, SWS_FULL_CHR_H_INT, SWS_ACCURATE_RND = 0x4, 0x2000, 0x40000  # libswscale/swscale.h


def frames_of(form: str, width: int, height: int) -> list[NDArray[np.uint8]]:
    """Return frames of noise over slopes."""
    rng = np.random.default_rng(0)
    shape = (height * 3 // 2, width) if form == "nv12" else (height, width, 3)
    slope = np.linspace(40, 200, width)[:, None] if form == "rgb" else np.linspace(40, 200, width)
    return [(slope + rng.integers(-20, 20, shape)).astype(np.uint8) for _ in range(FRAMES)]


def measure(contenders: dict[str, Any], form: str, size: tuple[int, int], rounds: int) -> Any:
    """Time one kind of frames on both builds, and compare their scores."""
    frames = frames_of(form, *size)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    scores: dict[str, float] = {}
    for round_ in range(rounds + 1):  # the first one warms up
        for name, model in contenders.items():
            answer = model.infer(frames=frames, format=form)
            scores[name] = answer["score"]
            if round_:
                times[name].append(answer["ms"]["preprocess"])
    moved = abs(scores["now"] - scores["before"])
    if form == "rgb" and moved > SAME:
        raise SystemExit(f"{form} {size}: the two builds answer otherwise, by {moved}")
    return {
        "format": form,
        "size": "x".join(map(str, size)),
        **{f"{name}_ms": round(median(values), 2) for name, values in times.items()},
        "speed_up": round(
            median(b / n for b, n in zip(times["before"], times["now"], strict=True)), 2
        ),
    }


def nv12_of_samples(contenders: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare answers on NV12 with those on RGB that swscale makes of the same frames."""
    import av
    from av.video.reformatter import VideoReformatter

    scaler = VideoReformatter()
    accurate = SWS_BICUBIC | SWS_FULL_CHR_H_INT | SWS_ACCURATE_RND
    rows = []
    for path in sorted((ROOT / "samples").glob("*.mp4")):
        with av.open(str(path)) as container:
            decoded = list(container.decode(video=0))
        decoded = [decoded[index] for index in choose_indices(len(decoded), FRAMES)]
        planes = [scaler.reformat(frame, format="nv12").to_ndarray() for frame in decoded]
        rgb = {
            "fast": [scaler.reformat(frame, format="rgb24").to_ndarray() for frame in decoded],
            "accurate": [
                scaler.reformat(frame, format="rgb24", interpolation=accurate).to_ndarray()
                for frame in decoded
            ],
        }
        score = {
            name: model.infer(frames=planes, format="nv12")["score"]
            for name, model in contenders.items()
        }
        of_rgb = {
            how: contenders["now"].infer(frames=frames)["score"] for how, frames in rgb.items()
        }
        off = np.abs(np.subtract(rgb["fast"], rgb["accurate"], dtype=np.int16)).mean()
        rows.append(
            {
                "clip": path.name,
                "levels": round(float(off), 3),
                **{
                    f"{name}_from_{how}": round(abs(score[name] - of_rgb[how]), 5)
                    for name in contenders
                    for how in rgb
                },
            }
        )
    return rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument(
        "--now", type=Path, default=ROOT / "build/native/trml_rt/native/libtrml_rt.so"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    bundle = default_bundle()
    with (
        Library(options.before).open(bundle, backend=b"openvino") as before,
        Library(options.now).open(bundle, backend=b"openvino") as now,
    ):
        contenders = {"before": before, "now": now}
        cases = [measure(contenders, form, size, options.rounds) for form, *size in CASES]
        nv12 = nv12_of_samples(contenders)
    result = {
        "what": f"{FRAMES} frames, from the caller's memory to the engine's input, milliseconds",
        "machine": describe(("numpy", "av")),
        "rounds": options.rounds,
        "cases": cases,
        "nv12": nv12,
    }
    report(result, options.out)


if __name__ == "__main__":
    main()
