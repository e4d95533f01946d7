"""Share encoding among the processes that PyTorch's launcher starts, one for each GPU.

`torchrun` tells each process its number through the environment. All of them write into one store,
so they run on one machine. Each takes every n-th chunk, and chunks are cut as for one process. So
the vectors do not depend on how many processes there are.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import distributed

from trml_rt.errors import EnvironmentUnfit, UsageError

__all__ = ["ALONE", "Ranks", "joined", "refuse_ranks"]

_PATIENCE = datetime.timedelta(days=30)  # one process may encode for hours after another has ended


@dataclass(frozen=True)
class Ranks:
    """The number of this process, and how many there are."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    def mine(self, number: int) -> bool:
        """Say whether the chunk `number` is for this process."""
        return number % self.count == self.rank

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count == 1:
            return
        try:
            distributed.barrier()
        except RuntimeError:  # what Gloo says of a connection that is gone
            raise EnvironmentUnfit(
                "another process of this launch has ended; see what it said above, and start all "
                "of them again: what is in the cache is kept"
            ) from None


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that a launcher started together, or be alone where there is none.

    Raises:
        UsageError: they are on several machines.
        EnvironmentUnfit: the other processes cannot be reached.
    """
    count = _number("WORLD_SIZE", 1)
    if count == 1:
        yield ALONE
        return
    if _number("LOCAL_WORLD_SIZE", count) != count:
        raise UsageError(
            f"WORLD_SIZE is {count}, on several machines; encode on one machine, because all "
            "processes write into one cache"
        )
    try:
        distributed.init_process_group("gloo", timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:  # no address of the others, or no answer there
        first, *_ = str(error).splitlines()
        raise EnvironmentUnfit(
            f"the {count} processes of WORLD_SIZE cannot be joined ({first}); start them with "
            "torchrun"
        ) from None
    try:
        yield Ranks(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()


def refuse_ranks(what: str) -> None:
    """Raise UsageError for `what` in one of several processes, which would do the same work."""
    if _number("WORLD_SIZE", 1) > 1:
        raise UsageError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {what} run in one process; fill the "
            "cache with `trml-rt encode` under torchrun, and start this without it"
        )


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    if not text.isdecimal():
        raise UsageError(f"{name}={text}: is no number of processes; unset it")
    return int(text)
