"""Turn weights that PyTorch saved into a safetensors file, offline, and run nothing of them.

A plain checkpoint goes through PyTorch's own reader of tensors alone. An archive of TorchScript, as
OpenAI publishes its models, holds a program beside its tensors. Here only the tensors are read: by
a pickle reader that knows no function but those that describe a tensor.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trml_export.backbone.weights import what_else
from trml_rt.bundle.atomic import write_bytes
from trml_rt.errors import ArtefactMismatch, UsageError, cannot_write

__all__ = ["convert_weights"]

_NESTED = ("state_dict", "model_state_dict", "model")  # where trainings keep their weights
_KINDS = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


def convert_weights(source: Path, out: Path, *, force: bool = False) -> int:
    """Write the tensors of `source` to the safetensors file `out`, and return their number.

    Raises:
        UsageError: `source` cannot be read, or `out` exists or has another ending.
        ArtefactMismatch: `source` holds no weights, asks for more than tensors, or is cut off.
        EnvironmentUnfit: `out` cannot be written.
    """
    from safetensors.torch import save

    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: weights are written as .safetensors; name such a file with --out")
    if out.exists() and not force:
        raise UsageError(f"{out}: exists already; pass --force to replace it")
    tensors = _tensors(source)
    if not tensors:
        raise ArtefactMismatch(f"{source}: holds no weights")
    try:
        # safetensors refuses tensors that share memory, so each is a copy.
        write_bytes(
            out, save({name: value.clone().contiguous() for name, value in tensors.items()})
        )
    except OSError as error:
        raise cannot_write(out, error, "name another file with --out") from None
    return len(tensors)


def _tensors(source: Path) -> dict[str, Tensor]:
    try:
        with source.open("rb") as file:
            start = file.read(64)
        other = what_else(start)
        if other is not None and "pickle" not in other:
            raise ArtefactMismatch(f"{source}: holds no weights; it is {other}")
        if _is_archive(source):
            return _of_archive(source)
        content = torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"{source}: cannot be read ({error.strerror or error})") from None
    except pickle.UnpicklingError as error:
        first = str(error).strip().splitlines()[0]
        raise ArtefactMismatch(
            f"{source}: is refused: more than tensors is asked for, or it is damaged ({first}); "
            "save the weights alone, as torch.save(model.state_dict(), FILE)"
        ) from None
    except (RuntimeError, EOFError, zipfile.BadZipFile, LookupError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ArtefactMismatch(
            f"{source}: is cut off or damaged ({first}); fetch it again"
        ) from None
    return _weights_in(content)


def _weights_in(content: Any) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, wherever a training keeps them."""
    if not isinstance(content, Mapping):
        return {}
    for key in _NESTED:
        if isinstance(content.get(key), Mapping):
            return _weights_in(content[key])
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _is_archive(source: Path) -> bool:
    """Say whether the file is an archive of TorchScript: one with a program in it."""
    if not zipfile.is_zipfile(source):
        return False
    with zipfile.ZipFile(source) as archive:
        return any("/code/" in name for name in archive.namelist())


class _Module:
    """Stands in for a module of the archive: the attributes it has, by name."""

    def __init__(self, *_: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def tensors(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        for name, value in self.state.items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            elif isinstance(value, _Module):
                yield from value.tensors(f"{prefix}{name}.")


class _ArchiveReader(pickle.Unpickler):
    """Builds modules, tensors, and lists of numbers; anything else is refused."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}/data.pkl"))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if module == "torch" and name in _KINDS:
            return _KINDS[name]
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return list
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return known[module, name]

    def persistent_load(self, identity: Any) -> Tensor:
        _, kind, key, _, count = identity
        content = self._archive.read(f"{self._root}/data/{key}")
        size = torch.empty(0, dtype=kind).element_size()
        if not str(key).isalnum() or len(content) < count * size:
            raise pickle.UnpicklingError(f"storage {key}")
        if not count:
            return torch.empty(0, dtype=kind)
        return torch.frombuffer(bytearray(content), dtype=kind, count=count)


def _rebuilt(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: Any, *_: object
) -> Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset)  # checks its bounds


def _of_archive(source: Path) -> dict[str, Tensor]:
    with zipfile.ZipFile(source) as archive:
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        content = _ArchiveReader(archive, root.removesuffix("/data.pkl")).load()
    if not isinstance(content, _Module):
        raise pickle.UnpicklingError("no module")
    return dict(content.tensors())
