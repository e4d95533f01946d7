"""Make small clips at test time, in which every frame carries its own number.

The number is written as a 4 x 4 grid of black and white blocks, which survives lossy
codecs, odd sizes and scaling; `number_of` reads it back. No media file is committed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

GRID = 4
CODECS = {".webm": "libvpx-vp9", ".avi": "mpeg4"}


def numbered(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Return an RGB frame that shows `number` (below 65536) as 16 blocks."""
    rows = np.arange(height) * GRID // height
    columns = np.arange(width) * GRID // width
    bit = rows[:, None] * GRID + columns[None, :]
    grey = (number >> bit & 1).astype(np.uint8) * 255
    return np.repeat(grey[:, :, None], 3, axis=2)


def number_of(image: Image.Image) -> int:
    """Return the number that `numbered` wrote into `image`."""
    grey = np.asarray(image.convert("L"))
    height, width = grey.shape
    rows = (np.arange(GRID) * 2 + 1) * height // (2 * GRID)
    columns = (np.arange(GRID) * 2 + 1) * width // (2 * GRID)
    bits = grey[np.ix_(rows, columns)].ravel() > 127
    return sum(1 << index for index, bit in enumerate(bits) if bit)


def numbers_of(images: Iterable[Image.Image]) -> list[int]:
    """Return the number of each of `images`."""
    return [number_of(image) for image in images]


def write_video(
    path: Path,
    frames: int | Sequence[np.ndarray] = 20,
    *,
    codec: str | None = None,
    pix_fmt: str = "yuv420p",
    rate: int = 10,
    gop: int = 8,
    pts: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    colour: Mapping[str, int] | None = None,
    sound: float = 0,
) -> Path:
    """Write `frames`, pictures or how many numbered ones, to `path`.

    The suffix names the container. `pts` counts in 1 / `rate` seconds; without it the frames
    follow each other evenly from 0. `sound` adds so many seconds of silence.
    """
    pictures = [numbered(i) for i in range(frames)] if isinstance(frames, int) else list(frames)
    codec = codec or CODECS.get(path.suffix, "libx264")
    fast = {"preset": "veryfast"} if codec == "libx264" else {}
    with av.open(str(path), "w", container_options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=rate, options={**fast, **(options or {})})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.gop_size = gop
        stream.codec_context.time_base = Fraction(1, rate)
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in (colour or {}).items():
            setattr(stream.codec_context, name, value)
        silence = _add_sound(container, path.suffix) if sound else None
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = pts[index] if pts is not None else index
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if silence is not None:
            _mux_silence(container, silence, sound)
    return path


def _add_sound(container: av.container.OutputContainer, suffix: str) -> av.AudioStream:
    codec, rate = {".webm": ("libopus", 48000), ".avi": ("mp2", 16000), ".nut": ("mp2", 16000)}.get(
        suffix, ("aac", 16000)
    )
    return container.add_stream(codec, rate=rate, layout="mono")


def _mux_silence(
    container: av.container.OutputContainer, stream: av.AudioStream, seconds: float
) -> None:
    kind = stream.codec_context.format.name
    size = stream.codec_context.frame_size or 1024
    for start in range(0, int(stream.rate * seconds), size):
        samples = np.zeros((1, size), np.int16 if kind.startswith("s16") else np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format=kind, layout="mono")
        frame.sample_rate, frame.pts = stream.rate, start
        frame.time_base = Fraction(1, stream.rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_audio(path: Path, seconds: float = 0.5) -> Path:
    """Write a clip with silence and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        samples = np.zeros((1, int(16000 * seconds)), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_animation(
    path: Path, numbers: Sequence[int], milliseconds: int | Sequence[int] = 100
) -> Path:
    """Write an animated GIF, WebP or PNG of numbered frames with Pillow."""
    first, *rest = (Image.fromarray(numbered(number)) for number in numbers)
    duration = milliseconds if isinstance(milliseconds, int) else list(milliseconds)
    first.save(path, save_all=True, append_images=rest, duration=duration, loop=0)
    return path


_ASS = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, \
Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def embed_texts(
    path: Path, video: Path, texts: Sequence[tuple[int, int, str]], codec: str = "mov_text"
) -> Path:
    """Write `video` to `path`, with a track of texts: start and duration in ms, and the text."""
    with av.open(str(video)) as source, av.open(str(path), "w") as container:
        shown = container.add_stream_from_template(source.streams.video[0])
        track = container.add_stream(codec)
        track.codec_context.subtitle_header = _ASS.replace(b"\\\n", b"")
        track.codec_context.time_base = track.time_base = Fraction(1, 1000)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = shown
                container.mux(packet)
        for number, (start, duration, text) in enumerate(texts):
            content = text.encode()
            if codec == "mov_text":
                content = len(content).to_bytes(2, "big") + content
            elif codec == "ass":
                content = f"{number},0,Default,,0,0,0,,".encode() + content.replace(b"\n", b"\\N")
            packet = av.Packet(content)
            packet.pts = packet.dts = start
            packet.duration, packet.time_base, packet.stream = duration, Fraction(1, 1000), track
            container.mux(packet)
    return path


def truncate(path: Path, keep: float) -> Path:
    """Cut `path` in place, keeping the first `keep` (0..1) of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def set_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Set the display matrix of an MP4's first track: (x, y) is shown at (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    # ISO 14496-12, track header version 0: the matrix lies 40 bytes after the box's name.
    at = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
