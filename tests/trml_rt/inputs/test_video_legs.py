"""Legs are decoded side by side, and come back as if one thread had read the file."""

from __future__ import annotations

import threading

import pytest

from tests import media
from trml_rt.errors import InputUnusable
from trml_rt.inputs import video_file, video_legs
from trml_rt.inputs.video import read_frames
from trml_rt.inputs.video_legs import Part

EIGHT_OF_60 = [3, 11, 18, 26, 33, 41, 48, 56]


@pytest.fixture
def readers(monkeypatch):
    """Return the threads that have decoded."""
    seen: set[int] = set()
    reader = video_legs.Reader

    def noting(*arguments, **options):
        seen.add(threading.get_ident())
        return reader(*arguments, **options)

    monkeypatch.setattr(video_legs, "Reader", noting)
    return seen


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_any_number_of_threads_gives_the_same_frames(tmp_path, suffix, threads):
    path = media.write_video(tmp_path / f"a{suffix}", 60)
    clip = read_frames(path, 8, threads=threads)
    assert media.numbers_of(clip.frames) == EIGHT_OF_60
    assert not clip.incomplete


def test_one_thread_decodes_alone(tmp_path, readers):
    read_frames(media.write_video(tmp_path / "a.mp4", 60), 8, threads=1)
    assert readers == {threading.get_ident()}


def test_two_legs_are_decoded_at_once(tmp_path, monkeypatch):
    both, reader = threading.Barrier(2, timeout=20), video_legs.Reader

    def meeting(*arguments, **options):
        both.wait()
        return reader(*arguments, **options)

    monkeypatch.setattr(video_legs, "Reader", meeting)
    path = media.write_video(tmp_path / "a.mp4", 60, gop=30)
    assert media.numbers_of(read_frames(path, 8, threads=2).frames) == EIGHT_OF_60


def test_large_frames_are_decoded_by_as_many_as_memory_has_room_for(tmp_path, readers, monkeypatch):
    path = media.write_video(tmp_path / "a.mp4", 60)
    monkeypatch.setattr(video_legs, "_SHARE", (2048 << 20) // (64 * 48 * 40))
    assert media.numbers_of(read_frames(path, 8, threads=4).frames) == EIGHT_OF_60
    assert readers == {threading.get_ident()}


def test_a_shape_that_fails_ends_the_call_with_its_error(tmp_path):
    def refuse(picture):
        raise InputUnusable(f"{picture.size} is too small", reason="undecodable")

    path = media.write_video(tmp_path / "a.mp4", 60)
    with pytest.raises(InputUnusable, match=r"\(64, 48\) is too small"):
        read_frames(path, 8, refuse)


def test_an_error_of_another_thread_ends_the_call(tmp_path, monkeypatch):
    main, reader = threading.get_ident(), video_legs.Reader
    both = threading.Barrier(2, timeout=20)

    def failing(*arguments, **options):
        both.wait()
        if threading.get_ident() != main:
            raise MemoryError
        return reader(*arguments, **options)

    monkeypatch.setattr(video_legs, "Reader", failing)
    path = media.write_video(tmp_path / "a.mp4", 60, gop=30)
    with pytest.raises(Exception, match="this machine lacks memory"):
        read_frames(path, 8, threads=2)


def test_damage_in_one_leg_leaves_the_others_whole(tmp_path):
    path = media.write_video(tmp_path / "a.mp4", 60, options={"bf": "0"})
    import av

    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    place, size = places[33]
    data[place + 5 : place + size] = bytes(size - 5)
    path.write_bytes(data)
    clip = read_frames(path, 8, threads=2)
    assert clip.incomplete
    assert media.numbers_of(clip.frames[:4] + clip.frames[5:]) == EIGHT_OF_60[:4] + EIGHT_OF_60[5:]


def test_a_frame_at_the_border_of_two_legs_counts_once():
    whole: Part[str] = Part(["a", "b"], [1, 5])  # type: ignore[list-item]
    whole.add(Part(["b", "c"], [5, 9], end=10))  # type: ignore[list-item]
    assert (whole.frames, whole.times, whole.end) == (["a", "b", "c"], [1, 5, 9], 10)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_file_without_times_is_decoded_by_as_many_threads_as_are_given(
    tmp_path, monkeypatch, threads
):
    reader, counts = video_file.Reader, []

    def noting(container, stream):
        counts.append(stream.codec_context.thread_count)
        return reader(container, stream)

    monkeypatch.setattr(video_file, "Reader", noting)
    path = media.write_video(tmp_path / "a.h264", 60)
    assert media.numbers_of(read_frames(path, 8, threads=threads).frames) == EIGHT_OF_60
    assert counts == [threads]
