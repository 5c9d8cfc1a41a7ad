"""Manifests, Dockerfiles and schemas of docker/, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DOCKER = Path(__file__).resolve().parents[2] / "docker"


@pytest.fixture(scope="session")
def docker() -> Path:
    return DOCKER


@pytest.fixture(scope="session")
def manifests() -> Callable[[str], list[dict[str, Any]]]:
    """The resources of a file."""
    yaml = pytest.importorskip("yaml")

    def load(path: str) -> list[dict[str, Any]]:
        with (DOCKER / path).open(encoding="utf-8") as stream:
            return list(yaml.safe_load_all(stream))

    return load


@pytest.fixture(scope="session")
def validate() -> Callable[[dict[str, Any], str], None]:
    """Holds a resource to its schema of a Kubernetes version, unknown fields refused; raises jsonschema.ValidationError."""
    kubernetes = pytest.importorskip("kubernetes_validate")
    import jsonschema
    from kubernetes_validate import utils
    from referencing import Registry, Resource

    kserve = json.loads(Path(__file__).with_name("kserve.json").read_text(encoding="utf-8"))
    kinds = {"InferenceService": "V1beta1InferenceService", "ServingRuntime": "V1alpha1ServingRuntime"}

    def check(resource: dict[str, Any], version: str) -> None:
        if resource["kind"] not in kinds:
            assert kubernetes.validate(resource, version, strict=True) == version
            return
        definitions = utils.schema_contents(
            f"kubernetes-json-schema/v{version}.0-local-strict/_definitions.json", version
        )
        registry: Registry[Any] = Registry().with_resources(
            [(one["$id"], Resource.from_contents(one, _dialect())) for one in (kserve, definitions)]
        )
        schema = {"$ref": f"{kserve['$id']}#/$defs/{kinds[resource['kind']]}"}
        jsonschema.Draft202012Validator(schema, registry=registry).validate(resource)

    return check


def _dialect() -> Any:
    from referencing.jsonschema import DRAFT202012

    return DRAFT202012
