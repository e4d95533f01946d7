"""Write the report of a command as a folder: JSON for programs, pictures for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trml_rt.bundle import atomic
from trml_rt.cli.options import any_path, refuse_strangers
from trml_rt.errors import cannot_write

__all__ = ["check_out", "force_option", "out_option", "write_out"]

out_option = click.option("--out", type=any_path, help="Folder to write: JSON, PNG and SVG.")
force_option = click.option("--force", is_flag=True, help="Replace an earlier report in --out.")


def check_out(out: Path | None, name: str, *, force: bool) -> None:
    """Refuse a folder that cannot be made, or drawn into; call it before any long work.

    Args:
        out: the folder; None where none was asked for.
        name: of the files in it, such as "bench".
        force: replace an earlier report of that name.

    Raises:
        UsageError: `out` may not be replaced, or `force` was given without it.
        EnvironmentUnfit: `out` cannot be written, or matplotlib is not installed.
    """
    from trml_export.plots.picture import check_drawing

    if out is None:
        refuse_strangers({"force"}, "without --out")
        return
    check_drawing()
    atomic.check_target(out, marker=f"{name}.json", what=f"report of {name}", replace=force)


def write_out(
    out: Path,
    name: str,
    content: dict[str, Any],
    picture: Mapping[str, bytes],
    *,
    force: bool,
) -> None:
    """Write `out` whole or not at all: `content` as JSON, and the picture in each format.

    Raises:
        UsageError: `out` may not be replaced.
        EnvironmentUnfit: `out` cannot be written.
    """
    from trml_export.plots.picture import write_pictures

    try:
        with atomic.staged_folder(out, replace=force) as folder:
            text = json.dumps(content, indent=1, ensure_ascii=False)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
            write_pictures(folder, {name: picture})
    except OSError as error:
        raise cannot_write(out, error, "name another folder with --out") from None
