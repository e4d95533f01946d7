"""Read the weights of a backbone in the layouts that users have, by the names of their tensors.

A file is open_clip's, with or without the prefix of a parallel training; OpenAI's, with three sizes
beside the weights; or transformers', of CLIP or SigLIP. Only tensors are read.
"""

from __future__ import annotations

import logging
from pathlib import Path

from torch import Tensor, nn

from trml_export.backbone.transformers_layout import is_of_transformers, to_open_clip
from trml_rt.errors import ArtefactMismatch, UsageError

__all__ = ["load_tensors", "read_weights", "what_else"]

_log = logging.getLogger(__name__)

# Training compares vectors by their direction, scaled and shifted by these. Encoders need neither.
_LOSS = ("logit_scale", "logit_bias")
_SIZES = ("input_resolution", "context_length", "vocab_size")  # beside OpenAI's weights
_LONGEST_HEADER = 100_000_000  # bytes, as the library has it
_POSITIONS = "text.transformer.embeddings.position_ids"  # of older versions of transformers


def read_weights(model: nn.Module, path: Path) -> None:
    """Load the safetensors file `path` into `model`, open_clip's CustomTextCLIP.

    Raises:
        UsageError: it cannot be read.
        ArtefactMismatch: it is no safetensors file, or its tensors are not those of the model.
    """
    tensors = _known_layout(load_tensors(path), model, path)
    own = model.state_dict()
    for name in (*_LOSS, *_SIZES, _POSITIONS):
        if name in tensors and name not in own:
            del tensors[name]
        elif name in tensors:
            tensors[name] = tensors[name].reshape(own[name].shape)
    missing = [name for name in own if name not in tensors and name not in _LOSS]
    unknown = [name for name in tensors if name not in own]
    wrong = [
        f"{name} is {tuple(tensor.shape)}, not {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    faults = [*wrong[:3], *_listed("lacks", missing), *_listed("has the unknown", unknown)]
    if faults:
        raise ArtefactMismatch(f"{path}: does not fit the model: {'; '.join(faults)}")
    model.load_state_dict(tensors, strict=False)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; see `read_weights` for the errors."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with path.open("rb") as file:
            start = file.read(64)
        if other := what_else(start):
            raise ArtefactMismatch(f"{path}: is no safetensors file, but {other}")
        return load_file(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        size = path.stat().st_size
        header = int.from_bytes(start[:8], "little")
        begun = start[8:9] in (b"{", b"") and header < _LONGEST_HEADER
        cut = begun and (header > size - 8 or "not fully covered" in str(error))
        what = "is cut off" if cut else "is no safetensors file"
        raise ArtefactMismatch(f"{path}: {what} ({error}); fetch it again") from None


def what_else(start: bytes) -> str | None:
    """Return what a file is that begins so, and what to do; None for what may be safetensors."""
    convert = "turn it into one: trml-rt convert weights FILE --out FILE.safetensors"
    # The length of a header may begin with the bytes of a pickle, and of a web page.
    if int.from_bytes(start[:8], "little") < _LONGEST_HEADER and start[8:9] == b"{":
        return None
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; fetch the file itself: git lfs pull"
    if start.startswith(b"PK\x03\x04") or start[:1] == b"\x80":
        return f"a pickle of PyTorch; {convert}"
    if start.lstrip()[:1] == b"<":
        return "a web page; download the file itself"
    return None


def _known_layout(tensors: dict[str, Tensor], model: nn.Module, path: Path) -> dict[str, Tensor]:
    """Return the tensors by the names that open_clip's CustomTextCLIP gives them."""
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if is_of_transformers(tensors):
        _log.info("%s: has the layout of transformers; its tensors are renamed", path)
        return to_open_clip(tensors, model, path)
    if left_out := [name for name in _SIZES if name in tensors]:
        _log.info("%s: %s are no weights, and left out", path, ", ".join(left_out))
        tensors = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    tensors = convert_state_dict(model, tensors)
    if "positional_embedding" in tensors:
        tensors = convert_to_custom_text_state_dict(tensors)
    return tensors


def _listed(what: str, names: list[str]) -> list[str]:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"it {what} {', '.join(names[:3])}{more}"] if names else []
