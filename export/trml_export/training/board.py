"""Write the history of a training where TensorBoard reads it, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trml_rt.errors import cannot_write, lacks_package

__all__ = ["check_board", "open_board"]

Watch = Callable[[dict[str, Any]], None]


def check_board(folder: Path | None) -> None:
    """Make `folder`, and refuse what `open_board` would refuse; call it before any long work.

    Raises:
        EnvironmentUnfit: TensorBoard is not installed, or `folder` cannot be written.
    """
    if folder is None:
        return
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise lacks_package("writing for TensorBoard", error, "tensorboard") from None
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def open_board(folder: Path | None) -> Iterator[Watch]:
    """Yield what takes the record of an epoch, as `fitting.Fit` has them; None takes no note.

    Raises:
        EnvironmentUnfit: `folder` cannot be written.
    """
    if folder is None:
        yield lambda _: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with _written(folder):
        writer = SummaryWriter(str(folder))

    def watch(record: dict[str, Any]) -> None:
        losses = {"loss/train": record["train_loss"], "loss/valid": record["valid"]["loss"]}
        metrics = {f"valid/{k}": v for k, v in record["valid"].items() if k != "loss"}
        with _written(folder):
            for name, value in {**losses, **metrics}.items():
                writer.add_scalar(name, value, record["epoch"])
            writer.flush()

    try:
        yield watch
    finally:
        writer.close()


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(folder, error, "name another folder with --tensorboard") from None
