"""Make small media files that cost a decoder much: memory, time, or both.

python tests/bombs.py FOLDER writes one of each, as they were tried against the runtime.
"""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image


def gif(path: Path, side: int, frames: int, full: bool = False) -> Path:
    """Write an animation of a large canvas; each frame is a point of it, or with `full` all."""
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    width = side if full else 1
    frame = b"\x21\xf9\x04\x04\x0a\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, width, width, 0)
    frame += b"\x02" + _lzw(width * width)
    path.write_bytes(head + frame * frames + b";")
    return path


def _lzw(pixels: int) -> bytes:
    """Return `pixels` zeros as GIF packs them, in as few bytes as may be."""
    if pixels == 1:
        return b"\x02\x44\x01\x00"  # clear, 0, end
    picture = io.BytesIO()
    side = round(pixels**0.5)
    Image.new("P", (side, side)).save(picture, "GIF")
    data = picture.getvalue()
    return data[data.index(b"\x08", data.index(b",") + 10) + 1 : -1]


def webp(path: Path, width: int = 16383, height: int = 16383) -> Path:
    """Write the header of a lossless WebP, and nothing of the picture."""
    bits = (width - 1) | (height - 1) << 14
    body = b"VP8L" + struct.pack("<IBI", 14, 0x2F, bits) + bytes(9)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body)
    return path


def jpeg(path: Path, side: int = 30000, progressive: bool = True) -> Path:
    """Write a small JPEG whose header claims a side of `side` pixels."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 99, 200)).save(picture, "JPEG", progressive=progressive)
    data = bytearray(picture.getvalue())
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    path.write_bytes(data)
    return path


def video(path: Path, side: int, frames: int = 12, aspect: Fraction | None = None) -> Path:
    """Write a video of large frames of one colour."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4" if side < 8000 else "png", rate=10)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p" if side < 8000 else "rgb24"
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        frame = av.VideoFrame.from_ndarray(np.zeros((side, side, 3), np.uint8), format="rgb24")
        frame = frame.reformat(format=stream.pix_fmt)
        packets = []
        for number in range(frames):
            frame.pts = number
            packets += stream.encode(frame)
        container.mux([*packets, *stream.encode(None)])
    return path


BOMBS: dict[str, Callable[[Path], Path]] = {
    "canvas.gif": lambda path: gif(path, 9000, 19),
    "slow.gif": lambda path: gif(path, 4000, 1000),
    "million.gif": lambda path: gif(path, 2, 1_000_000),
    "claims.webp": webp,
    "claims.jpg": jpeg,
    "large.mov": lambda path: video(path, 9000),
    "wide.mov": lambda path: video(path, 6000, aspect=Fraction(4)),
}

if __name__ == "__main__":
    for name, make in BOMBS.items():
        made = make(Path(sys.argv[1]) / name)
        print(f"{made}: {made.stat().st_size} bytes")
