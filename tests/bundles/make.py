"""Make the tiny bundle of the current schema: real graphs of a few nodes, with d = 4.

    python -m tests.bundles.make tests/bundles/schema1

The graphs average word vectors and pixels, so a test can say by hand what they answer. The golden
files are computed with numpy here, not with the graphs. Bundles of older schemas are never
made anew: that they stay readable is the point of keeping them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from trml_rt.bundle.files import describe_files

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "day", "what", "a", "not", "##s", "."]
CONTEXT, FRAMES, SIZE, D = 8, 4, 8, 4
TABLE = np.random.default_rng(0).normal(size=(len(WORDS), D)).astype(np.float32)
TABLE[4] += [2, 0, 0, 0]  # good
TABLE[5] -= [2, 0, 0, 0]  # bad
SCORE = np.array([[1.0], [0.25], [-0.25], [0.0]], np.float32)

# The numbers of onnx.TensorProto; onnx itself is imported by `graph` alone, so that a test of
# the runtime can read the constants above without it.
ELEMENTS = {"float32": 1, "uint8": 2, "int32": 6, "bool": 9}
F32 = ELEMENTS["float32"]
IDS = ("ids", "int32", ["batch", "tokens"])
PIXELS = ("frames", "uint8", ["frames", SIZE, SIZE, 3])
TEXT = ("text_vector", "float32", ["batch", D])
VECTORS = ("frame_vectors", "float32", ["frames", D])
CLIPS = ("frame_vectors", "float32", ["batch", FRAMES, D])
MASK = ("frame_mask", "bool", ["batch", FRAMES])
PREDICTION = ("prediction", "float32", ["batch", 1])
V_VIDEO, V_TEXT = (("virtual_" + m, "float32", ["batch", D]) for m in ("video", "text"))
ENGINES = {
    "text": ([IDS], [TEXT]),
    "frame": ([PIXELS], [VECTORS]),
    "fuse_text": ([TEXT], [PREDICTION, V_VIDEO]),
    "fuse_video": ([CLIPS, MASK], [PREDICTION, V_TEXT]),
    "fuse_text_video": ([TEXT, CLIPS, MASK], [PREDICTION]),
}
SETS = {
    "text": (["ids"], ["text", "fuse_text"], ["prediction", "virtual_video"]),
    "video": (["frames", "frame_mask"], ["frame", "fuse_video"], ["prediction", "virtual_text"]),
    "text_video": (
        ["ids", "frames", "frame_mask"],
        ["text", "frame", "fuse_text_video"],
        ["prediction"],
    ),
}

# Each line is an ONNX node: operator, inputs, output, attributes.
POOL = [
    ("Cast", ["frame_mask"], "m", {"to": F32}),
    ("Unsqueeze", ["m", "last"], "m1", {}),
    ("Mul", ["frame_vectors", "m1"], "kept", {}),
    ("ReduceSum", ["kept", "one"], "sum", {"keepdims": 0}),
    ("ReduceSum", ["m1", "one"], "count", {"keepdims": 0}),
    ("Div", ["sum", "count"], "pooled", {}),
]
NODES = {
    "text": [
        ("Gather", ["table", "ids"], "words", {}),
        ("Cast", ["ids"], "ids_float", {"to": F32}),
        ("Sign", ["ids_float"], "real", {}),
        ("Unsqueeze", ["real", "last"], "real1", {}),
        ("Mul", ["words", "real1"], "kept", {}),
        ("ReduceSum", ["kept", "one"], "sum", {"keepdims": 0}),
        ("ReduceL2", ["sum", "last"], "length", {"keepdims": 1}),
        ("Div", ["sum", "length"], "text_vector", {}),
    ],
    "frame": [
        ("Cast", ["frames"], "float", {"to": F32}),
        ("ReduceMean", ["float", "height_width"], "mean", {"keepdims": 0}),
        ("MatMul", ["mean", "spread"], "spread_out", {}),
        ("Add", ["spread_out", "offset"], "moved", {}),
        ("ReduceL2", ["moved", "last"], "length", {"keepdims": 1}),
        ("Div", ["moved", "length"], "frame_vectors", {}),
    ],
    "fuse_text": [
        ("Mul", ["text_vector", "half"], "virtual_video", {}),
        ("MatMul", ["text_vector", "score"], "prediction", {}),
    ],
    "fuse_video": [
        *POOL,
        ("Mul", ["pooled", "half"], "virtual_text", {}),
        ("MatMul", ["pooled", "score"], "prediction", {}),
    ],
    "fuse_text_video": [
        *POOL,
        ("Add", ["text_vector", "pooled"], "both", {}),
        ("MatMul", ["both", "score"], "prediction", {}),
    ],
}
SPREAD = np.eye(3, D, dtype=np.float32) / 255
OFFSET = np.array([-0.5, 0.1, 0.1, 0.1], np.float32)
CONSTANTS = {
    "table": TABLE,
    "score": SCORE,
    "spread": SPREAD,
    "offset": OFFSET,
    "half": np.array(0.5, np.float32),
    "last": np.array([-1]),
    "one": np.array([1]),
    "height_width": np.array([1, 2]),
}


def graph(name: str) -> bytes:
    """Return one of the five graphs, serialised."""
    import onnx
    from onnx import helper, numpy_helper

    nodes = [helper.make_node(op, ins, [out], **attrs) for op, ins, out, attrs in NODES[name]]
    used = {key for _, ins, _, _ in NODES[name] for key in ins}
    model = helper.make_model(
        helper.make_graph(
            nodes,
            name,
            *(
                [helper.make_tensor_value_info(n, ELEMENTS[d], s) for n, d, s in side]
                for side in ENGINES[name]
            ),
            [numpy_helper.from_array(v, k) for k, v in CONSTANTS.items() if k in used],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def tokenizer() -> Tokenizer:
    """Return a WordPiece tokenizer of a dozen words."""
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_truncation(CONTEXT)
    return made


def unit(rows: np.ndarray) -> np.ndarray:
    """Return `rows` at length 1."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def golden() -> dict[str, dict[str, np.ndarray]]:
    """Return inputs and outputs of each engine set, computed with numpy."""
    ids = np.array([[2, 7, 8, 4, 6, 3], [2, 5, 3, 0, 0, 0]], np.int32)
    text = unit((TABLE[ids] * (ids > 0)[:, :, None]).sum(1))
    frames = np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    mask = np.array([[True] * 4, [True] + [False] * 3])
    vectors = unit(frames.astype(np.float32).mean((1, 2)) @ SPREAD + OFFSET)
    pooled = np.stack([vectors[:4].mean(0), vectors[4]])
    words = {"ids": ids, "text_vector": text}
    clips = {"frames": frames, "frame_mask": mask, "frame_vectors": vectors}
    return {
        "text": {**words, "prediction": text @ SCORE, "virtual_video": text / 2},
        "video": {**clips, "prediction": pooled @ SCORE, "virtual_text": pooled / 2},
        "text_video": {**words, **clips, "prediction": (text + pooled) @ SCORE},
    }


