"""`trml-rt sign` and `trml-rt check-signature`: who made a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from trml_rt.cli.options import any_path, as_json, bundle_option
from trml_rt.cli.printing import print_json, print_lines

__all__ = ["check_signature", "sign"]


@click.command(
    short_help="Sign a bundle with a key.",
    epilog="""\b
Examples:
  openssl ecparam -name prime256v1 -genkey -noout -out key.pem
  openssl ec -in key.pem -pubout -out public.pem
  trml-rt sign --bundle bundle/ --key key.pem
""",
)
@bundle_option
@click.option("--key", type=any_path, required=True, help="Private key: ECDSA on P-256, PEM.")
@click.option(
    "--password",
    envvar="TRML_RT_KEY_PASSWORD",
    help="Of an encrypted key. Other users may see what is typed; the variable is safer.  "
    "[default: $TRML_RT_KEY_PASSWORD]",
)
@click.option("--force", is_flag=True, help="Replace a signature that is there.")
@as_json
def sign(bundle: Path, key: Path, password: str | None, force: bool, as_json: bool) -> None:
    """Sign every file of a bundle in the format of OpenSSF Model Signing, as model.sig in it.

    The runtime demands the signature with `trml-rt infer --require-signature public.pem`.
    """
    from trml_rt.bundle.signature import sign as make

    signature = make(bundle, key, password=password, force=force)
    words = f"signed: {signature.file}, {signature.files} files, key {signature.key[:16]}"
    print_json(signature.to_dict()) if as_json else print_lines([words])


@click.command(
    name="check-signature",
    short_help="Hold a bundle to its signature.",
    epilog="Example: trml-rt check-signature --bundle bundle/ --key public.pem",
)
@bundle_option
@click.option("--key", type=any_path, required=True, help="Public key of the signer, PEM.")
@as_json
def check_signature(bundle: Path, key: Path, as_json: bool) -> None:
    """Hold a bundle to its signature: every file of its folder, and no other; else exit 5."""
    from trml_rt.bundle.signature import check_signature as check

    signature = check(bundle, key)
    words = f"holds: {signature.file}, {signature.files} files, key {signature.key[:16]}"
    print_json(signature.to_dict()) if as_json else print_lines([words])
