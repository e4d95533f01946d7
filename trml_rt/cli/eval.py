"""`trml-rt eval`: how good a checkpoint, a bundle or the method is, input present or missing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.bundle.folder import open_bundle
from trml_rt.cli.options import (
    any_backend_option,
    any_path,
    as_json,
    data_layout,
    device_option,
    mixed_option,
    precision_choice,
    refuse_absent,
    refuse_strangers,
    whole,
)
from trml_rt.cli.printing import print_json, print_lines, printable
from trml_rt.errors import UsageError, lacks_package

if TYPE_CHECKING:
    from trml_export.evaluation import Subject

__all__ = ["evaluate"]


@click.command(
    name="eval",
    short_help="Measure how good a model is with inputs missing.",
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
@any_backend_option("What runs the bundle.")
@click.option("--precision", type=precision_choice, help="Engines of the bundle.")
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
@click.option("--workers", type=whole("workers"), help="Trainings at a time.  [default: cores]")
@device_option
@mixed_option
@click.option("--cache", type=any_path, help="Feature cache.  [default: .trml-cache here]")
@click.option("--out", type=any_path, help="Folder to write: JSON, CSV, tables, plots.")
@click.option("--force", is_flag=True, help="Replace an earlier report.")
@as_json
def evaluate(
    data: Path,
    layout: str,
    split: str,
    out: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate on every combination of present modalities and at every missing rate.

    Give one of --checkpoint, --bundle and --backbone.
    """
    if out is None:
        refuse_strangers({"force"}, "without --out")
    _check(data, **options)
    try:
        from trml_export.evaluation import DataSplit
        from trml_export.evaluation import evaluate as measure
    except ImportError as error:
        raise lacks_package("evaluation", error, "train") from None
    with _subject(layout, **options) as subject:
        evaluation = measure(subject, DataSplit(data, layout, split), out=out, force=force)
    for problem in evaluation.problems:
        click.echo(printable("{id}: {reason}: {message}".format(**problem)), err=True)
    if as_json:
        print_json(json.loads(evaluation.to_json()))
    else:
        print_lines(evaluation.to_markdown().removesuffix("\n").split("\n"))


# Options that mean something for one subject only; with another one they would be ignored.
_OWN = {
    "--bundle": {"backend", "precision"},
    "--checkpoint": {"cache", "device", "mixed"},
    "--backbone": {
        *("weights", "config", "overrides", "seeds", "methods", "completeness", "workers"),
        *("cache", "device", "mixed"),
    },
}


def _check(
    data: Path,
    checkpoint: Path | None,
    bundle: Path | None,
    backbone: str | None,
    config: Path | None,
    weights: Path | None,
    **_: Any,
) -> None:
    """Refuse options that do not go together, and what is not there, before PyTorch is imported."""
    subjects = {"--checkpoint": checkpoint, "--bundle": bundle, "--backbone": backbone}
    named = [name for name, value in subjects.items() if value is not None]
    if len(named) != 1:
        raise UsageError(f"give one of {', '.join(subjects)}, not {' and '.join(named) or 'none'}")
    refuse_strangers(set().union(*_OWN.values()) - _OWN[named[0]], f"with {named[0]}")
    files = {"--checkpoint": checkpoint, "--config": config, "--weights": weights}
    refuse_absent({"--data": data, **files})
    if bundle is not None:
        open_bundle(bundle)


@contextlib.contextmanager
def _subject(
    layout: str,
    checkpoint: Path | None,
    bundle: Path | None,
    backbone: str | None,
    cache: Path | None,
    **options: Any,
) -> Iterator[Subject]:
    """Yield the subject that one of the three options names; a bundle is open meanwhile."""
    from trml_export.evaluation import BundleSubject, CheckpointSubject

    cache = cache or Path(".trml-cache")
    if checkpoint is not None:
        yield CheckpointSubject(checkpoint, cache, options["device"], options["mixed"])
    elif bundle is not None:
        from trml_rt.runtime import load

        with load(bundle, backend=options["backend"], precision=options["precision"]) as runtime:
            yield BundleSubject(runtime)
    else:
        yield _method(layout, backbone, cache, **options)


def _method(layout: str, backbone: str | None, cache: Path, **options: Any) -> Subject:
    from trml_export.backbone.backbone import load_backbone, place
    from trml_export.config import load_config
    from trml_export.data import FORMATS
    from trml_export.device import find_device
    from trml_export.evaluation import MethodSubject, methods_named

    assert backbone is not None
    defaults = FORMATS[layout].defaults
    settings = load_config(options["config"], overrides=options["overrides"], defaults=defaults)
    methods = methods_named(options["methods"])
    device = find_device(options["device"])
    encoders = load_backbone(backbone, weights=options["weights"])
    return MethodSubject(
        place(encoders, device, mixed=options["mixed"]),
        settings,
        cache,
        methods=methods,
        completeness=options["completeness"] or None,
        seeds=options["seeds"],
        workers=options["workers"],
        device=device,
    )
