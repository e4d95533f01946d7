"""The command `trml-rt`: each command parses, calls one library function, and prints.

Exit codes: 0 done, 1 internal, 2 usage, 3 environment, 4 verification failed, 5 artefact
mismatch, 6 input unusable. A traceback means a bug.
"""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Any, NoReturn

import click

from trml_rt.cli.bench import bench
from trml_rt.cli.build import build
from trml_rt.cli.calibrate import calibrate
from trml_rt.cli.doctor import doctor
from trml_rt.cli.export import export
from trml_rt.cli.infer import infer
from trml_rt.cli.inspect import inspect
from trml_rt.cli.lint import lint
from trml_rt.cli.train import train
from trml_rt.cli.verify import verify
from trml_rt.errors import EnvironmentUnfit, TrmlError

__all__ = ["main", "trml_rt"]

_INTERRUPTED = 130  # as a shell reports a program ended by Ctrl-C


class _Program(click.Group):
    """Turns every error that is raised on purpose into one sentence and its exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except TrmlError as error:
            click.echo(f"trml-rt: {error}", err=True)
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("trml-rt: interrupted", err=True)
            code = _INTERRUPTED
        except OSError as error:
            # Of writing the output: whatever a command reads or writes has words of its own.
            click.echo(f"trml-rt: {error.strerror or error}", err=True)
            code = EnvironmentUnfit.exit_code
        sys.exit(code or 0)


@click.group(
    cls=_Program,
    name="trml-rt",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: trml-rt infer --text t.txt --video v.mp4",
)
@click.version_option(importlib.metadata.version("trml-rt"), prog_name="trml-rt")
def trml_rt() -> None:
    """Robust multimodal inference on edge devices.

    Text and video in, sentiment or emotion out; either input may be missing.
    """


for _command in (train, export, calibrate, lint, build, verify, bench, infer, inspect, doctor):
    trml_rt.add_command(_command)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    trml_rt.main(prog_name="trml-rt")
