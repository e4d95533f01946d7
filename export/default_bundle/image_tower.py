"""Adapt EfficientNet-Lite0 to sentiment in faces and emoji, blind to colour, on a CPU.

The stem and the first two stages keep their ImageNet weights: they hold most of the cost and little
of the meaning. The rest is tuned. The result is a moving average of the weights.
"""

from __future__ import annotations

import copy
import logging
import time
from pathlib import Path

import numpy as np
import sources
import timm
import torch
from augment import frames
from torch import nn
from torch.nn import functional

from trml_rt.progress import counted

_log = logging.getLogger(__name__)

NAME = "tf_efficientnet_lite0"
MEAN, STD = 127 / 255, 128 / 255  # the package's own (pixel - 127) / 128
LUMA = (0.299, 0.587, 0.114)
WIDTH = 1280
SEED = 7
BATCH = 48


def load_trunk(weights: Path) -> nn.Module:
    """Load the package's weights into timm's model; both list the same tensors in order."""
    trunk = timm.create_model(NAME)
    stored = torch.load(weights, map_location="cpu", weights_only=True)
    tensors = trunk.state_dict()
    counters = "num_batches_tracked"
    values = [v for k, v in stored.items() if not k.endswith(counters)]
    names = [k for k in tensors if not k.endswith(counters)]
    pairs = list(zip(names, values, strict=False))
    if len(names) != len(values) or any(tensors[k].shape != v.shape for k, v in pairs):
        raise SystemExit(f"{weights.name}: not the tensors of {NAME}")
    trunk.load_state_dict(dict(pairs), strict=False)
    trunk.reset_classifier(0, "avg")
    return trunk


def blind_to_colour(trunk: nn.Module) -> None:
    """Make RGB input equal to its grey version, exactly, by rewriting the first convolution.

    Works because mean and std are the same for the three channels.
    """
    weight = trunk.conv_stem.weight.data
    weight.copy_(weight.sum(1, keepdim=True) * torch.tensor(LUMA).view(1, 3, 1, 1))


class Tower(nn.Module):
    """The trunk with two training heads on its pooled vector."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.emotion = nn.Linear(WIDTH, len(sources.EMOTIONS))
        self.score = nn.Linear(WIDTH, 1)
        self.lower = nn.ModuleList([trunk.conv_stem, trunk.bn1, trunk.blocks[0], trunk.blocks[1]])
        self.lower.requires_grad_(False)

    def train(self, mode: bool = True) -> Tower:
        """Keep the frozen lower part in evaluation mode, its batch statistics too."""
        super().train(mode)
        self.lower.eval()
        return self

    def pooled(self, grey: torch.Tensor) -> torch.Tensor:
        """Take (n, 1, s, s) grey in 0..1, return (n, 1280)."""
        x = ((grey - MEAN) / STD).expand(-1, 3, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            for part in self.lower:
                x = part(x)
        for stage in self.trunk.blocks[2:]:
            x = stage(x)
        return self.trunk.global_pool(self.trunk.bn2(self.trunk.conv_head(x)))

    def forward(self, grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return pooled vectors, emotion logits (n, 8) and scores (n,)."""
        pooled = self.pooled(grey)
        dropped = functional.dropout(pooled, 0.2, self.training)
        return pooled, self.emotion(dropped), self.score(dropped)[:, 0]


class Pictures:
    """All pictures as one (n, 112, 112) array; an emoji's frames are rows of their own."""

    def __init__(self, data: Path, work: Path) -> None:
        still, moving = sources.grey_pictures(data, work)
        faces, emoji = sources.faces(data), sources.emoji(data)
        self.rows = faces + [row for row in emoji for _ in range(8)]
        self.pixels = np.concatenate([still, moving.reshape(-1, *moving.shape[2:])])
        self.score = np.array([row.score for row in self.rows], np.float32)
        self.emotion = np.array(
            [sources.EMOTIONS.index(row.emotion) if row.emotion else -100 for row in self.rows]
        )
        self.split = np.array([row.split for row in self.rows])

    def batch(self, index: np.ndarray) -> torch.Tensor:
        """Return (n, 1, 112, 112) in 0..1."""
        return torch.from_numpy(self.pixels[index])[:, None].float() / 255

    def round(self, seed: int) -> np.ndarray:
        """Draw one balanced round: happy and neutral alike, rare emotions twice, emoji once."""
        draw = np.random.default_rng(seed)
        train = self.split == "train"
        emoji = np.flatnonzero(self.emotion < 0).reshape(-1, 8)
        parts = [emoji[np.arange(len(emoji)), draw.integers(0, 8, len(emoji))]]
        for code, name in enumerate(sources.EMOTIONS):
            rows = np.flatnonzero(train & (self.emotion == code))
            if name in ("neutral", "happiness"):
                parts.append(draw.choice(rows, 3000, replace=False))
            else:
                parts.extend([rows, rows] if name in sources.NEGATIVE else [rows])
        return draw.permutation(np.concatenate(parts))


