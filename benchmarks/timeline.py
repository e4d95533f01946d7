"""Make timelines of videos of several lengths: time grows with the length, memory does not.

    python benchmarks/timeline.py --out benchmarks/results/timeline.json [--minutes 60]

The videos are a sample clip over and over: a minute, a quarter and all of `--minutes` long, with a
subtitle of 3 s every 5 s. Each timeline is made in a process of its own, which tells the most
memory that it held, and the time: by the clock, and of all cores together. It ends with exit code
1 where a further minute takes over 1.25 times as much time of the cores in the longest as in the
middle one, or where the longest takes over 5 % more memory than a minute does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, report

import trml_rt
from trml_rt.bundle.folder import default_bundle

CLIP = Path(__file__).parents[1] / "samples" / "smiling.mp4"
SLOWER, LARGER = 1.25, 1.05  # times as much: time for a further minute, and memory


def make_video(path: Path, seconds: float) -> None:
    """Write the sample clip over and over, about `seconds` long, without encoding it again."""
    with av.open(str(CLIP)) as clip, av.open(str(path), "w") as out:
        shown = clip.streams.video[0]
        copy = out.add_stream_from_template(shown)
        packets = [
            (bytes(packet), packet.pts, packet.dts, packet.duration, packet.is_keyframe)
            for packet in clip.demux(shown)
            if packet.dts is not None
        ]
        length = shown.duration
        assert length is not None
        assert shown.time_base is not None
        for turn in range(max(1, round(seconds / float(length * shown.time_base)))):
            for content, pts, dts, duration, is_keyframe in packets:
                packet = av.Packet(content)
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                packet.duration, packet.time_base = duration, shown.time_base
                packet.is_keyframe, packet.stream = is_keyframe, copy
                out.mux(packet)


def make_texts(path: Path, seconds: float) -> None:
    """Write a subtitle of 3 s every 5 s, as JSON lines."""
    texts = (
        {"t": t, "end": t + 3, "text": f"what a day, number {t}"} for t in range(1, int(seconds), 5)
    )
    path.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")


def one(bundle: Path, video: Path, texts: Path) -> dict[str, Any]:
    """Return what one timeline took, in this process."""
    start, cores = time.perf_counter(), time.process_time()
    found = trml_rt.timeline(video, texts, bundle)
    seconds, cores = time.perf_counter() - start, time.process_time() - cores
    page = video.with_suffix(".html")
    found.write(page, force=True)
    return {
        "seconds": round(seconds, 2),
        "core_seconds": round(cores, 2),
        "memory_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "rows": len(found.rows),
        "minutes": found.seconds / 60,
        "page_bytes": page.stat().st_size,
    }


def measure(bundle: Path, minutes: float, folder: Path) -> list[dict[str, Any]]:
    """Return a row a length: seconds and memory."""
    rows = []
    for length in (1.0, minutes / 4, minutes):
        video = folder / "v.mp4"
        make_video(video, 60 * length)
        make_texts(video.with_suffix(".jsonl"), 60 * length)
        command = [sys.executable, __file__, "--bundle", str(bundle), "--one", str(video)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        told = json.loads(run.stdout)
        rows.append(
            {
                "minutes": round(told["minutes"], 2),
                "rows": told["rows"],
                "seconds": told["seconds"],
                "core_seconds": told["core_seconds"],
                "memory_mib": round(told["memory_kib"] / 1024, 1),
                "page_kib": round(told["page_bytes"] / 1024, 1),
            }
        )
    return rows


def further_minute(shorter: dict[str, Any], longer: dict[str, Any]) -> float:
    """Return the seconds of the cores that each minute took which `longer` has more."""
    more = longer["core_seconds"] - shorter["core_seconds"]
    return float(more / (longer["minutes"] - shorter["minutes"]))


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--minutes", type=float, default=60.0, help="of the longest video")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        texts = arguments.one.with_suffix(".jsonl")
        print(json.dumps(one(arguments.bundle, arguments.one, texts)))
        return
    if arguments.minutes < 8:
        parser.error("--minutes must be 8 at least")
    with trml_rt.load(arguments.bundle) as rt, tempfile.TemporaryDirectory() as folder:
        rows = measure(arguments.bundle, arguments.minutes, Path(folder))
        middle, last = (further_minute(*pair) for pair in itertools.pairwise(rows))
        slower = last / middle
        larger = rows[-1]["memory_mib"] / rows[0]["memory_mib"]
        result = {
            "what": "timelines of videos of several lengths",
            "bundle": rt.bundle.manifest.name,
            "bundle_sha256": rt.bundle.sha256,
            **rt.provenance,
            "lengths": rows,
            "core_seconds_a_further_minute": [round(middle, 3), round(last, 3)],
            "time_of_a_further_minute_longest_to_middle": round(slower, 3),
            "memory_longest_to_shortest": round(larger, 3),
            "load_average": round(os.getloadavg()[0], 1),
            "passed": slower <= SLOWER and larger <= LARGER,
            "machine": describe(("trml-rt", "onnxruntime", "pillow", "numpy", "av")),
        }
    report(result, arguments.out)
    sys.exit(0 if result["passed"] else 1)


if __name__ == "__main__":
    main()
