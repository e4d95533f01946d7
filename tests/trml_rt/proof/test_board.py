"""What a board tells is read from a made tree; no machine of ours has these files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from trml_rt.proof.board import Board

ZONE = "class/powercap/intel-rapl:0"
CPU = "devices/system/cpu/cpu0"
MONITOR = "class/hwmon/hwmon3"


def write(root: Path, **files: object) -> None:
    """Write files by their paths below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def rapl(root: Path, microjoules: int, zone: str = ZONE, name: str = "package-0") -> None:
    named = {"name": name, "energy_uj": microjoules, "max_energy_range_uj": 1_000_000}
    write(root, **{f"{zone}/{file}": content for file, content in named.items()})


def rail(root: Path, channel: int, label: str, millivolts: int, milliamperes: int) -> None:
    write(
        root,
        **{
            f"{MONITOR}/name": "ina3221",
            f"{MONITOR}/in{channel}_label": label,
            f"{MONITOR}/in{channel}_input": millivolts,
            f"{MONITOR}/curr{channel}_input": milliamperes,
        },
    )


def test_a_machine_that_tells_nothing_says_so(tmp_path):
    with Board(tmp_path) as board:
        assert board.joules() is None
    assert board.report() == {
        **{"energy": None, "energy_unknown": "this machine shows neither RAPL nor an INA3221"},
        **{"clock_mhz": None, "throttled": None, "temperature_c": None, "warnings": []},
    }


def test_rapl_counts_packages_alone_and_on_where_a_counter_begins_anew(tmp_path):
    rapl(tmp_path, 900_000)
    rapl(tmp_path, 0, "class/powercap/intel-rapl:1", "package-1")
    rapl(tmp_path, 0, f"{ZONE}:0", "core")
    rapl(tmp_path, 0, "class/powercap/intel-rapl-mmio:0")
    board = Board(tmp_path)
    assert board.report()["energy"] == "RAPL package-0 + package-1"
    rapl(tmp_path, 950_000)
    rapl(tmp_path, 500_000, f"{ZONE}:0", "core")
    rapl(tmp_path, 500_000, "class/powercap/intel-rapl-mmio:0")
    assert board.joules() == pytest.approx(0.05)
    rapl(tmp_path, 150_000)
    rapl(tmp_path, 300_000, "class/powercap/intel-rapl:1", "package-1")
    assert board.joules() == pytest.approx(0.05 + 0.2 + 0.3)


def test_counters_that_this_user_may_not_read_are_said(tmp_path, monkeypatch):
    rapl(tmp_path, 0)
    real = Path.read_text

    def read(path: Path, *given: object, **named: object) -> str:  # root may read any mode
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *given, **named)

    monkeypatch.setattr(Path, "read_text", read)
    board = Board(tmp_path)
    assert board.joules() is None
    path = tmp_path / ZONE / "energy_uj"
    assert board.report()["energy_unknown"] == f"{path} may not be read by this user; run as root"


def test_a_counter_that_goes_away_leaves_energy_unknown(tmp_path):
    rapl(tmp_path, 0)
    board = Board(tmp_path)
    (tmp_path / ZONE / "energy_uj").unlink()
    assert board.joules() is None
    assert board.report()["energy"] is None
    assert board.report()["energy_unknown"].startswith("RAPL package-0 failed meanwhile (")


def test_the_power_of_a_jetson_is_its_mean_between_samples_times_the_seconds(tmp_path):
    times = iter([0.0, 2.0, 3.0])
    rail(tmp_path, 1, "VDD_GPU_SOC", 5000, 1000)
    rail(tmp_path, 2, "VDD_CPU_CV", 5000, 200)
    board = Board(tmp_path, lambda: next(times))
    assert board.report()["energy"] == "INA3221 VDD_GPU_SOC + VDD_CPU_CV"
    rail(tmp_path, 1, "VDD_GPU_SOC", 5000, 2000)
    assert board.joules() == pytest.approx((6 + 11) / 2 * 2)
    assert board.joules() == pytest.approx((6 + 11) / 2 * 2 + 11)


def test_the_rail_of_the_whole_board_counts_alone(tmp_path):
    rail(tmp_path, 1, "VDD_IN", 5000, 2000)
    rail(tmp_path, 2, "VDD_CPU_GPU_CV", 5000, 1000)
    assert Board(tmp_path).report()["energy"] == "INA3221 VDD_IN"


def clock(root: Path, megahertz: int) -> None:
    write(root, **{f"{CPU}/cpufreq/scaling_cur_freq": megahertz * 1000})


@pytest.mark.parametrize(("last", "warned"), [(1780, True), (1820, False)])
def test_a_clock_that_falls_by_more_than_a_tenth_is_warned_of(tmp_path, last, warned):
    clock(tmp_path, 2000)
    write(tmp_path, **{"devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": 800_000})
    board = Board(tmp_path)
    for megahertz in [2000] * 5 + [last] * 6:
        clock(tmp_path, megahertz)
        board.look()
    report = board.report()
    assert report["clock_mhz"] == {"first": 2000, "last": last}
    assert [w for w in report["warnings"] if f"fell from 2000 to {last} MHz" in w] == (
        report["warnings"]
    )
    assert bool(report["warnings"]) == warned


def test_a_throttle_count_that_rose_is_warned_of(tmp_path):
    write(tmp_path, **{f"{CPU}/thermal_throttle/core_throttle_count": 7})
    board = Board(tmp_path)
    assert board.report()["throttled"] == 0
    assert board.report()["warnings"] == []
    write(tmp_path, **{f"{CPU}/thermal_throttle/core_throttle_count": 10})
    assert board.report()["throttled"] == 3
    assert "throttled 3 times" in board.report()["warnings"][0]


def test_the_highest_temperature_is_told_with_its_sensor(tmp_path):
    write(tmp_path, **{"class/hwmon/hwmon0/name": "coretemp"})
    write(tmp_path, **{"class/hwmon/hwmon0/temp1_input": 61_500})
    write(tmp_path, **{"class/thermal/thermal_zone0/type": "gpu-thermal"})
    write(tmp_path, **{"class/thermal/thermal_zone0/temp": 48_000})
    write(tmp_path, **{"class/thermal/thermal_zone1/temp": ""})  # a sensor that is off
    board = Board(tmp_path)
    write(tmp_path, **{"class/hwmon/hwmon0/temp1_input": 40_000})
    board.look()
    assert board.report()["temperature_c"] == {"highest": 61.5, "sensor": "coretemp"}


def test_power_is_sampled_while_the_board_is_watched_and_not_after(tmp_path, monkeypatch):
    rail(tmp_path, 1, "VDD_IN", 5000, 2000)
    monkeypatch.setattr("trml_rt.proof.board._Power.period", 0.001)
    ticks = []

    def now() -> float:
        ticks.append(time.monotonic())
        return ticks[-1]

    with Board(tmp_path, now):
        deadline = time.monotonic() + 20
        while len(ticks) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert len(ticks) >= 4
    after = len(ticks)
    time.sleep(0.01)
    assert len(ticks) == after
