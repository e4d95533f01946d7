"""The bundle that ships inside the package: whole, small, right on the samples, and measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import trml_rt
from tests.golden import largest_differences
from trml_rt.bundle.folder import Bundle, default_bundle
from trml_rt.proof.golden import load_golden

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
RESULTS = json.loads((ROOT / "benchmarks" / "results" / "default_bundle.json").read_text())


@pytest.fixture(scope="module")
def rt():
    with trml_rt.load(default_bundle()) as runtime:
        yield runtime


def test_every_file_is_as_its_manifest_says():
    Bundle(default_bundle()).verify_files()


def test_it_takes_at_most_45_megabytes():
    files = [p for p in default_bundle().rglob("*") if p.is_file() and "engines" not in p.parts]
    assert sum(path.stat().st_size for path in files) <= 45_000_000


def test_its_answers_equal_pytorch_on_the_golden_files(rt):
    assert max(largest_differences(rt.bundle, rt._dispatcher).values()) <= 1e-4


def test_a_row_of_a_golden_batch_equals_the_same_row_alone(rt):
    golden = load_golden(rt.bundle.path("golden/text.npz"))
    for ids, expected in zip(golden["ids"], golden["prediction"], strict=True):
        row = ids[None, : int((ids != rt.bundle.manifest.text.pad_id).sum())]
        given, _ = rt._dispatcher.run(trml_rt.Modality.TEXT, {"ids": row})
        assert given["prediction"][0] == pytest.approx(expected, abs=1e-5)


def test_the_smiling_clip_scores_above_the_upset_one(rt):
    upset, smiling = (rt.infer(video=SAMPLES / f"{name}.mp4") for name in ("upset", "smiling"))
    assert smiling.label == "positive"
    assert smiling.score > upset.score + 0.3


def test_the_glad_text_is_positive_and_its_opposite_negative(rt):
    assert rt.infer(text=SAMPLES / "glad.txt").label == "positive"
    assert rt.infer(text="It was the worst day of my life, I hated all of it.").label == "negative"


def test_the_committed_numbers_belong_to_the_shipped_graphs(rt):
    manifest = rt.bundle.manifest
    assert RESULTS["graphs"] == {
        name: manifest.files[engine.file].sha256 for name, engine in manifest.engines.items()
    }


def test_the_committed_numbers_meet_what_the_model_card_promises():
    assert RESULTS["split"] == "test"
    assert RESULTS["text"]["tweets"]["sign_accuracy"] >= 0.85
    assert RESULTS["faces"]["face"]["happy_balanced_accuracy"] >= 0.85
    assert RESULTS["clip"]["rise"] > 0


@pytest.mark.parametrize(("metric", "sign"), [("accuracy", 1), ("mae", -1)])
@pytest.mark.parametrize("alone", ["text", "video", "mismatched", "floor"])
def test_both_inputs_together_beat_each_alone_and_the_controls(metric, sign, alone):
    both = RESULTS["pairs"]["text+video"][metric]
    assert sign * both > sign * RESULTS["pairs"][alone][metric]


def test_the_model_card_states_what_it_must():
    card = (default_bundle() / "MODEL_CARD.md").read_text()
    for words in ("English only", "surveillance", "hiring", "schools", "not CLIP", "MELD"):
        assert words in card
