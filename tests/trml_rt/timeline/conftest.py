"""Timelines made by hand, of scores and of classes, for what is written of them."""

from __future__ import annotations

import pytest

from tests import media
from trml_rt.answer import Reason
from trml_rt.bundle.manifest import Task
from trml_rt.timeline.result import Timeline, TimelineRow
from trml_rt.timeline.summary import mean_of, periods_of, shares_of, swings_of

HOSTILE = (
    '</script><script>document.title="hacked"</script>'
    '<img src=http://127.0.0.1:9 onerror=alert(1)> "a" & b'
)
SCORES = Task.model_validate(
    {
        **{"kind": "regression", "range": [-1.0, 1.0]},
        **{"labels": ["negative", "positive"], "thresholds": [0.0]},
    }
)
CLASSES = Task.model_validate({"kind": "classification", "labels": ["sad", "glad", "<b>none"]})
NO_SPEECH = {"text": Reason.NO_SPEECH}
PARTS = (
    (0.0, 1.0, None, "video", NO_SPEECH, 2),
    (1.0, 2.0, None, "video", NO_SPEECH, 2),
    (2.0, 4.0, HOSTILE, "text_video", {}, 2),
    (4.0, 6.0, "so far, so good", "text", {"video": Reason.ENDED}, 0),
    (7.0, 8.0, "?", "none", {"text": Reason.UNKNOWN_TEXT, "video": Reason.ENDED}, 0),
)


def made(video, task, answers):
    """Return a timeline of PARTS, whose answers are (score, label, probabilities)."""
    rows = tuple(
        TimelineRow(start, end, text, *answer, presence, reasons, frames)
        for (start, end, text, presence, reasons, frames), answer in zip(
            PARTS, answers, strict=True
        )
    )
    return Timeline(
        **{"video": video, "seconds": 4.0, "damaged": False, "bundle": "<i>toy", "backend": "b"},
        **{"bundle_sha256": "0" * 64, "engines": "portable", "verified": True, "text": "s.srt"},
        **{"segment": "cue", "labels": tuple(task.labels)},
        range=task.range and (task.range[0], task.range[1]),
        overall=mean_of(rows, 0.0, 8.0, task),
        periods=periods_of(rows, task),
        swings=swings_of(rows),
        presence=shares_of(rows),
        rows=rows,
    )


@pytest.fixture
def video(tmp_path):
    (tmp_path / "videos").mkdir()
    return media.write_video(tmp_path / "videos" / "a #1?.mp4", 40, rate=10)


@pytest.fixture
def of_scores(video):
    scores = (0.5, -0.25, 1.0, -1.0)
    answers = [(score, "positive" if score >= 0 else "negative", None) for score in scores]
    return made(video, SCORES, [*answers, (None, None, None)])


@pytest.fixture
def of_classes(video):
    shares = ((0.7, 0.2, 0.1), (0.2, 0.7, 0.1), (0.1, 0.1, 0.8), (0.4, 0.3, 0.3))
    answers = []
    for share in shares:
        named = dict(zip(CLASSES.labels, share, strict=True))
        best = max(named, key=named.get)
        answers.append((named[best], best, named))
    return made(video, CLASSES, [*answers, (None, None, None)])
