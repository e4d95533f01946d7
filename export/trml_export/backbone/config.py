"""Read what a backbone is made of: towers, preprocessing, and where its tokenizer lies."""

from __future__ import annotations

import json
import os
import shutil
from copy import deepcopy
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

# transformers and huggingface_hub read these once, at their first import.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit, UsageError, lacks_package

__all__ = ["CONFIG_FILE", "BackboneConfig", "PreprocessConfig", "read_backbone_config"]

CONFIG_FILE = "open_clip_config.json"
# A checkpoint takes files of these kinds from a text tower's folder: configuration and vocabulary.
# It takes no weights, which lie in one file for the whole model, and no code.
_TEXT_FILES = {".json", ".txt", ".model"}
_TOKENIZER_FILES = ["tokenizer.json", "tokenizer.model", "spiece.model", "vocab.txt", "vocab.json"]


@dataclass(frozen=True)
class PreprocessConfig:
    """How a picture becomes the input of the image tower, in open_clip's terms.

    `resize` is "shortest" (then centre crop), "longest" (then pad with the grey `fill`, 0 to
    255) or "squash". `mean` and `std` are those of RGB values from 0 to 1.
    """

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    resize: str
    fill: int


@dataclass(frozen=True)
class BackboneConfig:
    """The description of one backbone; `folder` is None for a model that open_clip ships.

    `text_folder` holds the config.json of a Hugging Face text tower, or is None for open_clip's
    own tower. `tokenizer_folder` holds a Hugging Face tokenizer, or is None for the byte pairs.
    """

    name: str
    folder: Path | None
    model_cfg: dict[str, Any]
    preprocess: PreprocessConfig
    text_folder: Path | None
    tokenizer_folder: Path | None

    @property
    def embed_dim(self) -> int:
        """The size d of the shared space."""
        return int(self.model_cfg["embed_dim"])

    @property
    def context_length(self) -> int:
        """The number of tokens of a full sequence."""
        return int(self.model_cfg["text_cfg"].get("context_length", 77))

    def towers(self) -> dict[str, Any]:
        """Return the arguments of open_clip's CustomTextCLIP; nothing in them downloads."""
        cfg = deepcopy(self.model_cfg)
        cfg.pop("custom_text", None)
        for tower in ("vision_cfg", "text_cfg"):
            cfg[tower].pop("output_tokens", None)  # a tower gives one vector, not its tokens
        if self.text_folder is not None:
            cfg["text_cfg"]["hf_model_name"] = str(self.text_folder)
            cfg["text_cfg"]["hf_model_pretrained"] = False
        if "timm_model_name" in cfg["vision_cfg"]:
            cfg["vision_cfg"]["timm_model_pretrained"] = False
        return cfg

    def tokenizer(self) -> Any:
        """Return open_clip's tokenizer of this model, opened from local files."""
        from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

        text = self.model_cfg["text_cfg"]
        settings = dict(text.get("tokenizer_kwargs") or {})
        if self.tokenizer_folder is None:
            return SimpleTokenizer(context_length=self.context_length, **settings)
        try:
            return HFTokenizer(
                str(self.tokenizer_folder),
                context_length=self.context_length,
                tokenizer_mode=text.get("tokenizer_mode"),
                **settings,
            )
        except (OSError, ValueError) as problem:
            raise text_files_unusable(self, problem) from None

    def identity(self) -> bytes:
        """Return bytes that tell apart two backbones of equal weights."""
        parts = [json.dumps(self._portable(), sort_keys=True).encode()]
        for folder in (self.text_folder, self.tokenizer_folder):
            try:
                parts += [p.name.encode() + b"\0" + p.read_bytes() for p in _text_files(folder)]
            except OSError as problem:
                raise text_files_unusable(self, problem) from None
        return b"\0".join(parts)

    def save(self, folder: Path) -> None:
        """Write the configuration and the text files into `folder`; no weights."""
        (folder / CONFIG_FILE).write_text(json.dumps(self._portable(), indent=2) + "\n")
        for name, source in (("text", self.text_folder), ("tokenizer", self.tokenizer_folder)):
            if source is None or (name == "tokenizer" and source == self.text_folder):
                continue
            (folder / name).mkdir()
            for path in _text_files(source):
                shutil.copyfile(path, folder / name / path.name)

    def _portable(self) -> dict[str, Any]:
        """Return the configuration with the paths that it has after `save`."""
        cfg = deepcopy(self.model_cfg)
        if self.text_folder is not None:
            cfg["text_cfg"]["hf_model_name"] = "text"
        if self.tokenizer_folder is not None:
            same = self.tokenizer_folder == self.text_folder
            cfg["text_cfg"]["hf_tokenizer_name"] = "text" if same else "tokenizer"
        p = self.preprocess
        preprocess = {
            "size": [p.height, p.width],
            "mode": "RGB",
            "mean": list(p.mean),
            "std": list(p.std),
            "interpolation": p.interpolation,
            "resize_mode": p.resize,
            "fill_color": p.fill,
        }
        return {"model_cfg": cfg, "preprocess_cfg": preprocess}


