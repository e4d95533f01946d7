"""Fuse text and video vectors, generating the one that is missing.

TRML as implemented here (after arXiv 2401.13697). The encoders stay outside. The model starts from
their vectors, which are computed once and cached. Each of the three `fuse_*` methods becomes one
small graph of the bundle. d is the size of the encoders' shared space.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trml_export.config import Config
from trml_export.method.fusion import AttentionHead, Head
from trml_export.method.generators import Gate, TrainingMean, make_generator

__all__ = ["TRML", "TemporalEncoder", "Views", "normalise"]

_PLACES = {(True, False): 0, (False, True): 1, (True, True): 2}
"""Where a presence case stands, by whether (text, video) are real."""


def normalise(vectors: Tensor) -> Tensor:
    """Return `vectors` (..., d) at length 1; a zero vector stays zero.

    The floor is 1e-4 and not torch's 1e-12, which is zero in FP16 and would turn the
    padding of a short clip into NaN there. CLIP's vectors have lengths near 10.
    """
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-4)


class TemporalEncoder(nn.Module):
    """Pool frame vectors into one: `h_v = masked_mean(GRU(x_v) + x_v)`, or the mean alone."""

    def __init__(self, size: int, kind: str = "gru") -> None:
        super().__init__()
        # Only the weights of nn.GRU are used: `forward` is its unrolled form.
        self.gru = nn.GRU(size, size, batch_first=True) if kind == "gru" else None

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Return (batch, d) for `frames` (batch, n, d) and a bool `mask` (batch, n).

        Clips are packed to the front: the mask of each row is True up to its length, which
        is at least 1. Masked places have no influence, even if they hold NaN.
        """
        real = mask.unsqueeze(-1)  # (batch, n, 1)
        frames = torch.where(real, frames, torch.zeros_like(frames))
        states = frames if self.gru is None else self._unrolled(frames) + frames
        total = torch.where(real, states, torch.zeros_like(states)).sum(dim=1)
        return total / real.to(states.dtype).sum(dim=1).clamp(min=1.0)

    def _unrolled(self, frames: Tensor) -> Tensor:
        """Return every state (batch, n, d) of the GRU, one step after the other.

        The formula is that of torch.nn.GRU. One matrix product projects the inputs of all
        steps and gates. No step tests the mask, because padding comes last.
        """
        gru = self.gru
        assert gru is not None
        projected = functional.linear(frames, gru.weight_ih_l0, gru.bias_ih_l0)
        state = torch.zeros_like(frames[:, 0])
        states = []
        for step in projected.unbind(dim=1):
            hidden = functional.linear(state, gru.weight_hh_l0, gru.bias_hh_l0)
            reset_in, update_in, new_in = step.chunk(3, dim=-1)
            reset_hidden, update_hidden, new_hidden = hidden.chunk(3, dim=-1)
            reset = torch.sigmoid(reset_in + reset_hidden)
            update = torch.sigmoid(update_in + update_hidden)
            new = torch.tanh(new_in + reset * new_hidden)
            state = new + update * (state - new)  # = (1 - update) * new + update * state
            states.append(state)
        return torch.stack(states, dim=1)


class Views(NamedTuple):
    """What training sees of a batch: each view covers only the rows that allow it.

    `text_rows`, `video_rows` and `both_rows` index the batch. Predictions are (rows, outputs)
    in that order. The vectors are what matching compares, for complete rows alone: (both, d),
    or (both, head width) where `matching_level` is "head".
    """

    text_rows: Tensor
    video_rows: Tensor
    both_rows: Tensor
    from_text: Tensor
    from_video: Tensor
    from_both: Tensor
    virtual_text: Tensor
    virtual_video: Tensor
    real_text: Tensor
    real_video: Tensor


