from __future__ import annotations

import errno
import os
import sqlite3
import threading

import numpy as np
import pytest

from trml_export.features.store import Failure, FeatureStore, Stored
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit

ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)


def _store(folder, **items) -> FeatureStore:
    store = FeatureStore(folder, 4)
    with store.writing():
        store.add(items)
    return store


def test_vectors_are_a_map_of_the_file_that_nobody_can_write(tmp_path):
    vectors = _store(tmp_path, key=Stored(ROWS)).vectors()
    assert isinstance(vectors, np.memmap)
    assert not vectors.flags.writeable


def test_what_is_kept_is_found_by_another_store(tmp_path):
    _store(tmp_path, a=Stored(ROWS), b=Stored(ROWS + 9, incomplete=True, seconds=1.5))
    store = FeatureStore(tmp_path, 4)
    entries = store.find(["b", "a", "c"])
    assert sorted(entries) == ["a", "b"]
    entry = entries["b"]
    assert (entry.incomplete, entry.seconds, entry.failure) == (True, 1.5, None)
    rows = store.vectors()[entry.start : entry.start + entry.count]
    assert np.array_equal(rows, ROWS + 9)


def test_a_failure_is_kept_like_a_vector(tmp_path):
    failure = Failure("undecodable", "is no video")
    _store(tmp_path, a=Stored(ROWS[:0], failure=failure))
    assert FeatureStore(tmp_path, 4).find(["a"])["a"].failure == failure


def test_more_keys_than_one_query_takes_are_found(tmp_path):
    _store(tmp_path, **{f"k{i}": Stored(ROWS[:1] + i) for i in range(1200)})
    store = FeatureStore(tmp_path, 4)
    entries = store.find([f"k{i}" for i in range(1200)])
    starts = [entries[f"k{i}"].start for i in range(1200)]
    assert np.array_equal(store.vectors()[starts, 0], np.arange(1200, dtype=np.float32))


def test_rows_that_no_transaction_named_are_written_over(tmp_path):
    store = _store(tmp_path, a=Stored(ROWS))
    with (tmp_path / "vectors.f32").open("ab") as file:
        file.write(b"left by a kill")
    with store.writing():
        store.add({"b": Stored(ROWS + 1)})
    assert np.array_equal(store.vectors(), np.concatenate([ROWS, ROWS + 1]))


def test_all_of_one_call_is_kept_or_nothing(tmp_path):
    store = _store(tmp_path, a=Stored(ROWS))
    with store.writing(), pytest.raises(ValueError, match="dimension"):
        store.add({"b": Stored(ROWS), "c": Stored(np.zeros((1, 3), np.float32))})
    assert sorted(store.find(["a", "b", "c"])) == ["a"]


def test_a_second_writer_waits_for_the_first_and_says_so(tmp_path, caplog):
    store, order = FeatureStore(tmp_path, 4), []

    def second() -> None:
        with FeatureStore(tmp_path, 4).writing():
            order.append("second")

    with store.writing():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert caplog.messages == [f"{tmp_path}: another process fills this cache; waiting for it"]


def test_a_vector_file_that_ends_early_names_the_folder_to_delete(tmp_path):
    store = _store(tmp_path, a=Stored(ROWS))
    (tmp_path / "vectors.f32").write_bytes(b"short")
    with pytest.raises(ArtefactMismatch, match=f"{tmp_path}: .*delete it"):
        store.vectors()


def test_a_damaged_index_names_the_folder_to_delete(tmp_path):
    _store(tmp_path, a=Stored(ROWS))
    (tmp_path / "index.sqlite").write_bytes(b"no index" * 100)
    with pytest.raises(ArtefactMismatch, match=f"{tmp_path}: .*delete it"):
        FeatureStore(tmp_path, 4)


def test_a_store_of_another_schema_is_refused(tmp_path):
    _store(tmp_path, a=Stored(ROWS))
    with sqlite3.connect(tmp_path / "index.sqlite") as index:
        index.execute("PRAGMA user_version = 1")
    index.close()
    with pytest.raises(ArtefactMismatch, match="schema is 1"):
        FeatureStore(tmp_path, 4)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(tmp_path, place):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        EnvironmentUnfit, match=f"^{tmp_path / place}: cannot be written .*--cache$"
    ):
        FeatureStore(tmp_path / place, 4)


@pytest.mark.parametrize("name", ["index.sqlite", "vectors.f32", ".lock"])
def test_a_file_of_the_store_that_cannot_be_opened_is_no_traceback(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(EnvironmentUnfit, match=f"^{tmp_path}: cannot be written .*--cache$"):
        _store(tmp_path, a=Stored(ROWS))


def test_on_a_full_disk_nothing_is_kept_and_space_is_asked_for(tmp_path, monkeypatch):
    store = _store(tmp_path, a=Stored(ROWS))

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, store.writing():
        patch.setattr(os, "fsync", full)
        with pytest.raises(EnvironmentUnfit, match=f"^{tmp_path}: .*free some space"):
            store.add({"b": Stored(ROWS)})
    assert sorted(store.find(["a", "b"])) == ["a"]
