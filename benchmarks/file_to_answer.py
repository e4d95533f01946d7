"""Time this runtime against its peers, the whole way from files to vectors or an answer.

    python benchmarks/file_to_answer.py --bundle build/vit_b32 --out benchmarks/results/files.json

The bundle is one of `random_bundle.py`: the same seeded weights are given to open_clip here. A
contender reads a text file, 8 frames of a clip, or both, and gives a vector of each; this runtime
gives its answer, which takes two more engines. Contenders, each in a process of its own, calls
interleaved: open_clip in eager PyTorch with the frames of decord, torchcodec or OpenCV;
torch.compile of it; the FP32 graphs in bare sessions of ONNX Runtime and OpenVINO; and this runtime
with its portable graphs and with every precision that is built. All choose the same frames, and the
vectors are compared. What is not installed is left out, with a word. The peers come by

    pip install decord torchcodec opencv-python-headless openvino    # and FFmpeg, for torchcodec
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import trml_rt
from trml_rt.bundle.folder import Bundle, open_bundle
from trml_rt.cli.bench_worker import TEXT, serve
from trml_rt.inputs.clip import choose_indices
from trml_rt.proof.interleave import interleave

sys.path.insert(0, str(Path(__file__).parent))
from decoding import make
from machine import describe, report

FRAMES = 8
PAUSE = 0.2  # seconds, in which the threads of the peers stop spinning
ROWS = {"text": ("text",), "video": ("video",), "text and video": ("text", "video")}
Vectors = list[np.ndarray]
Call = Callable[[dict[str, str]], Vectors]


# Peers' ways to the frames of a clip, as RGB of any size.


def decord_frames(path: str) -> list[np.ndarray]:
    """Return 8 frames by decord, which seeks by itself."""
    import decord

    reader = decord.VideoReader(path)
    return list(reader.get_batch(choose_indices(len(reader), FRAMES)).asnumpy())


def torchcodec_frames(path: str) -> list[np.ndarray]:
    """Return 8 frames by torchcodec."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, dimension_order="NHWC")
    indices = choose_indices(len(decoder), FRAMES)
    return list(decoder.get_frames_at(indices).data.numpy())


