"""`trml-rt infer`: answer on a text, a video, or both."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.bundle.engine_folder import BACKENDS, PRECISIONS
from trml_rt.cli.options import any_path, as_json, bundle_option, print_json
from trml_rt.runtime import MOST_THREADS

__all__ = ["infer"]

_UNITS = ("tokens", "frames")


@click.command(
    epilog="""\b
Examples:
  trml-rt infer --text t.txt --video v.mp4
  trml-rt infer --video face.jpg --json
"""
)
@click.option("--text", type=any_path, help="UTF-8 text file.")
@click.option("--video", type=any_path, help="Video or picture file.")
@bundle_option
@click.option(
    "--backend",
    type=click.Choice(["auto", *BACKENDS]),
    default="auto",
    show_default=True,
    help="auto: TensorRT engines that fit this device, else ONNX Runtime.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="Use the engines of this precision, made by `trml-rt build`; else the portable graphs.",
)
@click.option(
    "--threads", type=click.IntRange(1, MOST_THREADS), help="CPU threads an engine may use."
)
@click.option("--degrade", is_flag=True, help="Count an unusable input as missing; say so.")
@as_json
def infer(
    text: Path | None,
    video: Path | None,
    bundle: Path,
    backend: str,
    precision: str | None,
    threads: int | None,
    degrade: bool,
    as_json: bool,
) -> None:
    """Answer on a text, a video, or both; a missing one is replaced by a virtual one."""
    from trml_rt.runtime import load

    with load(bundle, backend=backend, precision=precision, threads=threads) as runtime:  # type: ignore[arg-type]
        answer = runtime.infer(text=text, video=video, degrade=degrade).to_dict()
    print_json(answer) if as_json else click.echo(_for_people(answer))


def _for_people(answer: dict) -> str:  # type: ignore[type-arg]
    lines = [f"{answer['label']}  {answer['score']:+.3f}"]
    for name, report in answer["inputs"].items():
        words = [report["state"]]
        words += [report["reason"].replace("_", " ")] if "reason" in report else []
        words += [
            f"{report[u]} {u[: -1 if report[u] == 1 else None]}" for u in _UNITS if u in report
        ]
        words += [word for word in ("truncated", "incomplete") if report.get(word)]
        lines.append(f"  {name:5}  {', '.join(words)}")
    lines.append(
        f"  engine set {answer['engine_set']} on {answer['backend']}, {answer['engines']} engines"
        f"{'' if answer['verified'] else ' (unverified)'}, {answer['ms']['total']:.1f} ms"
    )
    return "\n".join(lines)
