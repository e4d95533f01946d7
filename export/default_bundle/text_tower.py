"""Adapt MiniLM-L6 with the trimmed vocabulary to sentiment, on a CPU.

The upper four of six layers are tuned. Two heads: the score, and GoEmotions' 28
labels, which keeps more in the vector than one direction. Fewer GoEmotions rows a round
than there are, so that VADER's graded ratings lead.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import sources
import torch
import vocabulary
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel

from trml_rt.progress import counted

_log = logging.getLogger(__name__)

WIDTH = 384
SEED = 7
BATCH = 64
FROZEN = 2  # lower layers left alone: a quarter of the work
REDDIT_ROUND = 14_000


class Tower(nn.Module):
    """The transformer with two training heads on its mean-pooled vector."""

    def __init__(self, folder: Path, labels: int) -> None:
        super().__init__()
        config = AutoConfig.from_pretrained(folder)
        self.transformer = AutoModel.from_config(config, add_pooling_layer=False)
        self.transformer.embeddings.requires_grad_(False)
        for layer in self.transformer.encoder.layer[:FROZEN]:
            layer.requires_grad_(False)
        self.score = nn.Linear(WIDTH, 1)
        self.emotions = nn.Linear(WIDTH, labels)

    def pooled(self, ids: torch.Tensor) -> torch.Tensor:
        """Take (n, tokens) ids, padded with 0; return (n, 384)."""
        mask = (ids != 0).long()
        hidden = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (n,) and emotion logits (n, 28)."""
        pooled = functional.dropout(self.pooled(ids), 0.1, self.training)
        return self.score(pooled)[:, 0], self.emotions(pooled)


class Sentences:
    """Tokenised rows, batched by length."""

    def __init__(self, rows: list[sources.Text], folder: Path) -> None:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(vocabulary.CONTEXT)
        self.rows = rows
        self.ids = [e.ids for e in tokenizer.encode_batch([row.text for row in rows])]
        self.score = np.array([row.score for row in rows], np.float32)

    def batch(self, index: np.ndarray) -> torch.Tensor:
        """Return ids (n, longest), padded with 0."""
        longest = max(len(self.ids[i]) for i in index)
        padded = [self.ids[i] + [0] * (longest - len(self.ids[i])) for i in index]
        return torch.tensor(padded)

    def batches(self, index: np.ndarray, size: int, draw: np.random.Generator | None = None):
        """Split `index` into batches of like length, in random order when `draw` is given."""
        length = np.array([len(self.ids[i]) for i in index], float)
        if draw is not None:
            length += draw.random(len(index)) * 2
        order = index[np.argsort(length, kind="stable")]
        parts = [order[i : i + size] for i in range(0, len(order), size)]
        return parts if draw is None else [parts[i] for i in draw.permutation(len(parts))]


def features(tower: Tower, sentences: Sentences) -> tuple[torch.Tensor, np.ndarray]:
    """Return pooled vectors (n, 384) and scores (n,) of all rows, in their order."""
    tower.eval()
    pooled = torch.empty(len(sentences.rows), WIDTH)
    with torch.no_grad():
        for part in sentences.batches(np.arange(len(sentences.rows)), 128):
            pooled[torch.from_numpy(part)] = tower.pooled(sentences.batch(part))
        return pooled, tower.score(pooled)[:, 0].numpy()


def sign_accuracy(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the share of right signs among ratings beyond VADER's neutral band."""
    clear = np.abs(truth) > 0.125
    return float(((truth > 0) == (score > 0))[clear].mean())


def _targets(rows: list[sources.Text]) -> tuple[list[str], torch.Tensor]:
    names = sorted({e for row in rows for e in row.emotions})
    target = torch.full((len(rows), len(names)), -1.0)  # -1: this set has no such labels
    for i, row in enumerate(rows):
        if row.emotions:
            target[i] = torch.tensor([float(name in row.emotions) for name in names])
    return names, target


def train(data: Path, work: Path, package: Path, folder: Path, token_ids: list[int], rounds: int):
    """Tune for `rounds`; resumes from `work`/text.pt after the last whole round."""
    torch.manual_seed(SEED)
    rows = [row for row in sources.vader(data) + sources.goemotions(data) if row.split == "train"]
    checks = [row for row in sources.vader(data) if row.split == "valid"]
    sentences, valid = Sentences(rows, folder), Sentences(checks, folder)
    names, target = _targets(rows)
    tower = Tower(folder, len(names))
    state = vocabulary.trim_weights(load_file(package / "model.safetensors"), token_ids)
    tower.transformer.load_state_dict(state)
    reddit = np.array([row.domain == "reddit" for row in rows])
    neutral = reddit & (sentences.score == 0)
    share = np.where(neutral, 0.5, 1.0)[reddit]  # neutral comments half as often
    body = [p for p in tower.transformer.parameters() if p.requires_grad]
    heads = [*tower.score.parameters(), *tower.emotions.parameters()]
    optimiser = torch.optim.AdamW(
        [{"params": body, "lr": 1.5e-4}, {"params": heads, "lr": 2e-3}], weight_decay=0.01
    )
    steps = -(-(int((~reddit).sum()) + REDDIT_ROUND) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [1.5e-4, 2e-3], total_steps=rounds * steps, pct_start=0.1
    )
    store, start = work / "text.pt", 0
    if store.exists():
        checkpoint = torch.load(store, weights_only=True)
        tower.load_state_dict(checkpoint["tower"])
        optimiser.load_state_dict(checkpoint["optimiser"])
        schedule.load_state_dict(checkpoint["schedule"])
        start = checkpoint["round"]
    domain = np.array([row.domain for row in checks])
    for number in range(start, rounds):
        start_time, draw = time.time(), np.random.default_rng(SEED + number)
        torch.manual_seed(SEED + number)
        comments = draw.choice(
            np.flatnonzero(reddit), REDDIT_ROUND, replace=False, p=share / share.sum()
        )
        tower.train()
        index = np.concatenate([np.flatnonzero(~reddit), comments])
        parts = sentences.batches(index, BATCH, draw)
        words, total = f"text, round {number + 1} of {rounds}, step", 0.0
        for part in counted(parts, len(parts), words, _log):
            score, logits = tower(sentences.batch(part))
            loss = (
                functional.smooth_l1_loss(score, torch.from_numpy(sentences.score[part]), beta=0.1)
                * 4
            )
            labels = target[torch.from_numpy(part)]
            labelled = labels[:, 0] >= 0
            if labelled.any():
                wrong = functional.binary_cross_entropy_with_logits(
                    logits[labelled], labels[labelled]
                )
                loss = loss + 2 * wrong * labelled.float().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(body, 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        _, valid_score = features(tower, valid)
        report = {
            str(name): sign_accuracy(valid.score[domain == name], valid_score[domain == name])
            for name in np.unique(domain)
        }
        _log.info(
            "text, round %d of %d: loss %.3f, valid sign accuracy %s, %.0f s",
            *(number + 1, rounds, total / len(parts), report, time.time() - start_time),
        )
        torch.save(
            {
                "tower": tower.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "round": number + 1,
            },
            store,
        )
    return tower.eval()
