"""What doctor says of JetPack, CUDA, the GPU and TensorRT; machines are pretended with files."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from tests.conftest import TINY
from tests.trml_rt.backends.tensorrt.fake_cuda import FakeCuda
from tests.trml_rt.backends.tensorrt.fake_tensorrt import FakeTensorRt
from trml_rt.backends.tensorrt import doctor as doctor_nvidia
from trml_rt.backends.tensorrt.doctor import jetpack_of
from trml_rt.cli import trml_rt as cli
from trml_rt.doctor import doctor
from trml_rt.errors import EnvironmentUnfit

ORIN = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"


class Machine:
    def __init__(self, monkeypatch, tmp_path):
        self.patch, self.folder = monkeypatch, tmp_path
        self.tegra(None)
        self.install()
        self.patch.setattr("importlib.metadata.version", lambda name: "12.9.1")

    def tegra(self, release, model="NVIDIA Jetson Orin Nano Developer Kit\0"):
        path = self.folder / "nv_tegra_release"
        if release is not None:
            path.write_text(release)
        (self.folder / "model").write_text(model)
        self.patch.setattr("trml_rt.backends.tensorrt.library.TEGRA_RELEASE", path)
        self.patch.setattr(doctor_nvidia, "_MODEL", self.folder / "model")

    def install(self, *, version="10.3.0", rtx=None, capability=(8, 7)):
        self.cuda = FakeCuda(integrated=True, capability=capability)
        self.patch.setitem(sys.modules, "tensorrt", FakeTensorRt(self.cuda, version))
        self.patch.setitem(
            sys.modules, "tensorrt_rtx", FakeTensorRt(self.cuda, rtx) if rtx else None
        )
        self.patch.setattr(doctor_nvidia, "cuda_runtime", lambda: self.cuda)

    def checks(self, backend="tensorrt"):
        checks = doctor(TINY, backend=backend).checks
        nvidia = ("JetPack", "CUDA", "GPU for", "back end tensorrt")
        return {check.name: check for check in checks if check.name.startswith(nvidia)}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    return Machine(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        (ORIN, ((36, 4, 3), "6.2")),
        ("# R36 (release), REVISION: 4.0, GCID: 1", ((36, 4, 0), "6.1")),
        ("# R36 (release), REVISION: 3.0, GCID: 1", ((36, 3, 0), "6.0")),
        ("# R35 (release), REVISION: 4.1, GCID: 1", ((35, 4, 1), "5.1")),
        ("# R38 (release), REVISION: 2.0, GCID: 1", ((38, 2, 0), "7")),
        ("# R32 (release), REVISION: 7.1, GCID: 1", ((32, 7, 1), "4")),
        ("something else", None),
        ("", None),
    ],
)
def test_jetpack_is_read_from_the_release_file(release, expected):
    assert jetpack_of(release) == expected


def test_a_jetson_of_today_is_fit_and_everything_is_told(machine):
    machine.tegra(ORIN)
    checks = machine.checks()
    assert all(check.ok and check.required for check in checks.values())
    assert (
        checks["JetPack"].found == "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3, JetPack 6.2"
    )
    assert "Fake Orin, integrated, compute capability 8.7" in checks["CUDA"].found
    assert "10.3.0 from /usr/lib/python3/dist-packages" in checks["back end tensorrt"].found


def test_an_old_jetpack_is_not_fit_and_says_what_to_do(machine):
    machine.tegra("# R35 (release), REVISION: 4.1, GCID: 1")
    machine.install(version="8.5.2")
    checks = machine.checks()
    assert not checks["JetPack"].ok
    assert "JetPack 6.1" in checks["JetPack"].remedy
    assert "no LayerNormalization layer" in checks["back end tensorrt"].found


def test_a_release_file_that_cannot_be_read_is_quoted(machine):
    machine.tegra("a jetson of the future\n")
    assert machine.checks()["JetPack"].found.endswith("says a jetson of the future")


def test_elsewhere_there_is_no_talk_of_jetpack(machine):
    assert "JetPack" not in machine.checks()


def test_no_driver_is_said_in_plain_words(machine):
    machine.cuda.cudaDriverGetVersion = lambda: (0, 0)
    check = machine.checks()["CUDA"]
    assert (check.ok, check.found) == (False, "no NVIDIA driver")
    assert "GPU for tensorrt" not in machine.checks()


def test_a_runtime_newer_than_the_driver_names_one_that_fits(machine):
    machine.cuda.cudaRuntimeGetVersion = lambda: (0, 13050)
    check = machine.checks()["CUDA"]
    assert (check.ok, check.found) == (
        False,
        "the driver is of CUDA 12, cuda-bindings 12.9.1 is newer",
    )
    assert check.remedy == 'pip install "cuda-bindings>=12.9,<13"'


def test_the_library_that_cuda_came_from_is_told(machine):
    machine.cuda.origin = "/usr/local/cuda/lib64/libcudart.so.12"
    found = machine.checks()["CUDA"].found
    assert found.endswith("runtime 12.6 of /usr/local/cuda/lib64/libcudart.so.12")


def test_a_driver_without_a_gpu_is_not_fit(machine):
    machine.cuda.cudaGetDevice = lambda: (2, None)
    assert "no GPU can be used" in machine.checks()["CUDA"].found


@pytest.mark.parametrize(
    ("capability", "takes"), [((7, 2), False), ((7, 5), True), ((11, 0), True)]
)
def test_full_tensorrt_takes_turing_and_later(machine, capability, takes):
    machine.install(capability=capability)
    check = machine.checks()["GPU for tensorrt"]
    assert check.ok == takes
    assert "it takes 7.5 and later" in check.found


def test_rtx_itself_says_which_gpus_it_takes(machine):
    machine.install(rtx="1.7.1.116")
    targets = dict.fromkeys(["NONE", "CURRENT", "SM86", "SM89"])
    sys.modules["tensorrt_rtx"].ComputeCapability = type("E", (), {"__members__": targets})
    check = machine.checks("tensorrt-rtx")["GPU for tensorrt-rtx"]
    assert not check.ok
    assert check.found == "compute capability 8.7; it takes SM86, SM89"


def test_without_being_named_tensorrt_is_not_required(machine):
    machine.cuda.cudaDriverGetVersion = lambda: (0, 0)
    assert not any(check.required for check in machine.checks("auto").values())
    assert {"back end tensorrt", "back end tensorrt-rtx"} <= machine.checks("auto").keys()


def test_named_and_missing_is_exit_code_3_with_the_reason(machine):
    machine.cuda.cudaDriverGetVersion = lambda: (0, 0)
    words = ["doctor", "--backend", "tensorrt", "--bundle", str(TINY)]
    result = CliRunner().invoke(cli, [*words, "--json"])
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    assert not report["fit"]
    assert "no NVIDIA driver" in [check["found"] for check in report["checks"]]
    assert result.stderr == "trml-rt: this machine is not fit: CUDA\n"
    with pytest.raises(EnvironmentUnfit, match=r"not fit: CUDA: no NVIDIA driver$"):
        doctor(TINY, backend="tensorrt").raise_if_unfit()


def test_the_machine_of_these_tests_is_fit_for_auto():
    assert doctor(TINY).fit
