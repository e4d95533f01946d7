"""`trml-rt bench`: how fast each engine set is in each precision, on this device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.cli.options import (
    any_path,
    as_json,
    backend_option,
    bundle_option,
    precision_choice,
    refuse_absent,
    threads_option,
    whole,
    wholes,
)
from trml_rt.cli.out_folder import check_out, force_option, out_option, write_out
from trml_rt.cli.printing import print_json, print_lines

if TYPE_CHECKING:
    from trml_rt.bench import BenchReport, Contended

__all__ = ["bench"]


@click.command(
    short_help="Time every engine set in each precision.",
    epilog="""\b
Examples:
  trml-rt bench --precision int8 --calls 100
  trml-rt bench --backend tensorrt --out timing/
  trml-rt bench --backend auto
  trml-rt bench --text t.txt --video v.mp4
  trml-rt bench --batch 1,8,32 --callers 1,2,4
  trml-rt bench --compare timing/bench.json
""",
)
@backend_option
@bundle_option
@click.option(
    "--precision",
    "precisions",
    type=precision_choice,
    multiple=True,
    help="Time these beside the portable graphs.  [default: all that are built]",
)
@click.option("--text", help="Time calls from this text, or from this file, to the answer.")
@click.option("--video", type=any_path, help="Time calls from this file to the answer.")
@click.option("--calls", type=whole("calls"), default=50, show_default=True, help="Of each.")
@click.option(
    "--batch",
    "batches",
    callback=wholes("batches"),
    metavar="N,N",
    help="Time calls of so many rows, too.",
)
@click.option(
    "--callers",
    callback=wholes("callers"),
    metavar="N,N",
    help="Time so many threads that call at once, too.",
)
@click.option("--compare", type=any_path, help="JSON of an earlier report to compare with.")
@threads_option
@out_option
@force_option
@as_json
def bench(
    precisions: tuple[str, ...],
    text: str | None,
    compare: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Time every engine set in each precision, interleaved, each in a process of its own.

    The reference is always the portable graphs on ONNX Runtime. `--backend auto` times the
    verified engines of every back end beside them. With `--text` or `--video`, calls go from the
    file to the answer; without, they get one text and frames. `--batch` and `--callers` add a
    table each.
    """
    from trml_rt.bench import bench as measure
    from trml_rt.inputs.text import text_or_file

    refuse_absent({"--compare": compare})
    check_out(out, "bench", force=force)
    words = None if text is None else text_or_file(text)
    report = measure(precisions=precisions or None, text=words, compare=compare, **arguments)
    if out is not None:
        from trml_export.plots.bench import bench_picture

        content = report.to_dict()
        write_out(out, "bench", content, bench_picture(content), force=force)
    print_json(report.to_dict()) if as_json else print_lines(_for_people(report))


def _for_people(report: BenchReport) -> list[str]:
    lines = []
    for engine_set, contenders in report.engine_sets.items():
        lines += [engine_set, *_calls_of(contenders)]
        if table := report.batches.get(engine_set):
            lines += _table(f"{engine_set}: rows a second, by rows a call", table, "rows_a_second")
        if table := report.callers.get(engine_set):
            words = f"{engine_set}: calls a second, by callers at once"
            lines += _table(words, table, "calls_a_second")
    lines += _compared(report.comparison)
    lines += _board(report.board)
    for name, widened in report.widened.items():
        lines += [f"{name}: {e} computes in FP32, since {why}" for e, why in widened.items()]
    lines.append(f"recommended: {report.recommended} ({report.because})")
    return lines


def _calls_of(contenders: Contended) -> list[str]:
    """Return what was measured of single calls, a line or two for each contender."""
    lines = []
    width = _width(contenders)
    for name, m in contenders.items():
        lines.append(
            f"  {name:{width}} p50 {m['p50_ms']:8.2f}  p90 {m['p90_ms']:8.2f}"
            f"  p99 {m['p99_ms']:8.2f} ms"
            f"  load {m['load_ms']:7.1f}  first call {m['first_call_ms']:7.1f} ms"
            f"  peak {_megabytes(m['peak_mb'])}{_joules(m)}  {m['speed_up']:.2f}x"
        )
        shares = ", ".join(f"{part} {ms:.2f}" for part, ms in m.get("shares_ms", {}).items())
        lines += [f"  {'':{width}} {shares}"] if shares else []
    return lines


def _table(title: str, table: dict[str, Contended], figure: str) -> list[str]:
    """Return one figure of every contender, a column for each number that was asked for."""
    names = list(next(iter(table.values())))
    width = _width(names)
    lines = [title, f"  {'':{width}}" + "".join(f"{number:>10}" for number in table)]
    for name in names:
        cells = (f"{contenders[name][figure]:10.1f}" for contenders in table.values())
        lines.append(f"  {name:{width}}" + "".join(cells))
    return lines


def _width(names: Iterable[str]) -> int:
    return max(len(name) for name in ("portable ", *names))


def _megabytes(peak: float | None) -> str:
    """Return a peak of memory in one width; the system may not tell it."""
    return "unknown  " if peak is None else f"{peak:6.0f} MB"


def _joules(measured: Mapping[str, Any]) -> str:
    joules = measured["joules_a_call"]
    return "" if joules is None else f"  {joules:.3f} J"


def _board(seen: Mapping[str, Any]) -> list[str]:
    """Return what the board told meanwhile: one line on energy, one on what else it tells."""
    energy = f"unknown: {seen['energy_unknown']}"
    if seen["energy"] is not None:
        energy = f"{seen['energy']}, with what every other process draws"
    parts = []
    if seen["clock_mhz"] is not None:
        parts.append("clock {first} to {last} MHz".format(**seen["clock_mhz"]))
    if seen["throttled"] is not None:
        parts.append(f"throttled {seen['throttled']} times")
    if seen["temperature_c"] is not None:
        parts.append("at most {highest:.0f} °C ({sensor})".format(**seen["temperature_c"]))
    return [f"energy {energy}", *(["; ".join(parts)] if parts else [])]


def _compared(comparison: Mapping[str, Any] | None) -> list[str]:
    """Return how times stand to those of an earlier report, if there is one."""
    if comparison is None:
        return []
    rows = comparison["rows"]
    width = max(map(len, rows), default=0)
    alone = len(comparison["in_one_alone"])
    return [
        f"against {comparison['earlier']}",
        *(f"  {name:{width}} {row['ratio']:6.2f}x  {row['verdict']}" for name, row in rows.items()),
        *([f"  {alone} more in one of the two alone; --json names them"] if alone else []),
    ]
