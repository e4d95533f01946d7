"""The module of a back end from outside: its errors become one sentence, its answers are checked.

Errors of ours that it raises on purpose pass, and so does Ctrl-C. Everything else that a foreign
module may do at the door is met here, so that the rest of the house takes its answers as they are.
What its engines give is checked in the dispatcher, with that of every other engine.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, cast

from trml_rt.backends.check import Check
from trml_rt.backends.contract import (
    Backend,
    BackendModule,
    Chain,
    CompileJob,
    CompileOptions,
    CompileReport,
    Engine,
    LinkingBackend,
    Tensors,
)
from trml_rt.bundle.files import FileLike
from trml_rt.bundle.manifest import EngineSpec
from trml_rt.errors import EnvironmentUnfit, TrmlError

__all__ = ["GuardedModule", "is_own_field", "one_sentence", "refuse_package"]

_log = logging.getLogger(__name__)

_FUNCTIONS = tuple(name for name in vars(BackendModule) if not name.startswith("_"))
_FIELDS = ("builder options", "back end version")
_PREFIX = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_OWN = re.compile(
    r"schema|precision recipe|shape profiles|back end|system|calibration|(source|golden) of .*"
)


def is_own_field(name: str) -> bool:
    """Say whether a field of the cache key has a name that `engines/key.py` gives itself."""
    return _OWN.fullmatch(name) is not None


def refuse_package(who: str, problem: str) -> NoReturn:
    """Raise EnvironmentUnfit for a foreign package that breaks the contract.

    Args:
        who: the back end, its entry point and its package.
        problem: what is wrong with it.
    """
    raise EnvironmentUnfit(
        f"{who}: {problem}; upgrade or uninstall that package, or take another back end"
    )


@contextlib.contextmanager
def one_sentence(who: str, what: str, *, on_purpose: bool = True) -> Iterator[None]:
    """Turn whatever foreign code raises into EnvironmentUnfit, SystemExit too.

    Args:
        who: the back end, its entry point and its package.
        what: what it could not do: "cannot be imported".
        on_purpose: whether errors of ours pass, because the contract has them.
    """
    passing: tuple[type[BaseException], ...] = (KeyboardInterrupt,)
    passing += (TrmlError,) if on_purpose else ()
    try:
        yield
    except passing:
        raise
    except (OSError, MemoryError) as error:  # the machine's fault, as far as one can tell
        raise EnvironmentUnfit(
            f"{who}: {what} ({_reason(error)}); mend that, or take another back end"
        ) from error
    except BaseException as error:
        raise EnvironmentUnfit(
            f"{who}: {what} ({_reason(error)}); upgrade or uninstall that package, or take "
            "another back end"
        ) from error


def _reason(error: BaseException) -> str:
    """Return an error in one line; a foreign one may not be able to say what it is."""
    try:
        words = " ".join(str(error).split())[:300]
    except Exception:  # noqa: BLE001
        words = ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


class _Guarded:
    def __init__(self, who: str) -> None:
        self._who = who

    def _calling(self, function: str) -> contextlib.AbstractContextManager[None]:
        return one_sentence(self._who, f"{function} failed")

    def _expect(self, right: bool, problem: str) -> None:
        if not right:
            refuse_package(self._who, problem)

    def _offers(self, thing: object, what: str, *functions: str) -> None:
        lacking = [name for name in functions if not callable(getattr(thing, name, None))]
        self._expect(not lacking, f"{what} lacks {', '.join(lacking)}")


class GuardedModule(_Guarded):
    """A `BackendModule` that keeps the contract or raises EnvironmentUnfit in one sentence.

    Args:
        who: the back end, its entry point and its package, for messages.
        module: the name of the module; it is imported here.
    """

    def __init__(self, who: str, module: str) -> None:
        super().__init__(who)
        with one_sentence(who, f"its module {module} cannot be imported", on_purpose=False):
            self._module = cast(BackendModule, importlib.import_module(module))
        with self._calling("its module"):
            self._offers(self._module, f"its module {module}", *_FUNCTIONS)

    def open_backend(
        self, name: str, threads: int | None, callers: int, *, compiled: bool
    ) -> Backend:
        """Open the back end; see `BackendModule`."""
        with self._calling("open_backend"):
            backend = self._module.open_backend(name, threads, callers, compiled=compiled)
            self._offers(backend, "what open_backend gives", "load")
            said = getattr(backend, "name", None)
            right = said == name if compiled else isinstance(said, str)
            self._expect(
                right, f"what open_backend gives must have the name {name!r}, not {said!r}"
            )
            if isinstance(backend, LinkingBackend):
                return _LinkingBackend(self._who, backend)
        return _Backend(self._who, backend)

    def built_for(self, name: str, options: CompileOptions) -> dict[str, str]:
        """Return the back end's fields of the cache key; see `BackendModule`."""
        with self._calling("built_for"):
            fields = self._module.built_for(name, options)
            self._expect(_is_text_by_text(fields), "built_for must give a dict of str to str")
            lacking = [field for field in _FIELDS if not fields.get(field)]
            self._expect(not lacking, f"built_for lacks {', '.join(map(repr, lacking))}")
            taken = [field for field in fields if is_own_field(field)]
            self._expect(
                not taken,
                f"built_for gives {', '.join(map(repr, taken))}, which every key has already",
            )
        return fields

    def key_prefix(self, built_for: Mapping[str, str]) -> str:
        """Return the head of an engine folder's name; see `BackendModule`."""
        with self._calling("key_prefix"):
            prefix = self._module.key_prefix(dict(built_for))
            right = isinstance(prefix, str) and _PREFIX.fullmatch(prefix) is not None
        self._expect(
            right,
            "key_prefix must give a word of letters, digits, '.', '_' and '-' that does not "
            f"begin with '.', not {prefix!r}",
        )
        return prefix

    def compile_graph(self, name: str, job: CompileJob) -> CompileReport:
        """Compile one graph; see `BackendModule`."""
        with self._calling("compile_graph"):
            report = self._module.compile_graph(name, job)
            self._expect(isinstance(report, CompileReport), "compile_graph gives no CompileReport")
            counts = (*_items(report.products), *_items(report.layers))
            log = report.log if isinstance(report.log, (list, tuple)) else [None]
            self._expect(
                all(isinstance(key, str) and type(value) is int for key, value in counts)
                and all(isinstance(line, str) for line in log),
                "the CompileReport of compile_graph must hold counts by type, and lines of text",
            )
        written = job.target.is_file() and not job.target.is_symlink()
        self._expect(written, f"compile_graph did not write {job.target.name}")
        return report

    def checks(self, name: str, required: bool) -> list[Check]:
        """Check this machine; see `BackendModule`."""
        with self._calling("checks"):
            checks = self._module.checks(name, required)
            right = isinstance(checks, (list, tuple)) and all(map(_is_check, checks))
            self._expect(right, "checks must give a list of Check, with texts and truth values")
            alone = required or not any(check.required for check in checks)
            self._expect(alone, "checks gives a required Check where the back end is not required")
        return list(checks)

    def device(self, name: str) -> dict[str, str]:
        """Return what a benchmark says of the device; see `BackendModule`."""
        with self._calling("device"):
            device = self._module.device(name)
            self._expect(_is_text_by_text(device), "device must give a dict of str to str")
        return device


