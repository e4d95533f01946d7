"""`trml-rt doctor`: whether this machine is fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trml_rt.cli.options import any_backend_option, as_json, bundle_option
from trml_rt.cli.printing import print_json, print_lines

if TYPE_CHECKING:
    from trml_rt.doctor import Diagnosis

__all__ = ["doctor"]


@click.command(
    short_help="Check this machine, installation and bundle.",
    epilog="Example: trml-rt doctor --backend tensorrt",
)
@any_backend_option("What the machine must be fit for; auto needs no GPU.")
@bundle_option
@as_json
def doctor(bundle: Path, backend: str, as_json: bool) -> None:
    """Check this machine, installation and bundle; exit 3 when something required is missing."""
    from trml_rt.doctor import doctor as check_machine

    diagnosis = check_machine(bundle, backend=backend)
    print_json(diagnosis.to_dict()) if as_json else print_lines(_for_people(diagnosis))
    diagnosis.raise_if_unfit(reasons=False)  # they are printed above


def _for_people(diagnosis: Diagnosis) -> list[str]:
    lines = []
    for check in diagnosis.checks:
        mark = "ok" if check.ok else "MISSING" if check.required else "absent"
        remedy = f"  ({check.remedy})" if check.remedy else ""
        lines.append(f"{mark:8} {check.name}: {check.found}{remedy}")
    lines.append("fit" if diagnosis.fit else "not fit")
    return lines
