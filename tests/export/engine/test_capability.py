from __future__ import annotations

import pytest

from attnexport.errors import EngineError, InputError
from attnexport.export.engine import EngineOptions, Flavour, build_engine, gpu_present
from attnexport.export.engine.config import known_capabilities, refuse_engine, set_capabilities


def test_the_names_are_those_of_the_installed_version(rtx) -> None:
    known = known_capabilities(rtx.module)
    assert list(known)[:4] == ["7.5", "8.0", "8.6", "8.9"]
    assert list(known)[-1] == "current"
    assert known["12.0"] is rtx.module.ComputeCapability.SM120
    assert {member.name for member in known.values()} == set(rtx.module.ComputeCapability.__members__) - {"NONE"}


def test_engines_for_several_gpus(mixed, image, rtx, reporter) -> None:
    def built(*names: str):
        return build_engine(mixed, [image], rtx, EngineOptions(compute_capabilities=names), {}, reporter)

    one, two = built("8.6"), built("8.6", " 12.0 ", "8.6")
    assert one.compute_capabilities == ("8.6",)
    assert two.compute_capabilities == ("8.6", "12.0")
    assert len(one.plan) > 10_000
    assert one.plan != two.plan


def test_the_targets_reach_tensorrt(rtx) -> None:
    from attnexport.export.engine.logger import logger_of

    builder = rtx.module.Builder(logger_of(rtx.module)[0])
    config = builder.create_builder_config()
    set_capabilities(config, rtx, ("8.9", "7.5"))
    assert config.num_compute_capabilities == 2
    assert [config.get_compute_capability(i).name for i in range(2)] == ["SM89", "SM75"]


@pytest.mark.parametrize("name", ["9.0", "86", "sm86", "", "10.10"])
def test_an_unknown_capability_lists_the_known(name, mixed, image, rtx, reporter) -> None:
    options = EngineOptions(compute_capabilities=("8.6", name))
    with pytest.raises(InputError) as caught:
        build_engine(mixed, [image], rtx, options, {}, reporter)
    assert f"does not build for compute capability {name!r}" in str(caught.value)
    assert "it takes 7.5, 8.0, 8.6, 8.9, 12.0, 12.1, current" in str(caught.value)


@pytest.mark.parametrize("precision", ["fp16", "fp8"])
def test_an_unknown_capability_is_refused_before_a_model_is_read(precision, rtx) -> None:
    with pytest.raises(InputError, match=r"does not build for compute capability '3\.5'"):
        refuse_engine(precision, rtx, ("8.9", "3.5"))
    refuse_engine(precision, rtx, ("8.9", "12.0"))


def test_current_stands_alone(mixed, image, rtx, reporter) -> None:
    options = EngineOptions(compute_capabilities=("current", "8.6"))
    with pytest.raises(InputError, match=r"'current' does not go with others \(current, 8\.6\)"):
        build_engine(mixed, [image], rtx, options, {}, reporter)


@pytest.mark.skipif(gpu_present(), reason="with a GPU 'current' builds")
def test_current_needs_a_gpu(mixed, image, rtx, reporter) -> None:
    options = EngineOptions(compute_capabilities=("current",))
    with pytest.raises(EngineError, match=r"'current' needs a GPU: pass the number, for example 8\.6"):
        build_engine(mixed, [image], rtx, options, {}, reporter)


def test_enterprise_builds_for_its_own_gpu_only() -> None:
    enterprise = Flavour("enterprise", (10, 13), "10.13")
    assert set_capabilities(None, enterprise, ()) == ()
    with pytest.raises(InputError, match=r"TensorRT 10\.13 builds for the GPU of this machine.*--trt=rtx"):
        set_capabilities(None, enterprise, ("8.6",))
