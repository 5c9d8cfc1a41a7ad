"""Convert manifests of an earlier schema to the current one, so that older bundles still open."""

from __future__ import annotations

from typing import Any

from .stage import Stage

READABLE = (4, 5)
"""The schema versions that this package reads; the last is the one that it writes."""
_STEPS = {"rewrite": Stage.RECOGNISE, "cast": Stage.TYPED}
"""Stages of the attribution that were renamed after version 4."""
_FIELDS = {"own_rms": "torch_rms", "own_error": "torch_error", "truth_rms": "reference_rms"}
"""Fields that were renamed after version 4."""


def to_current(value: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest's JSON object in the current schema. ``value`` is not changed.

    A field of a wrong kind is not converted: decoding reports it.
    """
    if value["schema"] != 4:
        return value
    try:
        return _from_4({name: _renamed(part) for name, part in value.items()})
    except (AttributeError, KeyError, TypeError):
        return value


def _from_4(value: dict[str, Any]) -> dict[str, Any]:
    """Version 4 kept figures of stages as free-form JSON, and had no rewrites before lowering."""
    stages = {stage["name"]: stage["detail"] for stage in value["stages"]}
    replaced = stages.get("recognise", {}).get("stands_for", {})
    return {
        **value,
        "stages": [_stage(stage) for stage in value["stages"]],
        "rewrites": [{**rewrite, "replaced": replaced.get(rewrite["node"], 1)} for rewrite in value["rewrites"]],
        "graph_rewrites": [],
        "captured": stages.get("capture", {}).get("operators", {}),
        "attribution": [_attribution(entry) for entry in value["attribution"]],
        "modules": stages.get("verify", {}).get("modules", []),
    }


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {_FIELDS.get(name, name): _renamed(part) for name, part in value.items()}
    return [_renamed(part) for part in value] if isinstance(value, list) else value


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    part, _, name = stage["name"].rpartition(": ")
    known = name in {member.value for member in Stage}
    return {
        "stage": name if known else Stage.TYPED.value,
        "seconds": stage["seconds"],
        "text": stage["detail"].get("text", ""),
        "model_type": "" if known else name,
        "part": part,
    }


def _attribution(entry: dict[str, Any]) -> dict[str, Any]:
    steps = [{**step, "stage": _STEPS.get(step["stage"], step["stage"])} for step in entry["steps"]]
    blame = entry["blame"]
    if blame is not None:
        blame = {**blame, "stage": _STEPS.get(blame["stage"], blame["stage"])}
    rest = {name: part for name, part in entry.items() if name != "form"}
    return {**rest, "variant": entry["form"], "steps": steps, "blame": blame}
