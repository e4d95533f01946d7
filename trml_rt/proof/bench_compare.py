"""Hold what `trml-rt bench` measures against what it measured before, on the same device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trml_rt.bundle.records import parse_json
from trml_rt.errors import ArtefactMismatch

__all__ = ["SCHEMA", "Earlier"]

SCHEMA = 1
"""Of the report of `trml-rt bench`; another number means other fields."""

_ALIKE = ("bundle_sha256", "backend", "threads", "inputs")  # beside the schema and the device
_TABLES = {"batches": "rows", "callers": "callers"}
_QUARTILES = ("p25_ms", "p50_ms", "p75_ms")
_Times = tuple[float, float, float]


class Earlier:
    """An earlier report, read before anything is timed.

    Args:
        path: of the JSON that `trml-rt bench` printed or wrote.

    Raises:
        ArtefactMismatch: it cannot be read, is no such report, or one of another schema.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ArtefactMismatch(
                f"{path}: cannot be read ({error.strerror}); name a JSON of trml-rt bench"
            ) from None
        self._report = parse_json(data, str(path))
        if (schema := self._report.get("schema")) != SCHEMA:
            raise ArtefactMismatch(
                f"{path}: schema is {schema!r} there, {SCHEMA} here; another version of trml-rt "
                "wrote it, so time again with this one"
            )
        try:
            self._times = dict(_times_of(self._report))
            self._device = dict(self._report["device"])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ArtefactMismatch(
                f"{path}: is no report of trml-rt bench; name a JSON that it wrote"
            ) from None

    def refuse_other(self, here: Mapping[str, Any]) -> None:
        """Refuse a run that this report says nothing about.

        Args:
            here: `bundle_sha256`, `backend`, `threads`, `inputs` and `device` of the run.

        Raises:
            ArtefactMismatch: naming the first field that differs.
        """
        for name in _ALIKE:
            self._refuse(name, self._report.get(name), here[name])
        for name in sorted(self._device.keys() & here["device"].keys()):
            self._refuse(f"device {name}", self._device[name], here["device"][name])

    def compare(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """Return how the medians of `report` stand to the earlier ones.

        Returns:
            `earlier`, the path; `rows`, by the words for what was timed in both: `ratio`, the
            earlier median by that of now, and `verdict`, "faster" or "slower" where the middle
            halves of the times do not meet, else "same"; `in_one_alone`, what was timed in one.
        """
        now = dict(_times_of(report))
        rows = {
            name: {
                "ratio": round(self._times[name][1] / times[1], 3),
                "verdict": _verdict(self._times[name], times),
            }
            for name, times in now.items()
            if name in self._times
        }
        alone = [name for name in {**self._times, **now} if name not in rows]
        return {"earlier": str(self._path), "rows": rows, "in_one_alone": alone}

    def _refuse(self, name: str, there: object, here: object) -> None:
        if there != here:
            raise ArtefactMismatch(
                f"{self._path}: {name} is {there!r} there, {here!r} here; compare with a report of "
                "the same bundle, device and options"
            )


def _times_of(report: Mapping[str, Any]) -> Iterator[tuple[str, _Times]]:
    """Yield the quartiles of everything that was timed, by words such as "text, 8 rows, int8"."""
    for engine_set, contenders in report["engine_sets"].items():
        yield from _quartiles(engine_set, contenders)
    for field, unit in _TABLES.items():
        for engine_set, table in report[field].items():
            for number, contenders in table.items():
                yield from _quartiles(f"{engine_set}, {number} {unit}", contenders)


def _quartiles(
    of: str, contenders: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, _Times]]:
    for name, measured in contenders.items():
        low, middle, high = (float(measured[quartile]) for quartile in _QUARTILES)
        if not 0 < low <= middle <= high:
            raise ValueError(f"times of {name}")
        yield f"{of}, {name}", (low, middle, high)


def _verdict(there: _Times, here: _Times) -> str:
    if here[2] < there[0]:
        return "faster"
    return "slower" if here[0] > there[2] else "same"
