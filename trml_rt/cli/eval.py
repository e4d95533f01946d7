"""`trml-rt eval`: how good a checkpoint, a bundle or the method is, input present or missing."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.bundle.engine_folder import PRECISIONS
from trml_rt.cli.options import any_path, as_json, data_layout, refuse_strangers
from trml_rt.errors import UsageError, lacks_package

__all__ = ["evaluate"]


@click.command(
    name="eval",
    epilog="""\b
Examples:
  trml-rt eval --data MOSI/ --format mmsa --checkpoint checkpoint/
  trml-rt eval --data MOSI/ --format mmsa --bundle bundle/ --precision fp16
  trml-rt eval --data MOSI/ --format mmsa --backbone clip/ --seeds 5 --out results/
""",
)
@click.option("--data", type=any_path, required=True, help="Data set.")
@data_layout
@click.option(
    "--split", type=click.Choice(["train", "valid", "test"]), default="test", show_default=True
)
@click.option("--checkpoint", type=any_path, help="Evaluate this checkpoint, in PyTorch.")
@click.option("--bundle", type=any_path, help="Evaluate this bundle, on the runtime.")
@click.option(
    "--backend",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="What runs the bundle.",
)
@click.option("--precision", type=click.Choice(PRECISIONS), help="Engines of the bundle.")
@click.option(
    "--backbone",
    help="Evaluate the method over this backbone: train TRML and every control, with several "
    "seeds. Hours on a large data set; what is finished is kept in the cache.",
)
@click.option("--weights", type=any_path, help="Weights of the backbone.  [default: the folder's]")
@click.option("--config", type=any_path, help="Configuration of the method, JSON or TOML.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--methods", multiple=True, metavar="NAME", help="Only this one.  [default: all]")
@click.option(
    "--completeness",
    type=click.FloatRange(0, 1),
    multiple=True,
    help="Share of training samples that keep both modalities.  [default: 1.0, 0.5, 0.1]",
)
@click.option("--workers", type=click.IntRange(1), help="Trainings at a time.  [default: cores]")
@click.option("--cache", type=any_path, help="Feature cache.  [default: .trml-cache here]")
@click.option("--out", type=any_path, help="Folder to write: JSON, CSV, tables, plots.")
@click.option("--force", is_flag=True, help="Replace an earlier report.")
@as_json
def evaluate(
    data: Path,
    layout: str,
    split: str,
    checkpoint: Path | None,
    bundle: Path | None,
    backend: str,
    precision: str | None,
    backbone: str | None,
    weights: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    seeds: int,
    methods: tuple[str, ...],
    completeness: tuple[float, ...],
    workers: int | None,
    cache: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Evaluate on every combination of present modalities and at every missing rate.

    Give one of --checkpoint, --bundle and --backbone.
    """
    try:
        from trml_export.backbone.backbone import load_backbone
        from trml_export.config import load_config
        from trml_export.data import FORMATS
        from trml_export.evaluation import (
            Rows,
            evaluate_bundle,
            evaluate_checkpoint,
            evaluate_method,
            write_report,
        )
        from trml_export.evaluation.methods import choose
        from trml_export.evaluation.report import check_target
    except ImportError as error:
        raise lacks_package("evaluation", error, "train") from None

    subjects = {"--checkpoint": checkpoint, "--bundle": bundle, "--backbone": backbone}
    given = [name for name, value in subjects.items() if value is not None]
    if len(given) != 1:
        raise UsageError(f"give one of {', '.join(subjects)}, not {' and '.join(given) or 'none'}")
    refuse_strangers(set().union(*_OWN.values()) - _OWN[given[0]], given[0])
    if out is not None:
        check_target(out, force=force)
    rows = Rows(data, layout, split)
    cache = cache or Path(".trml-cache")
    if checkpoint is not None:
        found = evaluate_checkpoint(checkpoint, rows, cache=cache)
    elif bundle is not None:
        from trml_rt.runtime import load

        with load(bundle, backend=backend, precision=precision) as runtime:  # type: ignore[arg-type]
            manifest = runtime.bundle.manifest
            subject = {"name": manifest.name, **runtime.provenance}
            found = evaluate_bundle(runtime.trace, manifest, rows, subject=subject)
    else:
        assert backbone is not None
        settings = load_config(config, overrides=overrides, defaults=FORMATS[layout].defaults)
        found = evaluate_method(
            load_backbone(backbone, weights=weights),
            rows,
            config=settings,
            cache=cache,
            methods=choose(methods),
            completeness=completeness or None,
            seeds=seeds,
            workers=workers,
        )
    for problem in found.problems:
        click.echo("{id}: {reason}: {message}".format(**problem), err=True)
    if out is not None:
        write_report(found, out, force=force)
    click.echo(found.to_json() if as_json else found.to_markdown(), nl=False)


# Options that mean something for one subject only; with another one they would be ignored.
_OWN = {
    "--bundle": {"backend", "precision"},
    "--checkpoint": {"cache"},
    "--backbone": {
        *("weights", "config", "overrides", "seeds", "methods", "completeness", "workers"),
        "cache",
    },
}
