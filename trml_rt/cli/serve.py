"""`trml-rt serve`: answer over HTTP until told to stop."""

from __future__ import annotations

from typing import Any

import click

from trml_rt.cli.exits import ended_by_sigterm
from trml_rt.cli.logs import expect_silence
from trml_rt.cli.options import (
    any_backend_option,
    any_path,
    as_json,
    bundle_option,
    limits_of,
    media_limits,
    precision_choice,
    threads_option,
    whole,
)
from trml_rt.cli.printing import print_json, print_lines

__all__ = ["serve"]


@click.command(
    short_help="Answer over HTTP.",
    epilog="""\b
Examples:
  trml-rt serve
  trml-rt serve --host 0.0.0.0 --token-file token.txt
  trml-rt serve --unix /run/trml-rt.sock
  trml-rt serve --video rtsp://camera/1 --every 1
""",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 lets other machines in.",
)
@click.option(
    "--port",
    type=whole("port"),
    default=8000,
    show_default=True,
    help="TCP port; 0 takes one that is free.",
)
@click.option("--unix", type=any_path, help="Unix socket to listen on instead.")
@click.option(
    "--token-file",
    type=any_path,
    help="File whose first line is the token that every request must bear.",
)
@click.option("--video", metavar="SOURCE", help="Source of a stream for GET /stream.")
@click.option("--text", type=any_path, help="SRT, VTT or JSON lines of that stream.")
@click.option(
    "--every",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Seconds between two frames of that stream.  [default: 0, all]",
)
@click.option(
    "--queue",
    type=whole("queue"),
    default=256,
    show_default=True,
    help="Requests that may be here at once.",
)
@click.option(
    "--batch",
    type=whole("batch"),
    default=16,
    show_default=True,
    help="The most rows that the engines take together. With 1, answers are to the bit those of "
    "`trml-rt infer`; with more, to float32 rounding.",
)
@click.option(
    "--live",
    type=whole("live"),
    default=4,
    show_default=True,
    help="Streams of clients at once.",
)
@click.option(
    "--max-body",
    "body_mib",
    type=whole("body_mib"),
    default=64,
    show_default=True,
    help="MiB of the body of a request.",
)
@click.option(
    "--max-rows",
    "request_rows",
    type=whole("request_rows"),
    default=1000,
    show_default=True,
    help="Rows of a request.",
)
@bundle_option
@any_backend_option("As for `trml-rt infer`.")
@click.option("--precision", type=precision_choice, help="As for `trml-rt infer`.")
@threads_option
@click.option(
    "--require-signature",
    "signed_by",
    type=any_path,
    metavar="KEY",
    help="As for `trml-rt infer`.",
)
@media_limits()
@as_json
def serve(as_json: bool, **arguments: Any) -> None:
    """Answer over HTTP until SIGTERM or Ctrl-C; requests that were accepted are answered first.

    The address of the server is a page, on which a browser can ask. With --json, a line of JSON
    says the address, and another one at the end what was done.
    """
    from trml_rt.serve import serve as start

    expect_silence()
    limits = limits_of(arguments)
    with start(limits=limits, **arguments) as server, ended_by_sigterm(server.stop):
        started = {"name": server.name, "address": server.address}
        words = f"serving {server.name} on {server.address}"
        print_json(started, on_one_line=True) if as_json else print_lines([words])
        report = server.wait()
    words = f"{report.responded} of {report.accepted} accepted requests were responded to"
    print_json(report.to_dict(), on_one_line=True) if as_json else print_lines([words])
