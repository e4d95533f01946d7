"""What is told of the CPU: one string of instruction sets, and what follows from it."""

from __future__ import annotations

import re

import pytest

from trml_rt.backends import cpu
from trml_rt.backends.cpu import best_feature, cpu_features, describe_device, half_type


@pytest.fixture
def cpuinfo(monkeypatch, tmp_path):
    """Return what puts a text in the place of /proc/cpuinfo; without one there is none."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(cpu, "_CPUINFO", file)
    return file.write_text


INTEL = """processor\t: 0
model name\t: Xeon
flags\t\t: fpu avx512f avx2 sse4_1 avx512_bf16 amx_bf16
processor\t: 1
model name\t: other
flags\t\t: none
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd asimdhp bf16\nCPU part\t: 0xd4f\n"


def test_features_are_those_of_the_first_processor_in_an_order_of_their_own(cpuinfo):
    cpuinfo(INTEL)
    assert cpu_features() == "sse4_1 avx2 avx512f avx512_bf16 amx_bf16"
    assert describe_device()["CPU"] == "Xeon"


def test_an_arm_cpu_is_named_by_its_part(cpuinfo):
    cpuinfo(ARM)
    assert (cpu_features(), describe_device()["CPU"]) == ("asimd asimdhp bf16", "0xd4f")


def test_a_system_that_tells_nothing_is_called_unknown(cpuinfo):
    found = describe_device()
    assert (found["CPU"], found["CPU features"]) == ("unknown", "unknown")
    assert int(found["CPUs"]) > 0
    assert re.fullmatch(r"[a-z]+ \w+", found["system"])


@pytest.mark.parametrize(
    ("features", "kind"),
    [
        ("avx512f avx512_vnni avx512_fp16", None),
        ("avx512f avx512_bf16", "bf16"),
        ("avx2 amx_bf16", "bf16"),
        ("asimd asimdhp bf16", "f16"),
        ("asimd", None),
    ],
)
def test_half_precision_is_what_the_cpu_has_units_for(cpuinfo, features, kind):
    cpuinfo(f"flags : {features}\n")
    assert half_type() == kind


def test_the_name_of_an_engine_folder_has_the_best_instruction_set():
    assert best_feature("avx avx2 avx512f") == "avx512f"
    assert best_feature("unknown") == "generic"
