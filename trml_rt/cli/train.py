"""`trml-rt train`: a data set and a backbone become a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trml_rt.cli.options import (
    any_path,
    as_json,
    data_layout,
    device_option,
    mixed_option,
    refuse_absent,
)
from trml_rt.cli.printing import print_json, print_lines, printable
from trml_rt.errors import lacks_package

if TYPE_CHECKING:
    from trml_export.training.train import TrainReport

__all__ = ["train"]


@click.command(
    short_help="Train on a data set of your own.",
    epilog="Example: trml-rt train --data clips.jsonl --backbone ViT-B-32-quickgelu "
    "--weights openai.safetensors --set epochs=30 --out checkpoint/",
)
@click.option("--data", type=any_path, required=True, help="Data set.")
@data_layout
@click.option(
    "--backbone",
    required=True,
    help="Folder with an open_clip_config.json, a model's name, bundle:FOLDER for the encoders of "
    "a bundle, or default for those of the shipped one.",
)
@click.option("--weights", type=any_path, help="Weights of the backbone.  [default: the folder's]")
@click.option("--config", type=any_path, help="Configuration, JSON or TOML.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key.")
@click.option("--out", type=any_path, required=True, help="Checkpoint folder to make.")
@click.option("--cache", type=any_path, help="Feature cache.  [default: .trml-cache beside --out]")
@click.option(
    "--recipe",
    type=click.Choice(["auto"]),
    help="Try TRML in several forms and its controls, three seeds each, and take one on valid.",
)
@click.option(
    "--tensorboard", type=any_path, help="Folder for the losses of each epoch, for TensorBoard."
)
@device_option
@mixed_option
@click.option("--force", is_flag=True, help="Replace an existing checkpoint.")
@as_json
def train(
    data: Path,
    layout: str,
    backbone: str,
    config: Path | None,
    overrides: tuple[str, ...],
    out: Path,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Train on a data set whose texts or videos may be missing, over a frozen backbone."""
    refuse_absent({"--data": data, "--config": config, "--weights": arguments["weights"]})
    try:
        from trml_export.config import load_config
        from trml_export.data import FORMATS

        settings = load_config(config, overrides=overrides, defaults=FORMATS[layout].defaults)
        from trml_export.training.train import train as train_model
    except ImportError as error:
        raise lacks_package("training", error, "train") from None
    report = train_model(data, backbone, out, config=settings, layout=layout, **arguments)
    if as_json:
        print_json(report.to_dict())
        return
    for problem in report.problems:
        click.echo(printable(f"{problem.id}: {problem.reason}: {problem.message}"), err=True)
    print_lines([_for_people(report)])


def _for_people(report: TrainReport) -> str:
    scores = ", ".join(f"{name} {value:.4f}" for name, value in report.valid.items())
    resumed = f"went on after epoch {report.resumed}, " if report.resumed else ""
    recipe = f"recipe {report.recipe}, " if report.recipe else ""
    how = f"{recipe}{resumed}epoch {report.best_epoch} kept"
    return f"trained: {report.checkpoint}, {how}; valid: {scores}"
