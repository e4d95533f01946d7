"""Say what this machine has of NVIDIA's: JetPack, CUDA, the GPU, TensorRT, and whether they fit."""

from __future__ import annotations

import re
from pathlib import Path

from trml_rt.backends.check import Check
from trml_rt.backends.tensorrt import library
from trml_rt.backends.tensorrt.cuda import CUDA_BINDINGS, Cuda, Gpu, cuda_runtime, current_gpu
from trml_rt.backends.tensorrt.cuda import origin as origin_of_cuda
from trml_rt.backends.tensorrt.library import import_tensorrt, origin
from trml_rt.errors import BackendUnavailable, EnvironmentUnfit

__all__ = ["jetpack_of", "nvidia_checks"]

_MODEL = Path("/proc/device-tree/model")
_OLDEST_L4T = (36, 4)  # JetPack 6.1, the first with TensorRT 10.3
_OLDEST_COMPUTE = (7, 5)  # of full TensorRT 10.3 to 11

# The first L4T release of each JetPack, newest first.
_JETPACKS = (
    *(((38, 0, 0), "7"), ((36, 4, 3), "6.2"), ((36, 4, 0), "6.1"), ((36, 2, 0), "6.0")),
    *(((35, 2, 0), "5.1"), ((34, 0, 0), "5.0"), ((32, 0, 0), "4")),
)


def nvidia_checks(backend: str, required: bool) -> list[Check]:
    """Return the checks for one TensorRT: JetPack, CUDA, the GPU, the library.

    Args:
        backend: "tensorrt" or "tensorrt-rtx".
        required: whether the machine must pass; else the checks only inform.
    """
    gpu, cuda = _cuda(backend, required)
    return [*_jetson(required), cuda, *_tensorrt(backend, gpu, required)]


def jetpack_of(release: str) -> tuple[tuple[int, int, int], str] | None:
    """Read L4T and JetPack version from the text of /etc/nv_tegra_release, or None.

    >>> jetpack_of("# R36 (release), REVISION: 4.3, GCID: 38968081")
    ((36, 4, 3), '6.2')
    """
    match = re.search(r"R(\d+)[^,]*, REVISION: (\d+)(?:\.(\d+))?", release)
    if match is None:
        return None
    version = (int(match[1]), int(match[2]), int(match[3] or 0))
    jetpack = next((name for first, name in _JETPACKS if version >= first), "older than 4")
    return version, jetpack


def _jetson(needed: bool) -> list[Check]:
    """Return one check on a Jetson, none elsewhere."""
    try:
        release = library.TEGRA_RELEASE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    try:
        model = _MODEL.read_text(encoding="utf-8", errors="replace").rstrip("\0\n")
    except OSError:
        model = "a Jetson"
    versions = jetpack_of(release)
    if versions is None:
        quoted = release.strip().splitlines()[0] if release.strip() else "nothing"
        return [Check("JetPack", False, f"{model}, {library.TEGRA_RELEASE} says {quoted}", needed)]
    version, jetpack = versions
    return [
        Check(
            "JetPack",
            version >= _OLDEST_L4T,
            f"{model}, L4T {'.'.join(map(str, version))}, JetPack {jetpack}",
            needed,
            None if version >= _OLDEST_L4T else "TensorRT 10.3 or later comes with JetPack 6.1",
        )
    ]


def _cuda(backend: str, needed: bool) -> tuple[Gpu | None, Check]:
    """Return the GPU if it can be used, and the check of CUDA and its driver."""
    try:
        runtime = cuda_runtime()
        cuda = Cuda(runtime)
        driver, own = (int(cuda.call(f"cuda{which}GetVersion")) for which in ("Driver", "Runtime"))
    except BackendUnavailable as error:
        return None, Check("CUDA", False, str(error), needed, f'pip install "{CUDA_BINDINGS}"')
    except EnvironmentUnfit as error:
        return None, Check("CUDA", False, str(error), needed)
    if driver == 0:
        remedy = "install NVIDIA's driver, or take --backend onnxruntime"
        return None, Check("CUDA", False, "no NVIDIA driver", needed, remedy)
    if own // 1000 > driver // 1000:
        description = f"the driver is of CUDA {driver // 1000}, {origin_of_cuda(runtime)} is newer"
        remedy = f'pip install "{CUDA_BINDINGS}"'
        return None, Check("CUDA", False, description, needed, remedy)
    try:
        gpu = current_gpu(backend, runtime)
    except EnvironmentUnfit as error:
        return None, Check("CUDA", False, str(error), needed)
    kind = "integrated" if gpu.integrated else "discrete"
    description = (
        f"{gpu.name}, {kind}, compute capability {gpu.compute_capability}, "
        f"{gpu.multiprocessors} multiprocessors, {gpu.total_bytes / 2**30:.1f} GiB "
        f"({gpu.free_bytes / 2**30:.1f} free), driver of CUDA {gpu.cuda_driver}, "
        f"runtime {gpu.cuda_runtime} of {origin_of_cuda(runtime)}"
    )
    return gpu, Check("CUDA", True, description, needed)


def _tensorrt(backend: str, gpu: Gpu | None, needed: bool) -> list[Check]:
    """Return the checks of one TensorRT: that it is there and fit, and takes this GPU."""
    name = f"back end {backend}"
    try:
        module = import_tensorrt(backend)
    except EnvironmentUnfit as error:
        return [Check(name, False, str(error), needed)]
    description = f"{module.__version__} from {origin(module)}"
    checks = [Check(name, True, description, needed)]
    if gpu is None:
        return checks
    if backend == "tensorrt-rtx":
        targets = [target for target in module.ComputeCapability.__members__ if "SM" in target]
        takes = "SM" + gpu.compute_capability.replace(".", "") in targets
        capability = f"compute capability {gpu.compute_capability}; it takes {', '.join(targets)}"
    else:
        major, minor = map(int, gpu.compute_capability.split("."))
        takes = (major, minor) >= _OLDEST_COMPUTE
        least = ".".join(map(str, _OLDEST_COMPUTE))
        capability = f"compute capability {gpu.compute_capability}; it takes {least} and later"
    return [*checks, Check(f"GPU for {backend}", takes, capability, needed)]
