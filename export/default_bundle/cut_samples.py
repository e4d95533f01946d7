"""Cut the two clips of samples/ out of the Pexels clip of the shared data.

    python cut_samples.py --clip DATA/samples/WolfgangLanger_Pexels.mp4 --out samples/

The sound is left out. Times are those of the shared clip, in seconds.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av

CUTS = {"upset.mp4": (2.5, 5.5), "smiling.mp4": (13.0, 16.0)}


def cut(source: Path, target: Path, start: float, end: float) -> None:
    """Write the part of `source` from `start` to `end` as H.264."""
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        stream = container.streams.video[0]
        rate = stream.average_rate or Fraction(24)
        video = output.add_stream("libx264", rate=rate, options={"crf": "25", "preset": "slow"})
        video.width, video.height, video.pix_fmt = stream.width, stream.height, "yuv420p"
        video.codec_context.time_base = 1 / rate
        number = 0
        for frame in container.decode(stream):
            if start <= frame.time < end:
                frame.pts, frame.time_base, frame.pict_type = number, 1 / rate, 0
                output.mux(video.encode(frame))
                number += 1
        output.mux(video.encode(None))


def main() -> None:
    """Cut both clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    for name, (start, end) in CUTS.items():
        cut(arguments.clip, arguments.out / name, start, end)


if __name__ == "__main__":
    main()
