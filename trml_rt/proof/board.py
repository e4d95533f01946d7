"""What the board tells while calls are timed: energy, clocks, throttling and temperatures.

All of it is read from /sys. Energy comes from the counters of RAPL, which count processor packages,
or from the INA3221 of a Jetson, whose power is sampled. Each counts what every process draws.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Board"]

_LOOK = 0.5  # seconds between looks at clocks and temperatures
_SAMPLE = 0.02  # seconds between samples of power
_FALL = 0.9
_LEAST_LOOKS = 8  # fewer say nothing of a clock
_WHOLE_BOARD = ("VDD_IN", "5V_IN", "POM_5V_IN")  # rails of an INA3221 that hold all others
_CPUS = "devices/system/cpu/cpu[0-9]*"


class _Energy(Protocol):
    """A source of energy: its name, how often it wants to be read, and joules so far."""

    name: str
    period: float

    def joules(self) -> float: ...


class _Rapl:
    """Counters of processor packages, in microjoules, which begin anew at their end."""

    period = _LOOK

    def __init__(self, zones: Sequence[Path]) -> None:
        self.name = "RAPL " + " + ".join(_text(zone / "name") for zone in zones)
        self._zones = {
            zone / "energy_uj": int(_text(zone / "max_energy_range_uj")) for zone in zones
        }
        self._last = {path: int(_text(path)) for path in self._zones}
        self._microjoules = 0

    def joules(self) -> float:
        for path, largest in self._zones.items():
            now = int(_text(path))
            step = now - self._last[path]
            self._microjoules += step if step >= 0 else step + largest
            self._last[path] = now
        return self._microjoules / 1e6


class _Power:
    """Rails of an INA3221: millivolts times milliamperes, between two samples their mean."""

    period = _SAMPLE

    def __init__(self, rails: dict[str, tuple[Path, Path]], now: Callable[[], float]) -> None:
        self.name = "INA3221 " + " + ".join(rails)
        self._rails, self._now = rails.values(), now
        self._joules = 0.0
        self._last = (now(), self._watts())

    def joules(self) -> float:
        sample = (self._now(), self._watts())
        self._joules += (sample[0] - self._last[0]) * (sample[1] + self._last[1]) / 2
        self._last = sample
        return self._joules

    def _watts(self) -> float:
        return sum(int(_text(volts)) * int(_text(amperes)) for volts, amperes in self._rails) / 1e6


class Board:
    """Watches the board from entering to leaving; use it as a context manager.

    Args:
        root: the folder that is /sys.
        now: seconds, as `time.monotonic` gives them.
    """

    def __init__(
        self, root: Path = Path("/sys"), now: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._clocks: list[float] = []
        self._temperatures: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._throttled = self._counts()
        self._energy, self._unknown = self._source(now)
        self.look()

    def __enter__(self) -> Board:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def joules(self) -> float | None:
        """Return the energy that was drawn so far, in joules; None where nothing tells it."""
        with self._lock:
            energy = self._energy
            if energy is None:
                return None
            try:
                return energy.joules()
            except (OSError, ValueError) as error:
                self._energy, self._unknown = None, f"{energy.name} failed meanwhile ({error})"
                return None

    def look(self) -> None:
        """Note the clock of the fastest core, and the highest temperature."""
        clocks = [
            clock
            for path in self._root.glob(f"{_CPUS}/cpufreq/scaling_cur_freq")
            if (clock := _number(path)) is not None
        ]
        self._clocks += [max(clocks) / 1e3] if clocks else []
        sensors = [
            (degrees / 1e3, _name_of(path))
            for pattern in ("class/hwmon/hwmon*/temp*_input", "class/thermal/thermal_zone*/temp")
            for path in sorted(self._root.glob(pattern))
            if (degrees := _number(path)) is not None
        ]
        self._temperatures += [max(sensors)] if sensors else []

    def report(self) -> dict[str, Any]:
        """Return what was seen, JSON-ready; None stands for what nothing here tells.

        `energy` names the source, else `energy_unknown` says why there is none. `clock_mhz` has
        the `first` and the `last` clock, medians of a quarter of the time. `throttled` is by how
        much the counter of a core or package rose that rose most. `temperature_c` has the
        `highest`, and its `sensor`. `warnings` says what makes times doubtful.
        """
        clock = throttled = None
        warnings = []
        if len(self._clocks) >= _LEAST_LOOKS:
            quarter = len(self._clocks) // 4
            first = statistics.median(self._clocks[:quarter])
            last = statistics.median(self._clocks[-quarter:])
            clock = {"first": round(first), "last": round(last)}
            if last < _FALL * first:
                warnings.append(
                    f"the clock fell from {first:.0f} to {last:.0f} MHz while calls were timed; "
                    "cool the board, or fix its clocks, and time again"
                )
        if self._throttled:
            counts = self._counts()
            rises = (counts.get(path, count) - count for path, count in self._throttled.items())
            throttled = max(0, *rises)
            if throttled:
                warnings.append(
                    f"the processor was throttled {throttled} times for its heat while calls were "
                    "timed; cool it, and time again"
                )
        hottest = max(self._temperatures, default=None)
        return {
            "energy": None if self._energy is None else self._energy.name,
            "energy_unknown": self._unknown,
            "clock_mhz": clock,
            "throttled": throttled,
            "temperature_c": hottest and {"highest": hottest[0], "sensor": hottest[1]},
            "warnings": warnings,
        }

    def _watch(self) -> None:
        period = _LOOK if self._energy is None else self._energy.period
        due = time.monotonic() + _LOOK
        while not self._ended.wait(period):
            self.joules()  # so that no counter begins anew twice unseen, and power is sampled
            if time.monotonic() >= due:
                self.look()
                due = time.monotonic() + _LOOK

    def _counts(self) -> dict[Path, int]:
        paths = self._root.glob(f"{_CPUS}/thermal_throttle/*_throttle_count")
        return {path: count for path in paths if (count := _number(path)) is not None}

    def _source(self, now: Callable[[], float]) -> tuple[_Energy | None, str | None]:
        """Return what tells energy here, else why nothing does."""
        zones = [
            path.parent
            for path in sorted(self._root.glob("class/powercap/intel-rapl:*/name"))
            if (_readable(path) or "").startswith("package")
        ]
        rails = self._rails()
        try:
            if zones:
                return _Rapl(zones), None
            if rails:
                return _Power(rails, now), None
        except PermissionError as error:
            return None, f"{error.filename} may not be read by this user; run as root"
        except (OSError, ValueError) as error:
            return None, f"{'RAPL' if zones else 'INA3221'} cannot be read ({error})"
        return None, "this machine shows neither RAPL nor an INA3221"

    def _rails(self) -> dict[str, tuple[Path, Path]]:
        """Return voltage and current of each rail, of the one alone that holds all others."""
        rails = {}
        for folder in sorted(self._root.glob("class/hwmon/hwmon*")):
            if _readable(folder / "name") != "ina3221":
                continue
            for channel in (1, 2, 3):
                files = (folder / f"in{channel}_input", folder / f"curr{channel}_input")
                if all(file.exists() for file in files):
                    label = _readable(folder / f"in{channel}_label")
                    rails[label or f"{folder.name} channel {channel}"] = files
        whole = [name for name in _WHOLE_BOARD if name in rails]
        return {name: rails[name] for name in whole[:1] or rails}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _readable(path: Path) -> str | None:
    """Return what the file says; None where it cannot be read."""
    try:
        return _text(path)
    except OSError:
        return None


def _number(path: Path) -> int | None:
    """Return the number in the file; None where there is none, as of a sensor that is off."""
    try:
        return int(_text(path))
    except (OSError, ValueError):
        return None


def _name_of(sensor: Path) -> str:
    """Return the name of a temperature sensor as its folder has it."""
    return _readable(sensor.with_name("name")) or _readable(sensor.with_name("type")) or sensor.name