def plain(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """Resize as the runtime does: shorter side to `size`, bicubic."""
    return functional.interpolate(
        pictures, size=(size, size), mode="bicubic", antialias=True
    ).clamp(0, 1)


def features(tower: Tower, pictures: Pictures, index: np.ndarray, size: int, seed: int = -1):
    """Return pooled vectors and scores of rows; `seed` >= 0 augments them first."""
    tower.eval()
    generator = torch.Generator().manual_seed(max(seed, 0))
    pooled, scores = [], []
    with torch.no_grad():
        for part in np.array_split(index, max(1, len(index) // 64)):
            x = pictures.batch(part)
            x = frames(x, size, generator) if seed >= 0 else plain(x, size)
            vector, _, score = tower(x)
            pooled.append(vector)
            scores.append(score)
    return torch.cat(pooled), torch.cat(scores).numpy()


def balanced_accuracy(truth: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean of recall over the classes that occur in `truth`."""
    return float(np.mean([(chosen[truth == c] == c).mean() for c in np.unique(truth)]))


def _losses(tower: Tower, x, emotion, score) -> torch.Tensor:
    _, logits, predicted = tower(x)
    loss = functional.smooth_l1_loss(predicted, score, beta=0.25) * 2
    if (emotion >= 0).any():
        loss = loss + functional.cross_entropy(logits, emotion, label_smoothing=0.1) * 0.5
    return loss


def train(data: Path, work: Path, weights: Path, size: int, rounds: int) -> Tower:
    """Tune for `rounds` balanced rounds; resumes from `work`/image.pt after the last whole one."""
    torch.manual_seed(SEED)
    pictures = Pictures(data, work)
    tower = Tower(load_trunk(weights)).to(memory_format=torch.channels_last)
    heads = [*tower.emotion.parameters(), *tower.score.parameters()]
    body = [p for p in tower.trunk.parameters() if p.requires_grad]
    groups = [{"params": body, "lr": 6e-4}, {"params": heads, "lr": 3e-3}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.02)
    steps = -(-len(pictures.round(0)) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [6e-4, 3e-3], total_steps=rounds * steps, pct_start=0.15
    )
    mean = copy.deepcopy(tower)
    state, start = work / f"image{size}.pt", 0
    if state.exists():
        checkpoint = torch.load(state, weights_only=True)
        tower.load_state_dict(checkpoint["tower"])
        mean.load_state_dict(checkpoint["mean"])
        optimiser.load_state_dict(checkpoint["optimiser"])
        schedule.load_state_dict(checkpoint["schedule"])
        start = checkpoint["round"]
    valid = np.flatnonzero((pictures.split == "valid") & (pictures.emotion >= 0))
    happy = (pictures.score[valid] > 0.5).astype(int)
    for number in range(start, rounds):
        start_time = time.time()
        torch.manual_seed(SEED + number)  # a resumed run draws what an unbroken one does
        generator = torch.Generator().manual_seed(SEED + number)
        tower.train()
        parts = np.array_split(pictures.round(number), steps)
        words, total = f"image, round {number + 1} of {rounds}, step", 0.0
        for step, part in enumerate(counted(parts, steps, words, _log)):
            x = frames(pictures.batch(part), size, generator)
            emotion = torch.from_numpy(pictures.emotion[part])
            loss = _losses(tower, x, emotion, torch.from_numpy(pictures.score[part]))
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(body, 2.0)
            optimiser.step()
            schedule.step()
            keep = min(0.99, (1 + number * steps + step) / (10 + number * steps + step))
            for slow, fast in zip(
                mean.state_dict().values(), tower.state_dict().values(), strict=True
            ):
                if slow.is_floating_point():
                    slow.lerp_(fast, 1 - keep)
            total += loss.item()
        report = []
        for seed in (-1, 1):
            _, score = features(mean, pictures, valid, size, seed)
            report.append(balanced_accuracy(happy, (score > 0.375).astype(int)))
        _log.info(
            "image, round %d of %d: loss %.3f, balanced accuracy %.4f, augmented %.4f, %.0f s",
            *(number + 1, rounds, total / steps, *report, time.time() - start_time),
        )
        torch.save(
            {
                "tower": tower.state_dict(),
                "mean": mean.state_dict(),
                "round": number + 1,
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "report": report,
            },
            state,
        )
    blind_to_colour(mean.trunk)
    return mean.eval()
