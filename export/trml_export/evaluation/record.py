"""Hold the result of an evaluation, and bring it into the forms that people and programs read."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trml_export.config import Config, parse_recorded
from trml_export.evaluation.collapse import control_remarks
from trml_export.evaluation.confidence import confidence_table
from trml_export.evaluation.masks import CASES
from trml_export.evaluation.metrics import main_metric
from trml_export.evaluation.statistic import Statistic, table

__all__ = ["Evaluation"]

_NOT_METRICS = {"case", "kind", "rate", "samples", "interval"}
_COLUMNS = ("as_is", "random_0.0", "video_missing_1.0", "text_missing_1.0", "random_0.3")
_TITLES = {
    "as_is": "as it is",
    "random_0.0": "text + video",
    "video_missing_1.0": "text",
    "text_missing_1.0": "video",
    "random_0.3": "random 0.3",
}
_RETRIEVAL = {
    "recall_1": "recall at 1",
    "recall_5": "recall at 5",
    "same_target_1": "first is of the same class or score",
}


@dataclass(frozen=True)
class Evaluation:
    """All that was measured of one subject on one split.

    `subject` says what was evaluated, `data` on which samples, and `problems` which inputs
    were unusable. `floors` are the metrics of answers that look at no input, over all samples
    and over the complete ones. A run is a record with `method`, `completeness`, `seed`,
    `training`, `cases`, `retrieval` and, unless it is older, `lengths` and `confidence`. Where one
    model is the subject, a case has the `interval` of its main metric, two ends, and `rows` has the
    answer to each row (`rows.row_answers`), which goes into tables of its own and not into the
    JSON.
    """

    subject: dict[str, Any]
    config: Config
    data: dict[str, Any]
    problems: list[dict[str, str]]
    floors: dict[str, dict[str, dict[str, float]]]
    runs: list[dict[str, Any]]
    versions: dict[str, str]
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def statistic(
        self, method: str, completeness: float, case: str, metric: str
    ) -> Statistic | None:
        """Return `metric` over the seeds, or None where no run has it."""
        values = self.values(method, completeness, case, metric)
        return Statistic.of(values) if values else None

    def values(self, method: str, completeness: float, case: str, metric: str) -> list[float]:
        """Return `metric`, a number a seed; empty where no run has it."""
        return [
            case_of[metric]
            for run in self.runs
            if (run["method"], run["completeness"]) == (method, completeness)
            for case_of in run["cases"]
            if case_of["case"] == case and metric in case_of
        ]

    def interval(self, method: str, case: str) -> tuple[float, float] | None:
        """Return the interval of the main metric of a single model, or None where none was made."""
        ends = [
            case_of["interval"]
            for run in self.runs
            if run["method"] == method
            for case_of in run["cases"]
            if case_of["case"] == case and "interval" in case_of
        ]
        return tuple(ends[0]) if len(ends) == 1 else None

    @property
    def methods(self) -> list[str]:
        """The methods in the order of the runs."""
        return list(dict.fromkeys(run["method"] for run in self.runs))

    @property
    def completeness(self) -> list[float]:
        """The shares of complete training samples, in the order of the runs."""
        return list(dict.fromkeys(run["completeness"] for run in self.runs))

    def title(self, method: str) -> str:
        """Return the name of a method for people; a model that stands alone has its own."""
        title: str = self.subject["methods"][method] if self.of_method else self.name
        return title

    @property
    def of_method(self) -> bool:
        """Whether the subject is the method, trained here, and no finished model."""
        return bool(self.subject["kind"] == "method")

    @property
    def name(self) -> str:
        """What was evaluated, in words: the model's name, or the method's backbone."""
        if self.of_method:
            return f"TRML and controls over {self.subject['backbone']['name']}"
        engines = f", {self.subject['engines']}" if "engines" in self.subject else ""
        return f"{self.subject['name']}{engines}"

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """Return what `to_json` wrote, with floats of six digits; null becomes NaN."""
        content = json.loads(text)
        runs = content["runs"]
        for case in (case for run in runs for case in run["cases"]):
            case.update({k: math.nan for k, v in case.items() if v is None and k != "rate"})
        fields = {f.name: content[f.name] for f in dataclasses.fields(cls) if f.name in content}
        return cls(**fields | {"config": parse_recorded(content["config"])})

    def to_json(self) -> str:
        """Return the whole record as JSON, a line for each run; what is not a number is null."""
        content = {
            "schema": 1,
            "subject": self.subject,
            "config": self.config.model_dump(mode="json"),
            "data": self.data,
            "problems": self.problems,
            "floors": self.floors,
            "versions": self.versions,
            "summary": list(self.summary()),
            "runs": self.runs,
        }
        return "{\n" + ",\n".join(_member(k, v) for k, v in content.items()) + "\n}\n"

    def to_csv(self) -> str:
        """Return one line a run and case, with a column for each metric."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        metrics = self._metrics()
        head = ["method", "completeness", "seed"]
        place = ["case", "rate", "samples"]
        writer.writerow([*head, *place, *metrics])
        for run in self.runs:
            for case in run["cases"]:
                numbers = [_short(case[name]) for name in metrics]
                writer.writerow([*(run[k] for k in head), *(case[k] for k in place), *numbers])
        return file.getvalue()

    def summary(self) -> Iterator[dict[str, Any]]:
        """Yield mean and deviation over seeds for each method, completeness and case."""
        for completeness in self.completeness:
            for method in self.methods:
                for case in self._cases():
                    metrics = {
                        name: {"mean": statistic.mean, "deviation": statistic.deviation}
                        for name in self._metrics()
                        if (statistic := self.statistic(method, completeness, case, name))
                    }
                    if metrics:
                        yield {
                            "method": method,
                            "completeness": completeness,
                            "case": case,
                            **metrics,
                        }

    def to_markdown(self) -> str:
        """Return the main metric, its floors, lengths of vectors and retrieval as tables.

        There are such tables for each completeness. Below the first stand remarks on what
        collapsed, see `collapse`.
        """
        metric = main_metric(self.config)
        columns = [case for case in _COLUMNS if case in self._cases()]
        parts = []
        for completeness in self.completeness:
            trained = f", training {completeness:.0%} complete" if self.of_method else ""
            head = [metric + trained, *(_TITLES[case] for case in columns)]
            lines = [head, ["---"] * (len(columns) + 1)]
            for method in self.methods:
                statistics = [self.statistic(method, completeness, c, metric) for c in columns]
                cells = ["-" if each is None else str(each) for each in statistics]
                lines.append([self.title(method), *cells])
            if len(self.methods) > 1:
                lines.append(["**best**", *(self._best(completeness, case) for case in columns)])
            for name, floor in self.floors.items():
                parts_of = ["as_is" if case == "as_is" else "complete" for case in columns]
                cells = [f"{floor[part][metric]:.4f}" for part in parts_of]
                lines.append([f"floor: {name.replace('_', ' ')}", *cells])
            if not self.of_method:
                rows = {case["case"]: str(case["samples"]) for case in self.runs[0]["cases"]}
                lines.append(["rows", *(rows[case] for case in columns)])
            remarks = [f"Remark: {remark}." for remark in control_remarks(self, completeness)]
            parts += [table(lines), *remarks, *self._length_table(completeness)]
            parts += confidence_table(self, completeness)
            parts += self._retrieval_tables(completeness)
        return "\n\n".join(parts) + "\n"

    def _best(self, completeness: float, case: str) -> str:
        """Return the title of the method with the best mean over seeds in a case."""
        metric = main_metric(self.config)
        sign = -1 if metric == "mae" else 1
        means = {
            method: sign * statistic.mean
            for method in self.methods
            if (statistic := self.statistic(method, completeness, case, metric))
            and not math.isnan(statistic.mean)
        }
        return self.title(max(means, key=lambda method: means[method])) if means else "-"

    def _length_table(self, completeness: float) -> Iterator[str]:
        """Yield a table of the mean lengths of vectors, if any run measured them."""
        runs = [run for run in self.runs if run["completeness"] == completeness]
        kinds = list(dict.fromkeys(kind for run in runs for kind in run.get("lengths", {})))
        if not kinds:
            return
        lines = [["length of vectors", *(kind.replace("_", " ") for kind in kinds)]]
        lines.append(["---"] * (len(kinds) + 1))
        for method in self.methods:
            measured = [
                run["lengths"] for run in runs if run["method"] == method and run["lengths"]
            ]
            if measured:
                cells = [
                    str(Statistic.of([each[kind] for each in measured if kind in each]))
                    for kind in kinds
                ]
                lines.append([self.title(method), *cells])
        yield table(lines)

    def _retrieval_tables(self, completeness: float) -> Iterator[str]:
        """Yield a table for each direction in which virtual vectors were compared with real ones.

        The last row needs no vector: it names the commonest candidates, or any.
        """
        runs = [run for run in self.runs if run["completeness"] == completeness]
        for direction in dict.fromkeys(key for run in runs for key in run["retrieval"]):
            rows: dict[str, list[dict[str, float]]] = {}
            for run in runs:
                if found := run["retrieval"].get(direction):
                    rows.setdefault(run["method"], []).append(found)
            if not rows:
                continue
            first = next(iter(rows.values()))[0]
            title = f"{direction.replace('_', ' ')}, {first['candidates']} candidates"
            lines = [[title, *_RETRIEVAL.values()], ["---"] * (len(_RETRIEVAL) + 1)]
            for method, found in rows.items():
                cells = [str(Statistic.of([each[key] for each in found])) for key in _RETRIEVAL]
                lines.append([self.title(method), *cells])
            floor = (first[key] for key in ("commonest_1", "commonest_5", "same_target_chance"))
            lines.append(["floor: no vector at all", *(f"{value:.4f}" for value in floor)])
            yield table(lines)

    def _cases(self) -> list[str]:
        order = ["as_is", *(case.name for case in CASES)]
        names = {case["case"] for run in self.runs for case in run["cases"]}
        return [case for case in order if case in names]

    def _metrics(self) -> list[str]:
        case = self.runs[0]["cases"][0]
        return [name for name in case if name not in _NOT_METRICS]


def _member(key: str, value: Any) -> str:
    """Return one member of the JSON object; a list gets a line for each item."""
    if isinstance(value, list) and value:
        return f'"{key}": [\n' + ",\n".join(_json(each) for each in value) + "\n]"
    return f'"{key}": {_json(value)}'


def _json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return `value` with floats of six digits, and None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return None if math.isnan(value) else _short(value)
    return value


def _short(value: float) -> float:
    return float(f"{value:.6g}")
