"""The link to the bundle in service: one step forward, one back, whatever kills it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from trml_rt.errors import EnvironmentUnfit, UsageError
from trml_rt.fleet.link import ServiceLink


@pytest.fixture
def bundles(tmp_path):
    """Four folders that stand for bundles."""
    for name in "abcd":
        (tmp_path / name).mkdir()
    return [tmp_path / name for name in "abcd"]


@pytest.fixture
def link(tmp_path):
    return ServiceLink(tmp_path / "current")


def put(link, *bundles):
    for bundle in bundles:
        with link.locked():
            link.put(bundle)


def go_back(link):
    with link.locked():
        number, bundle = link.before()
        link.back(number)
    return bundle


def test_each_step_back_leads_to_what_was_in_service_before(link, bundles):
    assert link.target() is None
    put(link, *bundles[:3])
    assert link.target() == bundles[2]
    assert [go_back(link), go_back(link)] == [bundles[1], bundles[0]]
    assert link.target() == bundles[0]
    with pytest.raises(UsageError, match="no other bundle was in service before"):
        link.before()


def test_what_a_rollback_left_is_forgotten_by_the_next_deploy(link, bundles):
    put(link, *bundles[:3])
    go_back(link)
    put(link, bundles[3])
    assert link.target() == bundles[3]
    assert [go_back(link), go_back(link)] == [bundles[1], bundles[0]]


def test_a_link_made_by_hand_is_what_was_before(link, bundles):
    link.path.symlink_to(bundles[0])
    put(link, bundles[1])
    assert (link.target(), go_back(link)) == (bundles[1], bundles[0])


@pytest.mark.parametrize("leads_to", ["nowhere", "current", "other"])
def test_a_link_that_leads_nowhere_is_no_way_back(link, bundles, tmp_path, leads_to):
    link.path.symlink_to(leads_to)
    (tmp_path / "other").symlink_to("current")
    put(link, bundles[1])
    assert link.target() == bundles[1]
    with pytest.raises(UsageError, match="no other bundle was in service before"):
        link.before()


def test_a_file_where_the_numbers_belong_is_kept(tmp_path):
    (tmp_path / "current.d").touch()
    with pytest.raises(UsageError, match=r"current\.d: is no folder"):
        ServiceLink(tmp_path / "current")


def test_a_folder_that_cannot_be_written_is_told_at_once():
    with pytest.raises(EnvironmentUnfit, match="/proc/current: cannot be written"):
        ServiceLink("/proc/current")


def test_bundles_beside_the_link_move_with_it_and_others_stay(link, bundles, tmp_path):
    put(link, Path("/"), bundles[1])
    moved = Path(os.path.realpath(tmp_path)).rename(tmp_path.with_name("moved"))
    there = ServiceLink(moved / "current")
    assert (there.target(), go_back(there)) == (moved / "b", Path("/"))


@pytest.mark.parametrize("name", ["a", "file", "."])
def test_what_is_no_link_is_never_replaced(bundles, tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"is no link|names a folder"):
        ServiceLink(Path(f"{tmp_path}/{name}" if name != "." else "."))


def test_two_at_once_are_refused(link):
    other = ServiceLink(link.path).locked()
    with link.locked(), pytest.raises(EnvironmentUnfit, match="is at work"), other:
        pass


KILLED = """
    import os, signal, sys, shutil
    from pathlib import Path
    from trml_rt.fleet.link import ServiceLink

    CHANGES = {"os.symlink", "os.rename", "os.remove", "os.mkdir", "open"}
    world, verb = Path(sys.argv[1]), sys.argv[2]
    for number in range(1, 100):
        shutil.rmtree(world, ignore_errors=True)
        for name in "abcd":
            (world / name).mkdir(parents=True)
        link = ServiceLink(world / "current")
        for name in "abc":
            with link.locked():
                link.put(world / name)
        with link.locked():
            link.back(link.before()[0])  # c was in service; b is, and was after a

        child = os.fork()
        if child == 0:
            seen = 0
            def count(event, arguments):
                global seen
                seen += event in CHANGES
                if seen == number and event in CHANGES:
                    os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(count)
            with link.locked():
                if verb == "put":
                    link.put(world / "d")
                else:
                    link.back(link.before()[0])
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL)

        now = link.target().name
        before = None if now == "a" else link.before()[1].name
        new = {"put": ("d", "b"), "back": ("a", None)}[verb]
        assert (now, before) in (("b", "a"), new)
        if now != "d":
            with link.locked():
                link.put(world / "d")  # the next one completes
            assert (link.target().name, link.before()[1].name) == ("d", now)
        assert not list(world.glob(".partial-*"))
        if status == 0:
            print(number - 1)
            break
"""


@pytest.mark.parametrize(("verb", "least"), [("put", 6), ("back", 4)])
def test_a_kill_at_any_change_leaves_the_old_or_the_new_and_the_next_completes(
    tmp_path, verb, least
):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "world"), verb],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least
