"""`trml-rt calibrate`: real inputs become ranges, and ranges INT8 graphs."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.cli.options import any_path, as_json, print_json
from trml_rt.errors import EnvironmentUnfit, UsageError

__all__ = ["calibrate"]


@click.command(epilog="Example: trml-rt calibrate bundle/ --data rows.jsonl --split valid")
@click.argument("bundle", type=any_path)
@click.option("--data", type=any_path, required=True, help="Real inputs, one JSON object a line.")
@click.option(
    "--split", default="train", show_default=True, help="The rows to use. Not those you test on."
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="Texts, and clips, spread evenly over the rows.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="[ENGINE=]METHOD",
    help="max, entropy or percentile; for one engine or for all.  [default: percentile]",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    default=0.004,
    show_default=True,
    help="What the worst row's cosine to FP32 may lose; layers stay in FP32 until that holds.",
)
@click.option("--out", type=any_path, help="Folder to make.  [default: calibration/ of the bundle]")
@click.option("--force", is_flag=True, help="Replace an existing calibration.")
@as_json
def calibrate(
    bundle: Path,
    data: Path,
    split: str,
    samples: int,
    methods: tuple[str, ...],
    max_drop: float,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure activation ranges on real inputs, and make the encoders' INT8 graphs from them."""
    try:
        from trml_calibration.calibrate import calibrate as run
    except ImportError as error:
        raise EnvironmentUnfit(
            f'calibrating needs the package {error.name}; pip install "trml-rt[build]"'
        ) from None
    from trml_rt.bundle import Bundle
    from trml_rt.encoder_inputs import encoder_inputs
    from trml_rt.rows import read_rows

    opened, rows = Bundle(bundle), read_rows(data, split)
    inputs = encoder_inputs(opened, rows, samples)
    for problem in inputs.unusable:
        click.echo(f"left out: {problem}", err=True)
    record = run(
        opened,
        inputs.samples,
        out or opened.folder / "calibration",
        data={"sha256": rows.sha256, "split": split},
        methods=_methods(methods, list(inputs.samples)),
        least_cosine=1 - max_drop,
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
                f"INT8, least cosine {graph.checked_cosine.least:.4f}, {graph.bytes / 1e6:.1f} MB"
            )


def _methods(given: tuple[str, ...], engines: list[str]) -> dict[str, str]:
    """Return the method of each engine; a later word wins over an earlier one."""
    methods = dict.fromkeys(engines, "percentile")
    for word in given:
        engine, _, method = word.rpartition("=")
        if engine and engine not in methods:
            raise UsageError(f"--method {word}: no encoder {engine!r}; {', '.join(methods)}")
        methods |= dict.fromkeys([engine] if engine else engines, method)
    return methods
