"""Look for what keeps a device from building a bundle's graphs, without the device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trml_rt.bundle.folder import BundleLike, open_bundle
from trml_rt.errors import VerificationFailed, lacks_package

if TYPE_CHECKING:
    from trml_calibration.lint import Finding

__all__ = ["LintReport", "lint"]


@dataclass(frozen=True)
class LintReport:
    """What was found in a bundle's graphs; `passed` if there is no error among it.

    A finding has `level` ("error" or "warning"), `rule`, `graph`, `node` and `text`.
    """

    bundle: str
    passed: bool
    findings: list[Finding]

    def raise_for_errors(self) -> None:
        """Raise VerificationFailed if there is an error among the findings."""
        if not self.passed:
            errors = sum(finding.level == "error" for finding in self.findings)
            raise VerificationFailed(
                f"{self.bundle}: {errors} errors in its graphs; export or calibrate it anew"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON-ready values, as `trml-rt lint --json` prints them."""
        return asdict(self)


def lint(bundle: BundleLike = None) -> LintReport:
    """Check a bundle's graphs, and those of its calibration, rule by rule.

    Raises:
        EnvironmentUnfit: a package is lacking.
        ArtefactMismatch: the bundle is damaged.
    """
    try:
        from trml_calibration.lint import lint as check_graphs
    except ImportError as error:
        raise lacks_package("lint", error, "build") from None
    opened = open_bundle(bundle)
    findings = check_graphs(opened)
    passed = not any(finding.level == "error" for finding in findings)
    return LintReport(str(opened.folder), passed, findings)