class _Backend(_Guarded):
    def __init__(self, who: str, backend: Backend) -> None:
        super().__init__(who)
        self._backend = backend
        self.name = backend.name

    def load(self, engine: EngineSpec, path: FileLike) -> _Engine:
        with self._calling("load"):
            loaded = self._backend.load(engine, path)
            self._offers(loaded, "what load gives", "run", "close")
        return _Engine(self._who, loaded)


class _LinkingBackend(_Backend):
    def link(self, engines: Mapping[str, Any]) -> _Chain:
        with self._calling("link"):
            linking = cast(LinkingBackend, self._backend)
            chain = linking.link({name: engine.inner for name, engine in engines.items()})
            self._offers(chain, "what link gives", "run", "close")
        return _Chain(self._who, chain)


class _Closing(_Guarded):
    def __init__(self, who: str, inner: Any) -> None:
        super().__init__(who)
        self.inner: Any = inner

    def close(self) -> None:
        try:
            with self._calling("close"):
                self.inner.close()
        except TrmlError as error:  # the answers are there already
            _log.warning("%s", error)


class _Engine(_Closing):
    def run(self, inputs: Tensors) -> Tensors:
        with self._calling("run"):
            return cast(Engine, self.inner).run(inputs)


class _Chain(_Closing):
    def run(self, tensors: Tensors) -> tuple[Tensors, dict[str, float]]:
        with self._calling("run"):
            given: Any = cast(Chain, self.inner).run(tensors)
            right = isinstance(given, tuple) and len(given) == 2 and _is_times(given[1])
            self._expect(right, "run of a chain must give its tensors and milliseconds by engine")
        outputs, milliseconds = given
        return outputs, milliseconds


def _is_text_by_text(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(text, str) for key, text in value.items()
    )


def _is_times(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(ms, (int, float)) for key, ms in value.items()
    )


def _is_check(value: object) -> bool:
    return (
        isinstance(value, Check)
        and isinstance(value.name, str)
        and isinstance(value.found, str)
        and type(value.ok) is type(value.required) is bool
        and (value.remedy is None or isinstance(value.remedy, str))
    )


def _items(value: object) -> list[tuple[object, object]]:
    return list(value.items()) if isinstance(value, dict) else [(None, None)]