def manifest(folder: Path) -> dict:
    """Return the content of model.json for the files in `folder`."""
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]

    def tensor(stated: tuple) -> dict:
        return dict(zip(("name", "dtype", "shape"), stated, strict=True))

    return {
        "schema": 1,
        "name": "tiny",
        "created_by": "tests/bundles/make.py",
        "embedding_dim": D,
        "text": {"tokenizer": "tokenizer.json", "context": CONTEXT, "pad_id": 0, "cut": True},
        "video": {
            "frames": FRAMES,
            "height": SIZE,
            "width": SIZE,
            "resize": "shortest",
            "interpolation": "bicubic",
            "fill": 0,
        },
        "axes": {
            "batch": {"min": 1, "opt": 1, "max": 3},
            "tokens": {"min": 1, "opt": 4, "max": CONTEXT},
            "frames": {"min": 1, "opt": FRAMES, "max": 6},
        },
        "task": {
            "kind": "regression",
            "labels": ["negative", "neutral", "positive"],
            "range": [-1.0, 1.0],
            "thresholds": [-0.2, 0.2],
        },
        "engines": {
            name: {
                "file": f"onnx/{name}.onnx",
                "inputs": [tensor(t) for t in inputs],
                "outputs": [tensor(t) for t in outputs],
                "weights": "fp32",
                "compute": "fp32",
            }
            for name, (inputs, outputs) in ENGINES.items()
        },
        "engine_sets": [
            {
                "modalities": name.split("_"),
                "engines": engines,
                "inputs": inputs,
                "outputs": outputs,
                "golden": f"golden/{name}.npz",
            }
            for name, (inputs, engines, outputs) in SETS.items()
        ],
        "parity": {},
        "training": {"note": "nothing was trained"},
        "files": {k: v.model_dump() for k, v in describe_files(folder, names).items()},
    }


def make(folder: Path) -> None:
    """Write the bundle into the new folder `folder`."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "golden").mkdir()
    tokenizer().save(str(folder / "tokenizer.json"))
    for name in ENGINES:
        (folder / "onnx" / f"{name}.onnx").write_bytes(graph(name))
    for name, tensors in golden().items():
        np.savez_compressed(folder / "golden" / f"{name}.npz", **tensors)
    (folder / "model.json").write_text(json.dumps(manifest(folder), indent=1) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
