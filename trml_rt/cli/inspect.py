"""`trml-rt inspect`: what a bundle holds, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import Any

import click

from trml_rt.cli.calibrate_need import points
from trml_rt.cli.isolated import isolated
from trml_rt.cli.options import as_json, bundle_option
from trml_rt.cli.printing import print_json, print_lines

__all__ = ["inspect"]

_WIDTH, _DEEP = 88, 6 * " "  # of a list of many names


@click.command(
    short_help="Show what a bundle holds, and whether it is whole.",
    epilog="Example: trml-rt inspect --bundle my_bundle",
)
@bundle_option
@as_json
@isolated
def inspect(bundle: Path, as_json: bool) -> None:
    """Show a bundle's engines and what was built from them; compare the hash of every file."""
    from trml_rt.inspect import inspect as describe

    content = describe(bundle).to_dict()
    print_json(content) if as_json else print_lines(_for_people(content))


def _for_people(content: dict[str, Any]) -> list[str]:
    lines = [
        f"{content['name']}  (schema {content['schema']}, by {content['created_by']})",
        f"  {content['bundle']}: {content['files']} files, "
        f"{content['bytes'] / 1e6:.1f} MB, every hash right",
        f"  task  {content['task']['kind']}: {', '.join(content['task']['labels'])}",
        "engines",
    ]
    for name, engine in content["engines"].items():
        lines.append(
            f"  {name:16} {engine['bytes'] / 1e6:7.1f} MB  weights {engine['weights']}, "
            f"compute {engine['compute']}"
        )
        for side in ("inputs", "outputs"):
            tensors = "  ".join(f"{tensor} {shape}" for tensor, shape in engine[side].items())
            lines.append(f"  {'':16}   {side[:-1]}: {tensors}")
    lines.append("engine sets")
    lines += [f"  {name:16} {' > '.join(e)}" for name, e in content["engine_sets"].items()]
    for name, engine in (content["calibration"] or {}).items():
        forms = ", ".join(
            f"{form} with {layers['in_int8']} of {layers['layers']} layers in INT8"
            for form, layers in engine["forms"].items()
        )
        lines.append(f"calibrated {name} by {engine['method']}: {forms or 'stays in FP32'}")
    if content["need"] is not None:
        need, checked = content["need"], content["need"]["checked"]
        lines.append(
            f"video not needed from a certainty of {need['threshold']:.4f} on: for "
            f"{checked['without_video']:.1%} of rows, {points(checked['points_lost'])}"
        )
    lines.append("built for devices")
    for key, built in content["built"].items():
        fits = (
            "fits this device" if built["fits"] else "does not fit: " + "; ".join(built["why_not"])
        )
        lines.append(f"  {key}  {fits}{_verified(built)}")
        lines.append(f"    {built['folder']}")
        for engine, layers in built.get("layers", {}).items():
            in_fp32 = [layer for layer, kind in layers.items() if kind != "int8"]
            lines.append(
                f"    {engine}: {len(layers) - len(in_fp32)} of {len(layers)} layers in INT8"
                + ("; in FP32:" if in_fp32 else "")
            )
            lines += wrap(", ".join(in_fp32), _WIDTH, initial_indent=_DEEP, subsequent_indent=_DEEP)
        for engine, layers in built.get("plan_layers", {}).items():
            kinds = ", ".join(f"{count} in {kind}" for kind, count in layers.items())
            lines.append(f"    {engine}: layers as compiled: {kinds}")
        for engine, why in built.get("widened", {}).items():
            lines.append(f"    {engine}: computes in FP32, since {why}")
    if content["fastest"] is not None:
        lines.append(f"found fastest on this device: {content['fastest']}")
    if not content["built"]:
        lines.append("  none; the portable graphs run on ONNX Runtime anywhere")
    return lines


def _verified(built: dict[str, Any]) -> str:
    """Return which engine sets have passed their verification, as the end of a line."""
    sets = built.get("verified", {})
    passed = [name for name, holds in sets.items() if holds]
    if not passed:
        return ", unverified" if sets else ""
    others = [name for name in sets if name not in passed]
    return ", verified" + (f": {', '.join(passed)}; not: {', '.join(others)}" if others else "")
