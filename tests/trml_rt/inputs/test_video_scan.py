"""A reference decodes every frame of made files and chooses by the rule; `read_frames` agrees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import media
from trml_rt.inputs.clip import choose_times
from trml_rt.inputs.video import read_frames

COUNT = 8
EVEN = list(range(60))
# Screen recordings and phones in the dark: frames at 1 to 4 tenths of a second.
UNEVEN = [number + 3 * (number // 7) for number in range(60)]
TIMES = {"even": EVEN, "uneven": UNEVEN, "late": [time + 37 for time in EVEN]}

# Container, codec, and whether the container can hold uneven times.
FILES = [
    (".mp4", "libx264", True),
    (".mov", "mpeg4", True),
    (".mkv", "libx264", True),
    (".mkv", "mpeg4", True),
    (".ts", "libx264", True),
    (".ts", "mpeg2video", False),
    (".mpg", "mpeg2video", False),
    (".flv", "libx264", True),
    (".nut", "libx264", True),
    (".avi", "libx264", False),
    (".avi", "mpeg4", False),
    (".mxf", "mpeg2video", False),
    (".h264", "libx264", False),
]
NO_B_FRAMES = [
    (".webm", "libvpx-vp9", True),
    (".avi", "mjpeg", True),
    (".mkv", "ffv1", True),
    (".asf", "mpeg4", True),
    (".mkv", "libvpx", True),
    (".ivf", "libvpx-vp9", True),
]
CASES = [
    (suffix, codec, b_frames, times)
    for files, most in ((FILES, (0, 2)), (NO_B_FRAMES, (0,)))
    for suffix, codec, uneven in files
    for b_frames in most
    for times in TIMES
    if uneven or times == "even"
]


def decoded(path: Path) -> list[tuple[int, int, int]]:
    """Return time, duration and number of every frame, in the order shown, from PyAV alone."""
    import av

    with av.open(str(path)) as container:
        frames = [
            (frame.pts, frame.duration or 0, media.number_of(frame.to_image()))
            for frame in container.decode(video=0)
        ]
        stated = container.streams.video[0].duration
    if path.suffix in (".mp4", ".mov"):  # the last frame lasts until the stated end of the track
        time, _, number = frames[-1]
        frames[-1] = (time, frames[0][0] + stated - time, number)
    if path.suffix in (".avi", ".h264"):  # without times of showing; made here at an even pace
        with av.open(str(path)) as container:
            ticks = sorted(p.dts or 0 for p in container.demux(video=0) if p.size)
        if path.suffix == ".h264":
            ticks = list(range(len(frames)))
        frames = [(tick, 1, number) for tick, (_, _, number) in zip(ticks, frames, strict=True)]
    return frames


def chosen(parts: Sequence[list[tuple[int, int, int]]], count: int = COUNT) -> list[int]:
    """Choose by the rule: `parts` follow each other, each begins where the last one ended."""
    line: list[tuple[int, int]] = []
    end = 0
    for part in parts:
        start = end - part[0][0]
        line += [(start + time, number) for time, _, number in part]
        end = start + part[-1][0] + part[-1][1]
    shown = [
        max(place for place, (time, _) in enumerate(line) if time <= moment)
        for moment in choose_times(0, end, count)
    ]
    return [line[place][1] for place in dict.fromkeys(shown)]


def read(path: Path) -> list[int]:
    clip = read_frames(path, COUNT)
    assert not clip.incomplete
    return media.numbers_of(clip.frames)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return what writes a file of 60 numbered frames once."""
    folder = tmp_path_factory.mktemp("made")
    ready: dict[str, Path] = {}

    def make(suffix, codec, b_frames, times, *, gop=8, sound=0.0):
        rate = 25 if codec == "mpeg2video" else 10
        name = f"{codec}{b_frames}{times}{gop}{sound}{suffix}"
        if name not in ready:
            options = (
                {} if codec in ("libvpx-vp9", "libvpx", "mjpeg", "ffv1") else {"bf": str(b_frames)}
            )
            ready[name] = media.write_video(
                folder / name,
                60,
                codec=codec,
                pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
                rate=rate,
                gop=gop,
                pts=TIMES[times],
                options=options,
                sound=sound,
            )
        return ready[name]

    return make


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_every_container_gives_the_frames_of_the_reference(made, case):
    path = made(*case)
    frames = decoded(path)
    assert len(frames) == 60
    assert read(path) == chosen([frames])