def opencv_frames(path: str) -> list[np.ndarray]:
    """Return 8 frames by OpenCV, which is told to go to each."""
    import cv2

    capture = cv2.VideoCapture(path)
    frames = []
    for index in choose_indices(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), FRAMES):
        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        frames.append(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return frames


DECODERS = {"decord": decord_frames, "torchcodec": torchcodec_frames, "cv2": opencv_frames}


def open_clip(bundle: Bundle, decoder: str, compiled: bool) -> Call:
    """Return open_clip as its users call it, with PyTorch's own number of threads."""
    import torch
    from open_clip.transform import image_transform
    from PIL import Image

    from trml_export.backbone.backbone import load_backbone

    record = bundle.manifest.training["backbone"]
    backbone = load_backbone(record["name"], seed=record["seed"])
    model = backbone.model.eval()
    import open_clip as package

    tokenize = package.get_tokenizer(record["name"])
    picture = backbone.config.preprocess
    transform = image_transform(224, is_train=False, mean=picture.mean, std=picture.std)
    encode_text, encode_image = model.encode_text, model.encode_image
    if compiled:
        encode_text, encode_image = torch.compile(encode_text), torch.compile(encode_image)
    read = DECODERS[decoder]

    @torch.inference_mode()
    def call(files: dict[str, str]) -> Vectors:
        vectors = []
        if "text" in files:
            ids = tokenize([Path(files["text"]).read_text(encoding="utf-8")])
            vectors.append(encode_text(ids))
        if "video" in files:
            frames = [transform(Image.fromarray(frame)) for frame in read(files["video"])]
            vectors.append(encode_image(torch.stack(frames)))
        return [(v / v.norm(dim=-1, keepdim=True)).numpy() for v in vectors]

    return call


def bare(bundle: Bundle, library: str) -> Call:
    """Return the FP32 graphs in bare sessions, with decord, and pixels and ids of this runtime."""
    from PIL import Image

    from trml_rt.inputs.image import Preprocessing, to_pixels
    from trml_rt.inputs.tokenizer import Tokenizer

    manifest = bundle.manifest
    run = {name: _session(bundle, name, library) for name in ("text", "frame")}
    tokenizer = Tokenizer.from_file(bundle.path(manifest.text.tokenizer))
    shape = Preprocessing(manifest.video.height, manifest.video.width)

    def call(files: dict[str, str]) -> Vectors:
        vectors = []
        if "text" in files:
            ids = tokenizer.encode(Path(files["text"]).read_text(encoding="utf-8")).ids
            vectors.append(run["text"]({"ids": ids[None]}))
        if "video" in files:
            pictures = map(Image.fromarray, decord_frames(files["video"]))
            pixels = np.stack([to_pixels(picture, shape) for picture in pictures])
            vectors.append(run["frame"]({"frames": pixels}))
        return vectors

    return call


def _session(bundle: Bundle, name: str, library: str) -> Callable[[Any], np.ndarray]:
    path = bundle.path(bundle.manifest.engines[name].file)
    if library == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda feed: session.run(None, feed)[0]
    import openvino

    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda feed: compiled(feed)[0]


def runtime(bundle: Bundle, backend: str, precision: str) -> Call:
    """Return this runtime; the vectors it gives are those of a traced call, made once."""
    rt = trml_rt.load(bundle, backend=backend, precision=None if precision == "-" else precision)  # type: ignore[arg-type]
    traced: dict[str, Vectors] = {}

    def call(files: dict[str, str]) -> Vectors:
        inputs = {name: Path(file) for name, file in files.items()}
        rt.infer(**inputs)  # type: ignore[arg-type]
        key = "_".join(inputs)
        if key not in traced:
            tensors = rt.trace(**inputs)[key]  # type: ignore[arg-type]
            names = {"text": "text_vector", "video": "frame_vectors"}
            traced[key] = [tensors[names[name]].reshape(-1, _size(tensors)) for name in inputs]
        return traced[key]

    return call


def _size(tensors: dict[str, np.ndarray]) -> int:
    return next(tensors[n].shape[-1] for n in ("text_vector", "frame_vectors") if n in tensors)


def contender(name: str, bundle: Bundle) -> Call:
    """Return the call of one contender."""
    kind, *words = name.split()
    if kind in ("open_clip", "torch.compile"):
        return open_clip(bundle, words[0], kind == "torch.compile")
    if kind == "bare":
        return bare(bundle, words[0])
    return runtime(bundle, words[0], words[1])


def names_of(bundle: Bundle) -> list[str]:
    """Return the contenders that can run here, the reference first."""
    from trml_rt.backends import row_of
    from trml_rt.engines.choose import fitting_precisions

    found = []
    for decoder in DECODERS:
        if importlib.util.find_spec(decoder) is None:
            print(f"without {decoder}, which is not installed", file=sys.stderr)
        else:
            found.append(f"open_clip {decoder}")
    found += ["torch.compile decord", "bare onnxruntime"]
    libraries = ["onnxruntime"]
    if importlib.util.find_spec("openvino") is not None:
        found.append("bare openvino")
        libraries.append("openvino")
    found.append("trml_rt onnxruntime -")
    for library in libraries:
        found += [f"trml_rt {library} {p}" for p in fitting_precisions(bundle, row_of(library))]
    return found


def compare(bundle: Bundle, names: Sequence[str], files: dict[str, str], calls: int) -> dict:
    """Time the contenders on the same files, and compare their vectors with the first one's."""
    script = [sys.executable, str(Path(__file__).resolve()), "--bundle", str(bundle.folder)]
    given = [word for name, file in files.items() for word in (f"--{name}", file)]
    found = interleave(
        {name: [*script, *given, "--contender", name] for name in names}, calls, pause=PAUSE
    )
    answers = {name: np.array(measured.pop("answer")) for name, measured in found.items()}
    size = bundle.manifest.engines["text"].outputs[0].shape[-1]
    first = answers[names[0]].reshape(-1, size)
    for name, measured in found.items():
        rows = answers[name].reshape(-1, size)
        if rows.shape != first.shape:
            raise SystemExit(f"{name}: {len(rows)} vectors, {len(first)} expected")
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(first, axis=1)
        measured["least_cosine"] = round(float(((rows * first).sum(1) / norms).min()), 5)
    return found


def main() -> None:
    """Make the files, measure, print and write the result; or serve as one contender."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--calls", type=int, default=15)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--only", action="append", help="contenders to run; the first is named too")
    for name in ("contender", "text", "video"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    if arguments.contender:
        files = {n: v for n in ("text", "video") if (v := getattr(arguments, n))}

        def load() -> Callable[[], list[float]]:
            call = contender(arguments.contender, bundle)
            return lambda: np.concatenate([v.ravel() for v in call(files)]).tolist()

        serve(load)
        return
    names = arguments.only or names_of(bundle)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text(TEXT, encoding="utf-8")
        clips = {
            "3 s, one group of pictures": make(Path(folder) / "short.mp4", 3, gop=250),
            "20 s, a keyframe every 3 s": make(Path(folder) / "long.mp4", 20, gop=75),
        }
        rows = {"text": {"text": str(text)}}
        for length, clip in clips.items():
            rows[f"video of {length}"] = {"video": str(clip)}
            rows[f"text, and video of {length}"] = {"text": str(text), "video": str(clip)}
        result = {
            "what": "time of a call from files to vectors or an answer, a process each; speed_up "
            "is the median over rounds against the first contender",
            "bundle": bundle.manifest.name,
            "bundle_sha256": bundle.sha256,
            "machine": describe(("torch", "open_clip_torch", "onnxruntime", "openvino", "trml-rt")),
            "rows": {
                row: compare(bundle, names, files, arguments.calls) for row, files in rows.items()
            },
        }
    report(result, arguments.out)


if __name__ == "__main__":
    main()
