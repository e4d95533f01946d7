"""What a server counts, in the text that Prometheus reads."""

from __future__ import annotations

import bisect
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from trml_rt.answer import Answer

__all__ = ["CONTENT_TYPE", "Counter", "Histogram", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Counter:
    """A number that grows, for each combination of labels."""

    def __init__(self, name: str, words: str, labels: tuple[str, ...]) -> None:
        self._name, self._words, self._labels = name, words, labels
        self._values: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count one more, or `by`."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0.0) + by

    def lines(self) -> Iterator[str]:
        """Yield its lines."""
        with self._lock:
            values = dict(self._values)
        yield from _head(self._name, "counter", self._words)
        for labels, value in values.items():
            yield _line(self._name, zip(self._labels, labels, strict=True), value)


class Histogram:
    """How often a value was at most so large, for each value of one label."""

    def __init__(self, name: str, words: str, label: str, bounds: tuple[float, ...]) -> None:
        self._name, self._words, self._label, self._bounds = name, words, label, bounds
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, label: str, value: float) -> None:
        """Count one value."""
        with self._lock:
            counts = self._counts.setdefault(label, [0] * (len(self._bounds) + 1))
            counts[bisect.bisect_left(self._bounds, value)] += 1
            self._sums[label] = self._sums.get(label, 0.0) + value

    def lines(self) -> Iterator[str]:
        """Yield its lines."""
        with self._lock:
            copies = [
                (label, list(each), self._sums[label]) for label, each in self._counts.items()
            ]
        yield from _head(self._name, "histogram", self._words)
        for label, counts, total in copies:
            so_far = 0
            for bound, count in zip((*self._bounds, float("inf")), counts, strict=True):
                so_far += count
                upper = "+Inf" if bound == float("inf") else f"{bound:g}"
                yield _line(f"{self._name}_bucket", [(self._label, label), ("le", upper)], so_far)
            yield _line(f"{self._name}_sum", [(self._label, label)], total)
            yield _line(f"{self._name}_count", [(self._label, label)], so_far)


class Metrics:
    """All that a server counts; any thread may count."""

    def __init__(self) -> None:
        self.rows = Counter(
            "trml_rt_rows_total",
            "Rows by the engine set that answered, or none, and by outcome.",
            ("engine_set", "outcome"),
        )
        self.virtual = Counter(
            "trml_rt_virtual_total",
            "Inputs for which a virtual one stood in, by reason.",
            ("input", "reason"),
        )
        self.refused = Counter(
            "trml_rt_refused_total", "Requests and frames that were dropped, by cause.", ("cause",)
        )
        self.stages = Histogram(
            "trml_rt_stage_seconds",
            "Seconds of a row in each stage; wait is what no other one explains.",
            "stage",
            _SECONDS,
        )
        self.groups = Histogram(
            "trml_rt_group_rows", "Rows that ran together.", "engine_set", _ROWS
        )

    def answered(self, answer: Answer, seconds: float) -> None:
        """Count an answer that took so long from its request on."""
        self.rows.add(answer.engine_set, "answered")
        for name, report in answer.inputs.items():
            if report.reason is not None:
                self.virtual.add(name, str(report.reason))
        spent = {name: answer.ms.get(name, 0.0) / 1e3 for name in ("decode", "preprocess")}
        spent["engines"] = answer.ms["total"] / 1e3 - sum(spent.values())
        spent["wait"] = max(0.0, seconds - sum(spent.values()))
        for stage, value in spent.items():
            self.stages.add(stage, value)

    def text(self, gauges: Mapping[str, tuple[str, float]], info: Mapping[str, str]) -> str:
        """Return everything as text.

        Args:
            gauges: numbers of now by name, each with its words.
            info: what the server is, as labels of a number that is always 1.
        """
        lines: list[str] = []
        for each in (self.rows, self.virtual, self.refused, self.stages, self.groups):
            lines += each.lines()
        memory = {"process_resident_memory_bytes": ("Resident memory.", float(_resident()))}
        for name, (words, value) in {**gauges, **memory}.items():
            lines += [*_head(name, "gauge", words), _line(name, (), value)]
        lines += _head("trml_rt_info", "gauge", "What answers.")
        lines.append(_line("trml_rt_info", info.items(), 1))
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]


def _line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    inner = ",".join(f'{key}="{text.translate(_ESCAPED)}"' for key, text in labels)
    return f"{name}{'{' + inner + '}' if inner else ''} {value:.17g}"


def _resident() -> int:
    """Return the bytes of memory that this process holds; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
