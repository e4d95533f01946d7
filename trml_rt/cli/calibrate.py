"""`trml-rt calibrate`: real inputs become ranges, and ranges INT8 graphs."""

from __future__ import annotations

import re
from pathlib import Path

import click

from trml_rt.cli.options import any_path, as_json, data_layout, print_json, rows_of, rows_option
from trml_rt.errors import EnvironmentUnfit, UsageError

__all__ = ["calibrate"]

_CHECKED = 4  # every so many rows serve the check and not the ranges


@click.command(
    epilog="""\b
Examples:
  trml-rt calibrate bundle/ --data rows.jsonl
  trml-rt calibrate bundle/ --data rows.jsonl --engine text --max-drop 0.5points
  trml-rt calibrate bundle/ --data MOSI/ --format mmsa
"""
)
@click.argument("bundle", type=any_path)
@click.option("--data", type=any_path, required=True, help="Real inputs: a data set.")
@data_layout
@click.option(
    "--split", default="train", show_default=True, help="The rows to use. Not those you test on."
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="Texts, and clips, to measure ranges on, spread evenly over the rows.",
)
@rows_option
@click.option(
    "--engine",
    "engines",
    multiple=True,
    help="An encoder to make INT8 graphs of; others stay in FP32.  [default: all]",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="[ENGINE=]METHOD",
    help="max, entropy or percentile; for one engine or for all.  [default: max]",
)
@click.option(
    "--max-drop",
    "max_drops",
    multiple=True,
    metavar="COSINE|Npoints",
    help="What the worst row's cosine to FP32 may lose, or the accuracy of an engine set in "
    "points, or both; layers stay in FP32 until that holds.  [default: 0.01, 1points]",
)
@click.option("--out", type=any_path, help="Folder to make.  [default: calibration/ of the bundle]")
@click.option("--force", is_flag=True, help="Replace an existing calibration.")
@as_json
def calibrate(
    bundle: Path,
    data: Path,
    layout: str,
    split: str,
    samples: int,
    rows: int,
    engines: tuple[str, ...],
    methods: tuple[str, ...],
    max_drops: tuple[str, ...],
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure activation ranges on real inputs, and make the encoders' INT8 graphs from them.

    A quarter of the rows takes no part in that: on those the answers of INT8 are compared with
    those of FP32.
    """
    try:
        from trml_calibration.calibrate import calibrate as run
        from trml_calibration.judge import MaxDrop
    except ImportError as error:
        raise EnvironmentUnfit(
            f'calibrating needs the package {error.name}; pip install "trml-rt[build]"'
        ) from None
    from trml_rt.bundle.calibration import encoders
    from trml_rt.bundle.folder import Bundle
    from trml_rt.proof.cases import encoder_inputs, row_cases

    opened, given = Bundle(bundle), rows_of(data, split, layout)
    chosen = _methods(methods, _engines(engines, encoders(opened.manifest)))
    drop = MaxDrop(**_max_drop(max_drops))
    learnt, checked = given.apart(_CHECKED)
    inputs = encoder_inputs(opened, learnt, samples)
    cases, unusable = row_cases(opened, checked, rows)
    for problem in (*inputs.unusable, *unusable):
        click.echo(f"left out: {problem}", err=True)
    record = run(
        opened,
        inputs.samples,
        cases,
        out or opened.folder / "calibration",
        data={"sha256": given.sha256, "split": split},
        methods=chosen,
        max_drop=drop,
        force=force,
        progress=lambda line: click.echo(line, err=True),
    )
    if as_json:
        print_json(record.model_dump(by_alias=True))
        return
    for name, engine in record.engines.items():
        for form, graph in engine.forms.items():
            kept = [layer for layer, kind in graph.layers.items() if kind == "fp32"]
            click.echo(
                f"{name}, {form}: {len(graph.layers) - len(kept)} of {len(graph.layers)} layers in "
                f"INT8, {graph.bytes / 1e6:.1f} MB"
            )
            for engine_set, seen in graph.checked.items():
                click.echo(
                    f"  {engine_set}: {seen.rows} rows, least cosine {seen.least_cosine:.4f}, "
                    f"scores differ by {seen.largest_score_difference:.3f}, "
                    f"{seen.flips:.2%} of labels flip"
                )
        for form in engine.left_out:
            click.echo(
                f"{name}, {form}: stays in FP32 whole; more than half of its layers would have to"
            )


def _engines(given: tuple[str, ...], known: list[str]) -> list[str]:
    for name in given:
        if name not in known:
            raise UsageError(f"--engine {name}: no encoder of that name; {', '.join(known)}")
    return [name for name in known if not given or name in given]


def _max_drop(given: tuple[str, ...]) -> dict[str, float]:
    """Return what `0.01` (of a cosine) and `0.5points` say, by the field of `MaxDrop`."""
    found = {}
    for word in given:
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(points)?", word)
        if match is None or (match[2] is None and float(match[1]) > 1):
            raise UsageError(
                f"--max-drop {word}: a drop of the cosine, such as 0.01, or of the accuracy, such "
                "as 0.5points"
            )
        found["points" if match[2] else "cosine"] = float(match[1])
    return found


def _methods(given: tuple[str, ...], engines: list[str]) -> dict[str, str]:
    """Return the method of each engine; a later word wins over an earlier one."""
    methods = dict.fromkeys(engines, "max")
    for word in given:
        engine, _, method = word.rpartition("=")
        if engine and engine not in methods:
            raise UsageError(f"--method {word}: no encoder {engine!r}; {', '.join(methods)}")
        methods |= dict.fromkeys([engine] if engine else engines, method)
    return methods