class TRML(nn.Module):
    """The trained part of TRML, over the vectors of a frozen backbone.

    `text_state` and `frame_states` turn an encoder's raw vectors into the method's x_t and
    x_v; they belong to the encoders' graphs. The `fuse_*` methods start from x_t (batch, d)
    and x_v (batch, n, d). The bool mask (batch, n) is True up to each clip's length.
    A prediction is a score (batch, 1), not clipped, or logits (batch, classes).
    `softness` and `reach` (3,) say how sure text alone, video alone and both may be.
    """

    def __init__(self, config: Config, size: int) -> None:
        super().__init__()
        self.config = config
        self.size = size
        self.temporal = TemporalEncoder(size, config.temporal_encoder)
        self.text_to_video = self._generator()
        self.video_to_text = self._generator()
        self.video_gate = Gate(size) if config.gate else None
        self.text_gate = Gate(size) if config.gate else None
        if config.standardise:
            for name, value in (("mean", torch.zeros(2, size)), ("scale", torch.ones(2, size))):
                self.register_buffer(f"vector_{name}", value)  # of texts, of frames
        width, heads = config.head_width or size, (config.outputs, config.dropout)
        # Layers begin at random for coordinates near 1, and learn slowly from smaller ones.
        level = math.sqrt(size) if config.equal_lengths else 1.0
        self.head_scale = level if config.head_scale is None else config.head_scale
        # By presence case; `training.confidence` learns them.
        kind = config.task if config.learn_confidence else None
        self.softness: Tensor | None
        self.register_buffer("softness", torch.ones(3) if kind == "classification" else None)
        self.reach: Tensor | None
        self.register_buffer("reach", torch.full((3,), torch.inf) if kind == "regression" else None)
        self.head: Head | AttentionHead
        if config.fusion == "attention":
            self.head = AttentionHead(size, width, *heads)
        else:
            self.head = Head(size, width, *heads, config.mask_bits)

    def _generator(self) -> nn.Module:
        width = self.config.generator_width * self.size
        return make_generator(self.config.generator, self.size, width)

    def text_state(self, text: Tensor) -> Tensor:
        """Return x_t (batch, d) of the text encoder's raw vectors (batch, d)."""
        return normalise(text) if self.config.normalise else text

    def frame_states(self, frames: Tensor) -> Tensor:
        """Return x_v (..., d) of the image encoder's raw vectors (..., d)."""
        return normalise(frames) if self.config.normalise else frames

    def fuse_text(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prediction and the virtual video (batch, d) of text alone."""
        text = self.door_of_text(text)
        video = self._levelled(self.text_to_video(text))
        video = self._blended(self.video_gate, video, text)
        return self._answer(text, video, (True, False)), video

    def fuse_video(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prediction and the virtual text (batch, d) of video alone."""
        video = self.pooled(frames, mask)
        text = self._levelled(self.video_to_text(video))
        text = self._blended(self.text_gate, text, video)
        return self._answer(text, video, (False, True)), text

    def fuse_text_video(self, text: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """Return the prediction from both real modalities."""
        return self._answer(self.door_of_text(text), self.pooled(frames, mask), (True, True))

    def pooled(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Return the vector (batch, d) of a clip that the head takes."""
        return self._levelled(self.temporal(self._standard(frames, 1), mask))

    @torch.no_grad()
    def learn_spaces(self, texts: Tensor, frames: Tensor) -> None:
        """Take the centre and the spread of raw vectors in training, both (rows, d).

        It does nothing unless `standardise` is set. An encoder without rows stays as it is.
        """
        if not self.config.standardise:
            return
        for number, vectors in enumerate((self.text_state(texts), self.frame_states(frames))):
            if len(vectors) > 1:
                self.vector_mean[number] = vectors.mean(dim=0)
                spread = vectors.std(dim=0)
                self.vector_scale[number] = 1 / spread.clamp(min=0.01 * float(spread.max()) + 1e-6)

    def _standard(self, vectors: Tensor, number: int) -> Tensor:
        """Return text (0) or frame (1) vectors (..., d) about their centre, at length 1."""
        if not self.config.standardise:
            return vectors
        return normalise((vectors - self.vector_mean[number]) * self.vector_scale[number])

    def door_of_text(self, text: Tensor) -> Tensor:
        """Return x_t as the head takes it; `normalise` and `standardise` level it already."""
        if self.config.standardise:
            return self._standard(text, 0)
        return text if self.config.normalise else self._levelled(text)

    def _blended(self, gate: Gate | None, virtual: Tensor, real: Tensor) -> Tensor:
        return virtual if gate is None else self._levelled(gate(virtual, real))

    def _predict(self, text: Tensor, video: Tensor, real: tuple[bool, bool]) -> Tensor:
        """Return what the head says of two vectors (batch, d); `real` as in `Head.forward`."""
        return self.head(self.head_scale * text, self.head_scale * video, real)

    def _answer(self, text: Tensor, video: Tensor, real: tuple[bool, bool]) -> Tensor:
        """Return what `_predict` does, as sure as its presence case may be."""
        prediction = self._predict(text, video, real)
        return prediction if self.softness is None else prediction / self.softness[_PLACES[real]]

    def _levelled(self, vectors: Tensor) -> Tensor:
        """Return vectors (..., d) of one length, if the configuration wants that.

        Matching by directions bounds no length. Virtual vectors once grew to ten times the real
        ones, and a head that lived on them did not hear a real second input.
        """
        return normalise(vectors) if self.config.equal_lengths else vectors

    def forward(self, text: Tensor, has_text: Tensor, frames: Tensor, mask: Tensor) -> Views:
        """Return every view that each row of a training batch allows; see `Views`.

        Takes raw vectors: text (batch, d) and frames (batch, n, d). A row has
        text where `has_text` (batch,) is True, and video where `mask` has a frame.
        Values in the place of a missing modality are never read. Both encoders run once.
        """
        has_video = mask.any(dim=1)
        text_rows = has_text.nonzero().squeeze(1)
        video_rows = has_video.nonzero().squeeze(1)
        both_rows = (has_text & has_video).nonzero().squeeze(1)
        real_text = self.door_of_text(self.text_state(text[text_rows]))  # (text rows, d)
        real_video = self.pooled(
            self.frame_states(frames[video_rows]), mask[video_rows]
        )  # (video rows, d)
        if self.training:
            for generator, real in (
                (self.text_to_video, real_video),
                (self.video_to_text, real_text),
            ):
                if isinstance(generator, TrainingMean):
                    generator.observe(real)
        virtual_video = self._levelled(self.text_to_video(real_text))
        virtual_text = self._levelled(self.video_to_text(real_video))
        shown_video, shown_text = virtual_video, virtual_text
        if not self.config.task_teaches_generators:
            shown_video, shown_text = virtual_video.detach(), virtual_text.detach()
        shown_video = self._blended(self.video_gate, shown_video, real_text)
        shown_text = self._blended(self.text_gate, shown_text, real_video)

        with_video = has_video[text_rows]  # picks the complete rows out of the text rows
        with_text = has_text[video_rows]
        both_text, both_video = real_text[with_video], real_video[with_text]
        return Views(
            text_rows=text_rows,
            video_rows=video_rows,
            both_rows=both_rows,
            from_text=self._predict(real_text, shown_video, (True, False)),
            from_video=self._predict(shown_text, real_video, (False, True)),
            from_both=self._predict(both_text, both_video, (True, True)),
            virtual_text=self._compared(virtual_text[with_text], "text"),
            virtual_video=self._compared(virtual_video[with_video], "video"),
            real_text=self._compared(both_text, "text"),
            real_video=self._compared(both_video, "video"),
        )

    def _compared(self, vectors: Tensor, side: str) -> Tensor:
        """Return what matching compares: the vectors (rows, d), or what the head makes of them.

        The head's weights get no gradient here; else matching could win by shrinking them.
        """
        if self.config.matching_level == "vector":
            return vectors
        text, video = self.head.hidden.weight.detach().chunk(2, dim=1)  # `fusion` is concat
        weight = text if side == "text" else video
        return functional.linear(self.head_scale * vectors, weight)
