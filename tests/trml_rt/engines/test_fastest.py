"""What a build found fastest: how it is written, where it counts, what `auto` makes of it."""

from __future__ import annotations

import sys

import pytest

import trml_rt
from tests.conformance.engines import lay_out, place_in
from trml_rt.backends import row_of
from trml_rt.bundle.folder import Bundle
from trml_rt.engines import fastest as module
from trml_rt.engines.fastest import file_name, read_fastest, record_fastest
from trml_rt.engines.key import built_for_here
from trml_rt.errors import ArtefactMismatch

HERE = {"CPU": "Xeon", "CPU features": "avx2", "CPUs": "4", "system": "linux x86_64"}
GAINS = {"fp32": {"text": 1.1}, "fp16": {"text": 1.2}, "int8": {"text": 1.5}}


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    """Return what changes the device that this machine is."""

    def set_to(**changes):
        monkeypatch.setattr(module, "describe_device", lambda: HERE | changes)

    set_to()
    return set_to


@pytest.fixture
def engines(device, bundle_copy):
    """Return what lays out TensorRT engines in the bundle, by precision, in the state given."""
    bundle = Bundle(bundle_copy)
    row = row_of("tensorrt")
    fields = {name: built_for_here(bundle, name, row) for name in GAINS}
    return lambda **states: lay_out(bundle_copy, states, fields)


def taken(bundle, precision=None):
    with trml_rt.load(bundle, precision=precision) as rt:
        return rt.provenance["engines"]


def test_the_name_of_the_record_is_a_hash_of_the_device():
    assert file_name(HERE) == ".fastest-8a9b8b714d54ed98.json"
    assert file_name(HERE | {"CPUs": "8"}) != file_name(HERE)


def test_what_is_written_is_read_again_and_lies_beside_the_engines(bundle_copy):
    bundle = Bundle(bundle_copy)
    assert read_fastest(bundle) is None
    record_fastest(bundle, "int8", GAINS)
    record_fastest(bundle, "fp16", GAINS)
    found = read_fastest(bundle)
    assert (found.engines, found.compared, found.device) == ("fp16", GAINS, HERE)
    assert (bundle_copy / "engines" / file_name(HERE)).is_file()
    assert trml_rt.inspect(bundle).fastest == "fp16"
    assert trml_rt.inspect(bundle).built == {}


def test_e6_auto_takes_what_was_found_fastest_of_engines_that_took_part(engines, bundle_copy):
    engines(fp16="verified", int8="verified")
    assert taken(bundle_copy) == "fp16"
    record_fastest(Bundle(bundle_copy), "int8", GAINS)
    assert taken(bundle_copy) == "int8"
    assert taken(bundle_copy, "fp16") == "fp16"
    assert taken(bundle_copy, "int8") == "int8"


@pytest.mark.parametrize("state", ["unverified", "verified elsewhere", "failed", "damaged", ""])
def test_engines_that_do_not_fit_or_are_not_verified_are_not_taken(
    engines, bundle_copy, state, caplog
):
    record_fastest(Bundle(bundle_copy), "int8", GAINS)
    (kept,) = (bundle_copy / "engines").glob(".fastest-*")
    content = kept.read_bytes()
    engines(fp16="verified", **({"int8": state} if state else {}))
    kept.write_bytes(content)
    assert taken(bundle_copy) == "fp16"
    # Engines that are gone are not passed over; those that are there are, and `auto` says why.
    assert ("not what was fastest: " in caplog.text) == bool(state)


def test_what_was_found_elsewhere_does_not_count_here(engines, bundle_copy, cpu):
    engines(fp16="verified", int8="verified")
    record_fastest(Bundle(bundle_copy), "int8", GAINS)
    for change in ({"CPU": "Epyc"}, {"CPUs": "8"}, {"CPU features": "avx2 avx512f"}):
        cpu(**change)
        assert taken(bundle_copy) == "fp16"
        assert trml_rt.inspect(bundle_copy).fastest is None


def test_a_record_under_the_name_of_another_device_is_refused(bundle_copy, cpu):
    record_fastest(Bundle(bundle_copy), "int8", GAINS)
    (path,) = (bundle_copy / "engines").glob(".fastest-*")
    path.rename(path.with_name(file_name(HERE | {"CPUs": "8"})))
    cpu(CPUs="8")
    with pytest.raises(ArtefactMismatch, match="device: is not this one"):
        read_fastest(Bundle(bundle_copy))


def test_engines_that_were_built_since_are_not_passed_over(engines, bundle_copy):
    engines(fp16="verified", int8="verified")
    record_fastest(Bundle(bundle_copy), "int8", {"int8": {"text": 1.5}})
    assert taken(bundle_copy) == "fp16"


def test_where_nothing_paid_auto_does_as_without_a_record(engines, bundle_copy):
    record_fastest(Bundle(bundle_copy), "portable", GAINS)
    assert taken(bundle_copy) == "portable"
    engines(fp16="verified")
    record_fastest(Bundle(bundle_copy), "portable", GAINS)
    assert taken(bundle_copy) == "fp16"


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema": 2}', "", '{"schema": 1, "engines": 3}'])
def test_a_damaged_record_is_as_none_and_inspect_refuses_it(engines, bundle_copy, text):
    engines(fp16="verified", int8="verified")
    (bundle_copy / "engines" / file_name(HERE)).write_text(text)
    assert taken(bundle_copy) == "fp16"
    with pytest.raises(ArtefactMismatch, match=r"\.fastest-"):
        trml_rt.inspect(bundle_copy)


def test_the_record_of_the_cache_wins_and_is_replaced_there(bundle_copy, tmp_path, monkeypatch):
    monkeypatch.setenv("TRML_RT_CACHE", str(tmp_path / "cache"))
    bundle, place = Bundle(bundle_copy), place_in(tmp_path / "cache", bundle_copy)
    record_fastest(bundle, "own", GAINS)
    place.mkdir(parents=True)
    (bundle_copy / "engines" / file_name(HERE)).rename(place / file_name(HERE))
    record_fastest(bundle, "newer", GAINS)
    assert read_fastest(bundle).engines == "newer"
    assert not (bundle_copy / "engines" / file_name(HERE)).exists()


def test_clean_removes_the_record_with_the_engines(bundle_copy):
    record_fastest(Bundle(bundle_copy), "int8", GAINS)
    path = bundle_copy / "engines" / file_name(HERE)
    assert trml_rt.clean(bundle_copy, unfit=True).removed == []
    assert trml_rt.clean(bundle_copy).removed == [path]
    assert not path.exists()


def test_a_build_for_onnx_runtime_alone_writes_nothing_down(bundle_copy, monkeypatch):
    def interleave(contenders, calls, **_):
        return {name: {"answer": [0.0], "speed_up": 2.0} for name in contenders}

    monkeypatch.setattr(sys.modules["trml_rt.bench"], "interleave", interleave)
    report = trml_rt.build(bundle_copy, "fp32", advise=True)
    assert report.recommended == "fp32"
    assert read_fastest(Bundle(bundle_copy)) is None
    with trml_rt.load(bundle_copy) as rt:
        assert rt.infer(text="good").engines == "portable"
