"""Break the TensorRT back end in one way after another, and see that a test fails each time.

    make mutations

Every change is one that a GPU would answer with wrong results, a crash or a leak. It is made in a
copy of the sources, so nothing here touches the tree. Exit code 1 names what the tests let through.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[4]
TESTS = ("backend", "cuda", "frames", "shapes")
HERE = "trml_rt/backends/tensorrt"


class Mutation(NamedTuple):
    """One change: `old`, which stands once in `file`, becomes `new`."""

    name: str
    file: str
    old: str
    new: str


MUTATIONS = (
    Mutation(
        "results are read before the stream is done",
        f"{HERE}/cuda.py",
        'self._cuda.call("cudaStreamSynchronize", self._stream)',
        "pass",
    ),
    Mutation(
        "every copy is declared as one to the device",
        f"{HERE}/cuda.py",
        "cudaMemcpyKind.cudaMemcpyDefault",
        "cudaMemcpyKind.cudaMemcpyHostToDevice",
    ),
    Mutation(
        "scratch memory is as small as the smallest engine needs",
        f"{HERE}/chain.py",
        "self._scratch_size = max(",
        "self._scratch_size = min(",
    ),
    Mutation(
        "memory is allocated in every capture",
        f"{HERE}/cuda.py",
        "            work()\n        except",
        "            self._cuda.api.cudaMalloc(256)\n            work()\n        except",
    ),
    Mutation(
        "memory is freed before the contexts",
        f"{HERE}/chain.py",
        "            for shape in self._known.values():\n                self._forget",
        "            self._memory.close()\n            for shape in self._known.values():\n"
        "                self._forget",
    ),
    Mutation(
        "engines are closed before their chains",
        "trml_rt/engines/dispatch.py",
        "            for chain in self._chains.values():  # first",
        "            self._engines.leave()\n"
        "            for chain in self._chains.values():  # first",
    ),
    Mutation(
        "graphs are launched in the default stream",
        f"{HERE}/cuda.py",
        'self._cuda.call("cudaGraphLaunch", graph, self._stream)',
        'self._cuda.call("cudaGraphLaunch", graph, 0)',
    ),
    Mutation(
        "other threads can break a capture",
        f"{HERE}/cuda.py",
        "modes.cudaStreamCaptureModeThreadLocal",
        "modes.cudaStreamCaptureModeGlobal",
    ),
    Mutation(
        "host memory is pageable",
        f"{HERE}/memory.py",
        "        host = np.ctypeslib.as_array((ctypes.c_uint8 * max(size, _ALIGNMENT))"
        ".from_address(address))",
        "        host = np.zeros(max(size, _ALIGNMENT), np.uint8)",
    ),
    Mutation(
        "a context is captured before it has run",
        f"{HERE}/chain.py",
        "            try:\n                if shape.graph",
        "            if shape.runs == 1 and shape.contexts is not None:\n"
        "                self._capture(shape, places)\n"
        "                shape.runs = 9\n"
        "            try:\n                if shape.graph",
    ),
    Mutation(
        "captured graphs are never destroyed",
        f"{HERE}/cuda.py",
        '        finally:\n            self._cuda.call("cudaGraphDestroy", graph)',
        "        finally:\n            pass",
    ),
    Mutation(
        "old graphs are never destroyed",
        f"{HERE}/chain.py",
        "            self._stream.forget(shape.graph)",
        "            pass",
    ),
    Mutation(
        "a failed run leaves its work in the stream",
        f"{HERE}/chain.py",
        "            finally:  # also after a failure: what is in the stream uses these buffers\n"
        "                self._stream.wait()",
        "            finally:\n                pass\n            self._stream.wait()",
    ),
    Mutation(
        "contexts of a graph are shared with other shapes",
        f"{HERE}/chain.py",
        "contexts = {link.name: self._context(link, fixed=True) for link in self._links}",
        "contexts = self._plain",
    ),
    Mutation(
        "texts are not padded to few lengths",
        "trml_rt/runtime.py",
        "few_shapes=isinstance(choice.backend, LinkingBackend)",
        "few_shapes=False",
    ),
    Mutation(
        "a frame is read before the stream that writes it",
        f"{HERE}/frames.py",
        "self._stream.follow(frame.stream)",
        "pass",
    ),
    Mutation(
        "columns of a tall frame are resized last",
        f"{HERE}/frames.py",
        "axes = both[::-1] if shaping.down_first else both",
        "axes = both",
    ),
    Mutation(
        "what is between the kernels has no room for three colours",
        f"{HERE}/frames.py",
        "first.size * 3)",
        "first.size)",
    ),
    Mutation(
        "pixels are not fetched from the GPU",
        f"{HERE}/frames.py",
        "if not out.mapped:",
        "if out.mapped:",
    ),
)


def passes(copy: Path) -> bool:
    """Say whether the tests pass in the copy."""
    files = [f"tests/{HERE}/test_{name}.py" for name in TESTS]
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    return subprocess.run(words, cwd=copy, capture_output=True).returncode == 0


def try_all(mutations: Sequence[Mutation], copy: Path, passes: Callable[[Path], bool]) -> int:
    """Make each change in the copy by itself; return 1 if the tests pass in spite of any."""
    if not passes(copy):
        raise SystemExit("the tests fail without any change")
    left = 0
    for mutation in mutations:
        path = copy / mutation.file
        source = path.read_text()
        if source.count(mutation.old) != 1:
            raise SystemExit(f"{mutation.name}: its text stands {source.count(mutation.old)} times")
        path.write_text(source.replace(mutation.old, mutation.new))
        lives = passes(copy)
        path.write_text(source)
        sys.stdout.write(f"{'SURVIVES' if lives else 'dies'}: {mutation.name}\n")
        sys.stdout.flush()
        left += lives
    return 1 if left else 0


def main() -> int:
    """Try every mutation, and name those that survive."""
    with tempfile.TemporaryDirectory() as parent:
        copy = Path(parent) / "copy"
        for name in ("trml_rt", "tests"):
            more = ["native"] if name == "trml_rt" else []
            leave = shutil.ignore_patterns("default_bundle", "__pycache__", *more)
            shutil.copytree(ROOT / name, copy / name, ignore=leave)
        (copy / "trml_rt" / "default_bundle").symlink_to(ROOT / "trml_rt" / "default_bundle")
        shutil.copy(ROOT / "pyproject.toml", copy)
        return try_all(MUTATIONS, copy, passes)


if __name__ == "__main__":
    sys.exit(main())
