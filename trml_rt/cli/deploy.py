"""`trml-rt deploy` and `trml-rt rollback`: which bundle is in service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from trml_rt.cli.isolated import isolated
from trml_rt.cli.options import (
    any_backend_option,
    any_path,
    as_json,
    precision_choice,
    threads_option,
)
from trml_rt.cli.printing import print_json, print_lines

if TYPE_CHECKING:
    from trml_rt.fleet import Deployment

__all__ = ["deploy", "rollback"]

_current = click.option(
    "--current", type=any_path, required=True, help="The link to the bundle that is in service."
)
_signed = click.option(
    "--require-signature",
    "signed_by",
    type=any_path,
    metavar="KEY",
    help="Only if the bundle is signed, with the private key to this public one.",
)


@click.command(
    short_help="Put a bundle in service, if it proves itself.",
    epilog="""\b
Examples:
  trml-rt deploy bundle/ --current current
  trml-rt deploy signed/ --current current --require-signature public.pem
  trml-rt deploy bundle/ --current current --probe rows.jsonl --max-ms 2000
""",
)
@click.argument("bundle", type=any_path)
@_current
@click.option("--probe", type=any_path, help="Rows that must be answered, as of `infer --data`.")
@_signed
@click.option(
    "--max-ms",
    type=float,
    metavar="N",
    help="Milliseconds within which 90 of 100 calls of each engine set must be done.",
)
@any_backend_option("As for `trml-rt infer`; what serves must take the same.")
@click.option("--precision", type=precision_choice, help="As for `trml-rt infer`.")
@threads_option
@isolated
@as_json
def deploy(as_json: bool, **arguments: Any) -> None:
    """Let the link --current name BUNDLE, if BUNDLE proves itself on this device.

    Its hashes, its answers on the golden inputs, and the rows of --probe must be right. Else, and
    if the command is killed, the link stays. What it named before is kept for `trml-rt rollback`.
    """
    from trml_rt.fleet import deploy as put

    _tell(put(**arguments), as_json)


@click.command(
    short_help="Go back to the bundle that was in service before.",
    epilog="Example: trml-rt rollback --current current",
)
@_current
@_signed
@as_json
def rollback(as_json: bool, **arguments: Any) -> None:
    """Let the link --current name the bundle that was in service before."""
    from trml_rt.fleet import rollback as back

    _tell(back(**arguments), as_json)


def _tell(done: Deployment, as_json: bool) -> None:
    print_json(done.to_dict()) if as_json else print_lines(_for_people(done))


def _for_people(done: Deployment) -> Iterator[str]:
    yield f"in service: {done.folder}" + ("" if done.changed else ", as before")
    if done.changed:
        yield f"  before      {done.previous or 'nothing'}"
    if done.key is not None:
        yield f"  signed      key {done.key[:16]}"
    if done.engines is not None:
        yield f"  engines     {done.engines}, {done.backend}"
    if done.rows:
        yield f"  probe       {done.rows} rows answered"
    for name, ms in done.ms.items():
        yield f"  {name:10}  " + ", ".join(f"{share} {value:.1f} ms" for share, value in ms.items())
