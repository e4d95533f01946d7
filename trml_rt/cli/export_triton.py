"""`trml-rt export-triton`: a bundle becomes a model of Triton."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trml_rt.cli.options import (
    any_backend_option,
    any_path,
    as_json,
    bundle_option,
    precision_choice,
)
from trml_rt.cli.printing import print_json, print_lines

__all__ = ["export_triton"]


@click.command(
    short_help="Write a model repository of Triton.",
    epilog="""\b
Examples:
  trml-rt export-triton models/
  trml-rt export-triton models/ --bundle bundle/ --name mood --backend onnxruntime
""",
)
@click.argument("out", type=any_path)
@bundle_option
@click.option("--name", default="trml", show_default=True, help="By which clients ask for it.")
@any_backend_option("As for `trml-rt infer`, on the server.")
@click.option("--precision", type=precision_choice, help="As for `trml-rt infer`, on the server.")
@click.option("--degrade", is_flag=True, help="Count an unusable input as missing; say so.")
@click.option(
    "--isolate/--no-isolate",
    default=True,
    help="Decode in a process of its own, or in that of the model.  [default: isolate]",
)
@click.option("--force", is_flag=True, help="Replace a model of that name.")
@as_json
def export_triton(out: Path, as_json: bool, **arguments: Any) -> None:
    """Write a bundle into OUT, a model repository of NVIDIA's Triton Inference Server.

    Its Python back end answers, with this package in its Python. Other models in OUT stay.
    """
    from trml_rt.fleet import export_triton as write

    model = write(out, **arguments)
    words = f"written: {model.folder}, a model of Triton named {model.name}"
    print_json(model.to_dict()) if as_json else print_lines([words])
