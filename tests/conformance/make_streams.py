"""Write streams.json from streams of the Python package.

Run from the repository root: PYTHONPATH=. python tests/conformance/make_streams.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import trml_rt
from tests.conformance.streams import play_python

HERE = Path(__file__).parent
BUNDLES = {
    "tiny": HERE.parent / "bundles" / "schema1",
    "default": HERE.parents[1] / "trml_rt" / "default_bundle",
}
GOOD, BAD = "what a good day", "a bad day"
FOREIGN = "\u0e14\u0e35"  # which the model does not know
POLL, DRAIN, END, CLOSE = ["poll"], ["drain"], ["end"], ["close"]
LAST = [DRAIN, END, DRAIN]
Step = list[Any]


def frame(t: Any, seed: int | None = 0, size: tuple[int, int] = (8, 8), *form: str) -> Step:
    return ["frame", t, [*size, seed], *form]


def text(words: str, t: Any = None, end: Any = None) -> Step:
    return ["text", words, t, end]


def clock(seconds: float) -> Step:
    return ["clock", seconds]


def state(word: str, message: str | None = None) -> Step:
    return ["state", word, message]


def after(wait: float, *frames: Step) -> list[Step]:
    """Push frames so many seconds apart, and poll after each."""
    return [step for each in frames for step in (clock(wait), each, DRAIN)]


def run(times: list[float], *, first: int = 0, size: tuple[int, int] = (8, 8)) -> list[Step]:
    """Push frames with these times and poll after each; the clock stands still."""
    return [step for n, t in enumerate(times) for step in (frame(t, first + n, size), DRAIN)]


def windows() -> dict[str, dict[str, Any]]:
    """Cover window settings, with texts on a clock of their own."""
    spoken = [text(GOOD, 0.12, 0.4), text(BAD, 0.44, 0.5), text("not good", 0.9)]
    steps = [*spoken, *run([n / 25 for n in range(30)]), text("good", 0.3, 9.0), *run([1.2, 1.24])]
    settings = {
        "window of one": {"window": 1},
        "window of two": {"window": 2},
        "whole window": {},
        "three, a tenth apart": {"window": 3, "every": 0.1},
        "whole windows encoded": {"window": 3, "every": 0.1, "keep_vectors": False},
        "a quarter apart, texts hold long": {"every": 0.25, "hold": 30.0},
        "texts with an offset": {"window": 2, "every": 0.1, "offset": 0.35, "hold": 0.2},
    }
    return {
        name: {"rules": {"policy": "every", **rules}, "steps": [*steps, END, DRAIN]}
        for name, rules in settings.items()
    }


def texts() -> dict[str, dict[str, Any]]:
    """Cover texts alone, late, early, unknown, and what comes of anytime."""
    return {
        "text after a frame": {"steps": [frame(0.04), text(GOOD), POLL, POLL]},
        "text alone": {"steps": [text(GOOD), DRAIN, clock(1.0), DRAIN, text(BAD), *LAST]},
        "text in a file's way": {
            "rules": {"policy": "every"},
            "steps": [text(GOOD, 1.0, 2.0), text(BAD, 3.0), DRAIN, ["end_texts"], *LAST],
        },
        "unknown and empty": {
            "steps": [text(FOREIGN), DRAIN, *run([0.0]), text(" "), *run([0.04])],
        },
        "a text goes stale, then ends": {
            "rules": {"hold": 1.0},
            "steps": [text(GOOD), *run([0.0, 0.9, 1.1]), ["end_texts"], *run([1.2]), END, DRAIN],
        },
        "texts out of order": {
            "rules": {"policy": "every"},
            "steps": [
                *(text("good", 2.0), text(BAD, 0.5, 1.0), text(GOOD, 1.5)),
                *run([0.0, 0.6, 1.6, 2.1]),
            ],
        },
        "anytime": {
            "rules": {"anytime": True},
            "steps": [text(GOOD), frame(0.0), POLL, frame(0.1, 1), POLL, POLL, POLL, POLL],
        },
        "anytime, closed between": {
            "rules": {"anytime": True},
            "steps": [text(GOOD), frame(0.0), POLL, CLOSE, POLL],
        },
        "before the first frame": {
            "steps": [clock(3.0), text(GOOD), DRAIN, *after(0.5, frame(700.0), frame(700.1, 1))],
        },
        "an earlier frame than an answer": {
            "steps": [clock(3.0), text(GOOD), DRAIN, *run([0.0, -1.0])],
        },
    }


def drops() -> dict[str, dict[str, Any]]:
    """Cover each cause, and frames for which there is no room."""
    many = [frame(n / 10, n) for n in range(5)]
    talk = [step for n in range(30) for step in (text(GOOD), frame(n / 10, n), POLL)]
    return {
        "freshest": {"steps": [*many, DRAIN, END, DRAIN]},
        "buffer of three": {"rules": {"buffer": 3}, "steps": [*many, DRAIN]},
        "no room": {
            "rules": {"policy": "every", "buffer": 2},
            "steps": [*many, POLL, *many, DRAIN],
        },
        "default room": {
            "rules": {"policy": "every"},
            "steps": [*(frame(n / 10, n) for n in range(10)), CLOSE, POLL],
        },
        "between": {
            "rules": {"policy": "every", "every": 0.1, "window": 2},
            "steps": run([n / 30 for n in range(20)]),
        },
        "a late frame": {
            "rules": {"policy": "every", "every": 1.0},
            "steps": run([0.0, 1.4, 1.9, 2.0, 2.5, 3.1]),
        },
        "stale": {
            "steps": [frame(0.0), clock(0.6), POLL, frame(0.6, 1), clock(0.4), POLL],
        },
        "stale for so long": {
            "rules": {"max_staleness": 0.1},
            "steps": [*run([0.0]), text(GOOD)]
            + [s for n in range(1, 9) for s in (frame(n / 2, n), clock(0.5), DRAIN)],
        },
        "late": {"rules": {"deadline_ms": 50.0, "window": 2}, "takes": 0.08, "steps": talk},
        "late without a text": {
            "rules": {"deadline_ms": 50.0},
            "takes": 0.08,
            "steps": run([n / 10 for n in range(6)]),
        },
        "unchanged": {"rules": {"policy": "every"}, "steps": run([0.0, 0.0, 0.0, 0.1])},
        "too narrow": {
            "bundle": "default",
            "steps": [frame(0.0, 0, (1, 9000)), POLL, frame(0.1, 1, (128, 128)), POLL],
        },
        "unfinished": {"steps": [*many, CLOSE, POLL, frame(9.0), text(GOOD)]},
        "told that it ends": {"steps": [frame(0.0), END, frame(1.0), text(GOOD), DRAIN]},
    }


def epochs() -> dict[str, dict[str, Any]]:
    """Cover steps of time."""
    every = {"policy": "every"}
    return {
        "a step back": {"rules": {**every, "window": 4}, "steps": run([0.5, 0.7, 0.0, 0.2])},
        "a step ahead": {"rules": every, "steps": run([0.5, 10.5, 20.6, 20.7])},
        "a short gap": {"rules": {**every, "max_gap": 0.5}, "steps": run([0.5, 1.0, 1.6])},
        "round and round": {
            "rules": {**every, "window": 3, "every": 0.1},
            "steps": run([n % 8 / 20 for n in range(32)]),
        },
        "a text goes on where time jumps": {
            "rules": every,
            "steps": [*run([1000.0]), text(GOOD), POLL, *run([3.0, 8.0, 8.1])],
        },
    }


def states() -> dict[str, dict[str, Any]]:
    """Cover each state and reason, by the clock and by word."""
    still = [frame(n / 4, 3) for n in range(8)]
    black = [frame(n / 4, None) for n in range(8)]
    lost = [clock(0.5), DRAIN] * 6
    return {
        "stalled and back": {
            "rules": {"window": 2},
            "steps": [text(GOOD, None, 60.0), *run([0.0, 0.1]), *lost]
            + [s for t in (5.0, 5.1, 5.2) for s in after(0.1, frame(t))],
        },
        "stalled in no time": {
            "rules": {"window": 2, "stall_after": 0.2, "every": 0.05},
            "steps": [*run([0.0]), text(GOOD, None, 60.0), *([clock(0.03), DRAIN] * 12)],
        },
        "its time stands still": {
            "steps": [
                text(GOOD, None, 60.0),
                *after(0.5, *[frame(0.0)] * 7),
                *after(0.1, frame(9.0, 1)),
            ],
        },
        "frozen": {"rules": {"freeze_after": 0.6}, "steps": after(0.25, *still, frame(2.1, 4))},
        "black": {
            "rules": {"freeze_after": 0.6, "window": 2},
            "steps": [text(GOOD, None, 60.0), *after(0.25, *black, frame(2.1, 4), frame(2.2, 5))],
        },
        "a still scene": {"steps": after(0.25, *still)},
        "flapping": {
            "rules": {"window": 3},
            "steps": [*run([0.0, 0.1, 0.2])]
            + [s for n in range(3) for s in (clock(2.5), DRAIN, *run([3.0 + n, 3.1 + n]))]
            + run([6.0, 6.1, 6.2]),
        },
        "by word": {
            "rules": {"window": 2},
            "steps": [
                *(state("connecting", "opens /dev/video0"), DRAIN, text(GOOD, None, 99.0), DRAIN),
                *(*run([0.0, 0.1]), state("retrying", "a cable"), state("retrying", "a cable")),
                *(DRAIN, clock(1.1), DRAIN, state("stalled"), DRAIN, *run([5.0, 5.1, 5.2])),
                *(state("failed", "it is broken"), DRAIN, state("ended"), DRAIN, END, DRAIN),
            ],
        },
        "by word, in a file's way": {
            "rules": {"policy": "every"},
            "steps": [
                *(state("connecting"), text(GOOD, 0.0, 1.0), DRAIN, *run([0.0, 0.1])),
                *(text(BAD, 5.0), state("ended"), DRAIN, END, DRAIN),
            ],
        },
        "before a frame that waits": {
            "steps": [frame(0.0), state("retrying"), frame(0.1, 1), text(GOOD), POLL, POLL, POLL],
        },
    }


def formats() -> dict[str, dict[str, Any]]:
    """Cover frames of other sizes and formats."""
    steps = [frame(0.0, 1, (8, 8), "bgr"), POLL, frame(0.1, 2, (8, 8), "gray"), POLL]
    sizes = [(9, 12), (64, 48), (7, 31), (1, 1)]
    steps += [s for n, size in enumerate(sizes) for s in (frame(0.2 + n, n, size), POLL)]
    both = [text(GOOD, 0.0, 9.0), *run([0.0, 0.5, 1.0], size=(128, 128))]
    return {
        "formats and sizes": {"rules": {"policy": "every"}, "steps": steps},
        "default bundle": {"bundle": "default", "rules": {"window": 2}, "steps": both},
    }


def refusals() -> dict[str, dict[str, Any]]:
    """Cover what is refused when a stream is opened, and later."""
    rules: list[dict[str, Any]] = [
        {"window": 5},
        {"window": -1},
        {"buffer": -3},
        *({name: -1.0} for name in ("every", "hold", "max_gap", "freeze_after", "deadline_ms")),
        *({name: 1e-4} for name in ("max_staleness", "stall_after", "max_gap")),
    ]
    refused = {f"refused rules {rule}": {"rules": rule} for rule in rules}
    return refused | {
        "refused pushes": {
            "steps": [
                *(frame("nan"), frame("inf"), text(GOOD, 3.0, 2.0), text(GOOD, "nan")),
                *(text(GOOD, 1.0, "inf"), text(GOOD, "-inf", 3.0), DRAIN),
            ]
        }
    }


def mixed(seed: int) -> dict[str, Any]:
    """Return a case of steps by chance."""
    rnd = random.Random(seed)
    rules = {
        "window": rnd.randint(1, 4),
        "every": rnd.choice((0.0, 0.1)),
        "policy": rnd.choice(("every", "freshest")),
        "buffer": rnd.choice((None, 3)),
        "max_staleness": rnd.choice((None, 5.0)),
        "freeze_after": rnd.choice((None, None, 0.1)),
        "deadline_ms": rnd.choice((None, None, 0.001, 400.0)),
        "anytime": rnd.random() < 0.3,
    }
    steps: list[Step] = []
    t, still = 0.0, rnd.random() < 0.3
    for number in range(30):
        what = rnd.choice(("frame", "frame", "frame", "clock", "text", "state", "poll", "drain"))
        if what == "frame":
            t = round(t + rnd.choice((0.04, 0.04, 0.04, 0.3, 0.0, -1.0, 11.0)), 2)
            steps.append(frame(t, 0 if still else number))
        elif what == "clock":
            steps.append(clock(rnd.choice((0.04, 0.3, 0.6, 2.5))))
        elif what == "text":
            ahead = rnd.choice((None, -1.0, 0.0, 1.0))
            steps.append(
                text(rnd.choice((GOOD, BAD)), None if ahead is None else round(t + ahead, 2))
            )
        elif what == "state":
            steps.append(
                state(rnd.choice(("connecting", "stalled", "retrying", "ended", "failed")))
            )
        else:
            steps.append([what])
    return {"rules": rules, "steps": [*steps, *([END] * rnd.randint(0, 1)), DRAIN]}


def cases() -> list[dict[str, Any]]:
    """Return every case, with what comes of it."""
    groups = (windows(), texts(), drops(), epochs(), states(), formats(), refusals())
    named = {name: case for group in groups for name, case in group.items()}
    named |= {f"by chance, {seed}": mixed(seed) for seed in range(40)}
    found = []
    runtimes = {
        name: trml_rt.load(folder, backend="onnxruntime") for name, folder in BUNDLES.items()
    }
    for name, case in named.items():
        case = {"name": name, "bundle": "tiny", "rules": {}, "steps": [], **case}
        found.append(case | play_python(runtimes[case["bundle"]], case))
    for rt in runtimes.values():
        rt.close()
    return found


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases())
    (HERE / "streams.json").write_text(f"[\n{lines}\n]\n", encoding="ascii")
