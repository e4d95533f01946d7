"""The command `trml-rt`: each command parses, calls one library function, and prints.

Exit codes: 0 done, 1 internal, 2 usage, 3 environment, 4 verification failed, 5 artefact
mismatch, 6 input unusable, 7 rows of a job failed. A traceback means a bug.
"""

from __future__ import annotations

from typing import NoReturn

import click

from trml_rt._version import __version__
from trml_rt.cli.bench import bench
from trml_rt.cli.build import build
from trml_rt.cli.bundle import bundle
from trml_rt.cli.calibrate import calibrate
from trml_rt.cli.calibrate_need import calibrate_need
from trml_rt.cli.check_data import check_data
from trml_rt.cli.clean import clean
from trml_rt.cli.config import config
from trml_rt.cli.convert import convert
from trml_rt.cli.deploy import deploy, rollback
from trml_rt.cli.doctor import doctor
from trml_rt.cli.encode import encode
from trml_rt.cli.eval import evaluate
from trml_rt.cli.exits import Exits, interrupted_once
from trml_rt.cli.export import export
from trml_rt.cli.export_triton import export_triton
from trml_rt.cli.infer import infer
from trml_rt.cli.infer_job import merge
from trml_rt.cli.inspect import inspect
from trml_rt.cli.lint import lint
from trml_rt.cli.logs import logs_on_stderr
from trml_rt.cli.options import Commands
from trml_rt.cli.sample_data import sample_data
from trml_rt.cli.serve import serve
from trml_rt.cli.sign import check_signature, sign
from trml_rt.cli.stream import stream
from trml_rt.cli.timeline import timeline
from trml_rt.cli.train import train
from trml_rt.cli.verify import verify

__all__ = ["main", "trml_rt"]


class _Program(Exits, Commands):
    """All commands in order of use, and how each of them ends."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in order of use, as they were added."""
        return [*self.commands]


@click.group(
    cls=_Program,
    name="trml-rt",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: trml-rt infer --text t.txt --video v.mp4",
)
@click.version_option(__version__, "-V", "--version", prog_name="trml-rt")
@click.pass_context
def trml_rt(context: click.Context) -> None:
    """Robust multimodal inference on edge devices.

    Text and video in, sentiment or emotion out; either input may be missing.
    """
    context.with_resource(logs_on_stderr())


for _command in (
    *(infer, stream, timeline, serve, merge, build, verify, bench, inspect, doctor, lint),
    *(bundle, clean, sign, check_signature, deploy, rollback, export_triton),
    *(calibrate, calibrate_need, sample_data, check_data, config, encode),
    *(train, evaluate, export, convert),
):
    trml_rt.add_command(_command)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    with interrupted_once():
        trml_rt.main(prog_name="trml-rt")