def read_backbone_config(source: str | Path) -> BackboneConfig:
    """Read the configuration of `source`, a folder or the name of a model of open_clip.

    Raises:
        UsageError: no such folder or name, or a model that needs files from the network.
        ArtefactMismatch: a configuration that cannot be read.
        EnvironmentUnfit: open_clip cannot be loaded.
    """
    _check_open_clip()
    folder = Path(source)
    if folder.is_dir():
        folder = folder.resolve()
        config = _read_json(folder / CONFIG_FILE)
        name, model_cfg = folder.name, config.get("model_cfg")
        preprocess_cfg = config.get("preprocess_cfg") or {}
        where: Path | None = folder
    else:
        name, where = str(source), None
        model_cfg, preprocess_cfg = _built_in(name)
    if not isinstance(model_cfg, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= set(
        model_cfg
    ):
        message = "needs a model_cfg with embed_dim, vision_cfg and text_cfg"
        raise ArtefactMismatch(f"{folder / CONFIG_FILE}: {message}")
    if "multimodal_cfg" in model_cfg or model_cfg["text_cfg"].get("embed_cls"):
        raise UsageError(f"{name}: CoCa models are not supported; take a CLIP-type model")
    text = model_cfg["text_cfg"]
    return BackboneConfig(
        name=name,
        folder=where,
        model_cfg=model_cfg,
        preprocess=_preprocess(model_cfg, preprocess_cfg),
        text_folder=_local(name, where, text.get("hf_model_name"), ["config.json"]),
        tokenizer_folder=_local(name, where, text.get("hf_tokenizer_name"), _TOKENIZER_FILES),
    )


def _check_open_clip() -> None:
    try:
        import open_clip  # noqa: F401
    except ImportError as error:
        raise lacks_package("opening a backbone", error, "train") from None
    except (RuntimeError, AttributeError) as error:  # what a torchvision of another torch raises
        first, *_ = str(error).splitlines() or [type(error).__name__]
        found = " and ".join(
            f"{name} {metadata.version(name)}" for name in ("torch", "torchvision")
        )
        raise EnvironmentUnfit(
            f"open_clip cannot be loaded ({first}): {found} may not fit each other; install both "
            "again, of one release"
        ) from None


def text_files_unusable(config: BackboneConfig, problem: OSError | ValueError) -> ArtefactMismatch:
    """Return the error for a text tower or tokenizer whose files cannot be read."""
    folder = config.text_folder or config.tokenizer_folder or config.name
    first, *_ = str(problem).splitlines() or [type(problem).__name__]
    return ArtefactMismatch(f"{folder}: cannot be opened ({first}); copy the model's files again")


def _built_in(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the towers of a model that open_clip ships, and its preprocessing."""
    from open_clip import get_model_config, list_models

    if name not in list_models():
        raise UsageError(
            f"{name}: neither a folder nor a model of open_clip; try ViT-B-32-quickgelu"
        )
    choices = _preprocessings(name)
    if len(choices) > 1:
        other = f"{name}-quickgelu"
        one = other in list_models() and len(_preprocessings(other)) == 1
        hint = f", or name {other} for OpenAI's weights" if one else ""
        raise UsageError(
            f"{name}: its published weights want different preprocessing, and a file does not say "
            f"which; put it into a folder with an {CONFIG_FILE}{hint}"
        )
    return get_model_config(name), choices[0] if choices else {}


def _preprocessings(name: str) -> list[dict[str, Any]]:
    """Return how the published weights of a model want pictures, each way once."""
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    keys = ("mean", "std", "interpolation", "resize_mode")
    choices: list[dict[str, Any]] = []
    for tag in list_pretrained_tags_by_model(name):
        tagged = get_pretrained_cfg(name, tag)
        settings = {key: tagged[key] for key in keys if tagged.get(key) is not None}
        if settings not in choices:
            choices.append(settings)
    return choices


def _preprocess(model_cfg: dict[str, Any], preprocess_cfg: dict[str, Any]) -> PreprocessConfig:
    from open_clip.transform import PreprocessCfg

    # The tower's own size wins, as in open_clip.create_model.
    size = model_cfg["vision_cfg"].get("image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size
    settings = {k: v for k, v in preprocess_cfg.items() if v is not None and k != "size"}
    try:
        cfg = PreprocessCfg(size=(height, width), **settings)
    except (TypeError, AssertionError) as problem:
        raise ArtefactMismatch(f"preprocess_cfg: {problem}") from None
    if cfg.interpolation not in ("bicubic", "bilinear"):
        raise UsageError(f"preprocess_cfg: interpolation {cfg.interpolation} is not supported")
    mean, std = tuple(map(float, cfg.mean)), tuple(map(float, cfg.std))
    return PreprocessConfig(
        height, width, mean, std, cfg.interpolation, cfg.resize_mode, cfg.fill_color
    )


def _local(name: str, folder: Path | None, reference: str | None, files: list[str]) -> Path | None:
    """Return the local folder that `reference` names; a name on the hub is an error."""
    if not reference:
        return None
    if folder is not None:
        # A snapshot of an open_clip model holds its tokenizer, but still names a repository.
        # open_clip reads the one in the snapshot, and so does this.
        for place in ((folder / reference).resolve(), folder):
            if place.is_relative_to(folder) and any((place / file).is_file() for file in files):
                return place
    raise UsageError(
        f"{name}: needs the files of {reference!r}, and nothing is downloaded; put them into a "
        f"subfolder of the model (text/) and name it in {CONFIG_FILE}"
    )


def _text_files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix in _TEXT_FILES and path.is_file()
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UsageError(f"{path}: cannot be read ({problem.strerror})") from None
    except ValueError as problem:
        raise ArtefactMismatch(f"{path}: {problem}") from None
    if not isinstance(value, dict):
        raise ArtefactMismatch(f"{path}: must hold one object")
    return value
