"""What is decoded is what is needed, and it is decoded as if everything was."""

from __future__ import annotations

import av
import numpy as np
import pytest

from tests import media
from trml_rt.inputs.clip import choose_times
from trml_rt.inputs.video import read_frames
from trml_rt.inputs.video_decode import Reader
from trml_rt.inputs.video_packets import survey

COUNT = 8
# One stream for each way in which frames can lean on each other.
STREAMS = {
    "no B-frames": ("libx264", {"bf": "0"}),
    "B-frames": ("libx264", {"bf": "3"}),
    "B-frames that others need": ("libx264", {"bf": "5", "x264-params": "b-pyramid=normal:ref=4"}),
    "open groups": ("libx264", {"bf": "3", "x264-params": "open-gop=1:keyint=12:min-keyint=12"}),
    "fields": ("libx264", {"bf": "2", "flags": "+ildct+ilme"}),
    "HEVC": ("libx265", {"x265-params": "bframes=4:log-level=none:pools=1:frame-threads=1"}),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Return what writes a clip of 60 frames in which everything moves, once for each stream."""
    folder = tmp_path_factory.mktemp("clips")
    y, x = np.mgrid[:96, :160]
    pictures = [
        np.stack([(x * 3 + 5 * i) % 256, (y * 2 + x + 3 * i) % 256, (x * y + 9 * i) % 256], 2)
        for i in range(60)
    ]

    def make(name: str, suffix: str = ".mp4", gop: int = 250):
        path = folder / f"{name}{gop}{suffix}"
        if not path.exists():
            codec, options = STREAMS[name]
            frames = [picture.astype(np.uint8) for picture in pictures]
            media.write_video(path, frames, codec=codec, options=options, gop=gop)
        return path

    return make


def by_plain_decoding(path) -> list[bytes]:
    """Return the pixels that the rule chooses, of a decoder that leaves nothing out."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        frames = [
            (frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)
        ]
        start, duration = frames[0][0], stream.duration
        if duration is None:  # Matroska: in milliseconds, ten frames a second
            duration = frames[-1][0] - start + 100
    shown = [
        max(place for place, (time, _) in enumerate(frames) if time <= moment)
        for moment in choose_times(start, duration, COUNT)
    ]
    return [frames[place][1].tobytes() for place in dict.fromkeys(shown)]


@pytest.mark.parametrize("gop", [12, 250])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", STREAMS)
def test_the_pixels_are_those_of_a_decoder_that_leaves_nothing_out(clips, name, suffix, gop):
    path = clips(name, suffix, gop)
    clip = read_frames(path, COUNT)
    assert not clip.incomplete
    assert [np.asarray(frame).tobytes() for frame in clip.frames] == by_plain_decoding(path)


# Damage.


def packets(path) -> list[tuple[int, int, int, bool]]:
    """Return place, size and time of every packet of an H.264 in MP4, and whether it is needed."""
    import av

    data = path.read_bytes()
    with av.open(str(path)) as container:
        return [
            (packet.pos, packet.size, packet.pts, bool(data[packet.pos + 4] >> 5 & 3))
            for packet in container.demux(video=0)
            if packet.size
        ]


def spoil(path, target, place: int, size: int) -> None:
    """Write a copy of `path` whose packet at `place` keeps its length and kind alone."""
    data = bytearray(path.read_bytes())
    data[place + 5 : place + size] = bytes(size - 5)
    target.write_bytes(data)


def read(path, *, only_needed: bool) -> tuple[list[bytes], bool]:
    """Return the pixels of the chosen frames, and whether damage was seen."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        route = survey(container, stream, COUNT)
        assert route.legs
        reader = Reader(container, stream, only_needed=only_needed)
        frames = [frame for leg in route.legs for frame in reader.by_time(leg)]
        return [frame.to_ndarray(format="rgb24").tobytes() for frame in frames], reader.damaged


def test_a_frame_that_nobody_needs_is_not_decoded(clips, monkeypatch):
    path = clips("B-frames")
    with av.open(str(path)) as container:
        if not hasattr(container.streams.video[0].codec_context, "field_order"):
            pytest.skip("PyAV before 18.1 does not tell whether a frame is one picture")
    seen: set[int] = set()

    def time_of(frame):
        seen.add(frame.pts)
        return frame.pts

    monkeypatch.setattr("trml_rt.inputs.video_decode.time_of", time_of)
    whole = read(path, only_needed=False)
    everything = set(seen)
    seen.clear()
    assert read(path, only_needed=True) == whole
    tick = packets(path)[1][2] // 4  # the second packet is shown as the fifth frame
    shown = {number * tick for number in choose_times(0, 60, COUNT)}
    needed = {time for _, _, time, needed in packets(path) if needed}
    last = max(shown)
    assert {time for time in seen if time <= last} < {time for time in everything if time <= last}
    assert shown <= seen
    # What is known to be needless: a frame before which a later one came that is shown no later.
    assert len({time for time in seen if time <= last} - shown - needed) <= COUNT


@pytest.mark.parametrize("number", [4, 9, 20])
def test_behind_damage_every_frame_is_decoded(clips, tmp_path, number):
    path = clips("B-frames")
    places = [(place, size) for place, size, _, needed in packets(path) if needed]
    spoil(path, tmp_path / "a.mp4", *places[number])
    expected, damaged = read(tmp_path / "a.mp4", only_needed=False)
    assert damaged
    clip = read_frames(tmp_path / "a.mp4", COUNT)
    assert clip.incomplete
    assert [np.asarray(frame).tobytes() for frame in clip.frames] == expected
