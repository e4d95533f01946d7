"""Ask one encoder for vectors, and hold them to what vectors must be."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from trml_export.backbone.backbone import Encoders
from trml_export.backbone.placing import Placement
from trml_rt.errors import ArtefactMismatch, VerificationFailed, lacking, lacks_resource

__all__ = ["Tower"]

_log = logging.getLogger(__name__)

_COMPARED = 32  # of the first rows, that are computed in FP32, too
_LIMIT = 0.05  # of the length of a vector; two vectors of one length then differ by 3 degrees


class Tower:
    """The encoder of texts or of frames; the first vectors in half precision are held against FP32.

    Args:
        backbone: whose encoder it is.
        inputs: what it takes, in words.
        call: gives vectors (rows, d) of inputs (rows, ...).
        batch: the most rows of a call.
    """

    def __init__(
        self, backbone: Encoders, inputs: str, call: Callable[[Tensor], Tensor], batch: int
    ) -> None:
        self._backbone = backbone
        self._inputs = inputs
        self._call = call
        self._batch = batch
        self._compared = backbone.placement.half is None

    def __call__(self, inputs: Tensor) -> npt.NDArray[np.float32]:
        """Return the vectors (rows, d) of ids (rows, tokens) or of frames.

        Raises:
            ArtefactMismatch: vectors that are no numbers.
            EnvironmentUnfit: the machine, or its GPU, lacks memory.
            VerificationFailed: vectors in half precision that are far from those in FP32.
        """
        vectors = self._run(inputs, self._backbone.placement)
        if not self._compared and len(inputs):
            self._compare(inputs[:_COMPARED], vectors[:_COMPARED])
            self._compared = True
        return vectors

    def _run(self, inputs: Tensor, placement: Placement) -> npt.NDArray[np.float32]:
        parts = [np.zeros((0, self._backbone.size), np.float32)]
        for batch in inputs.split(self._batch) if len(inputs) else ():
            parts.append(self._call_on(batch, placement))
        vectors = np.concatenate(parts)
        if not np.isfinite(vectors).all():
            remedy = "check its weights" if placement.half is None else "leave --mixed out"
            how = "" if placement.half is None else f" in {placement.type_name}"
            name = self._backbone.name
            raise ArtefactMismatch(f"{name}: gives vectors that are no numbers{how}; {remedy}")
        return vectors

    def _call_on(self, batch: Tensor, placement: Placement) -> npt.NDArray[np.float32]:
        try:
            return placement.run(self._call, batch).numpy()
        except RuntimeError as error:  # what PyTorch says of memory, too
            if not lacks_resource(error):
                raise
            first, *_ = str(error).splitlines()
            raise lacking(f"{self._backbone.name}:", f"encode {self._inputs}", first) from None

    def _compare(self, inputs: Tensor, vectors: npt.NDArray[np.float32]) -> None:
        placement = self._backbone.placement
        exact = self._run(inputs, placement.in_fp32)
        lengths = np.maximum(np.linalg.norm(exact, axis=1), np.finfo(np.float32).tiny)
        far = float((np.linalg.norm(vectors - exact, axis=1) / lengths).max())
        percent = f"{100 * far:.2g} % of their length"
        if not far <= _LIMIT:
            raise VerificationFailed(
                f"{self._backbone.name}: vectors of {self._inputs} in {placement.type_name} are "
                f"{percent} away from those in FP32, above {100 * _LIMIT:g} %; leave --mixed out"
            )
        _log.info(
            "vectors of %s in %s: at most %s away from those in FP32, on %d of them",
            *(self._inputs, placement.type_name, percent, len(vectors)),
        )