@pytest.mark.parametrize("seconds", [6.5, 9, 12])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".flv", ".nut", ".ts", ".avi", ".webm"])
def test_longer_sound_changes_nothing(made, suffix, seconds):
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    path = made(suffix, codec, 2, "even", sound=seconds)
    assert read(path) == chosen([decoded(path)]) == [3, 11, 18, 26, 33, 41, 48, 56]


# Times that jump.


@pytest.fixture(scope="module")
def parts(made):
    """Return two transport streams of the same 60 frames: from 0 s, and from 3.7 s."""
    return [made(".ts", "libx264", 2, "even"), made(".ts", "libx264", 2, "late")]


@pytest.mark.parametrize("order", [(0, 0), (0, 1), (1, 0), (0, 0, 0), (1, 0, 1)], ids=str)
def test_recordings_joined_into_one_file_all_count(parts, tmp_path, order):
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts[number].read_bytes() for number in order))
    assert read(path) == chosen([decoded(parts[number]) for number in order])


def test_a_stream_that_begins_within_the_file_loses_nothing(made, parts, tmp_path):
    with_sound = made(".ts", "libx264", 2, "even", sound=6.5)
    path = tmp_path / "joined.ts"
    path.write_bytes(parts[0].read_bytes() + with_sound.read_bytes())
    for _ in range(5):
        assert read(path) == chosen([decoded(parts[0])] * 2)


@pytest.mark.parametrize("name", ["far", "back"])
def test_a_far_step_ahead_or_back_is_a_jump_and_no_still(tmp_path, name):
    near = media.write_video(tmp_path / "near.ts", 60)
    far = media.write_video(tmp_path / "far.ts", 60, pts=[36000 + time for time in EVEN])
    order = [near, far] if name == "far" else [far, near]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in order))
    assert read(path) == chosen([decoded(part) for part in order])


def test_segments_whose_times_begin_anew_all_count(tmp_path):
    pictures = [media.numbered(number) for number in range(80)]
    segments = [
        media.write_video(tmp_path / f"{start}.ts", pictures[start : start + 16])
        for start in range(0, 80, 16)
    ]
    path = tmp_path / "all.ts"
    path.write_bytes(b"".join(segment.read_bytes() for segment in segments))
    assert read(path) == [5, 15, 25, 35, 45, 55, 65, 75]


def test_a_long_still_within_a_recording_is_no_jump(tmp_path):
    path = media.write_video(tmp_path / "a.mkv", 11, pts=[*range(10), 400], options={"bf": "0"})
    assert read(path) == [9]


# Which stream is the video.


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_the_default_stream_counts_and_not_a_still_before_it(tmp_path, suffix):
    import av
    from av.stream import Disposition

    still = media.write_video(tmp_path / "still.mkv", [media.numbered(999)], codec="mjpeg",
                              pix_fmt="yuvj420p")  # fmt: skip
    clip = media.write_video(tmp_path / "clip.mkv", 20)
    path = tmp_path / f"two{suffix}"
    with av.open(str(still)) as one, av.open(str(clip)) as other, av.open(str(path), "w") as out:
        sources = [source.streams.video[0] for source in (one, other)]
        streams = [out.add_stream_from_template(source) for source in sources]
        streams[0].disposition, streams[1].disposition = Disposition(0), Disposition.default
        for source, target in zip((one, other), streams, strict=True):
            for packet in source.demux(video=0):
                if packet.dts is not None or packet.pts is not None:
                    packet.stream = target
                    out.mux(packet)
    assert read(path) == [1, 3, 6, 8, 11, 13, 16, 18]
