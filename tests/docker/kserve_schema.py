"""Where kserve.json comes from: the types in KServe's own Python client, which its project generates from the resources' definitions.

    pip download --no-deps kserve==0.21.0
    python tests/docker/kserve_schema.py kserve-0.21.0-py3-none-any.whl > tests/docker/kserve.json

Kubernetes' own types are references into the definitions that the package kubernetes-validate brings.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from typing import Any

KINDS = {"V1beta1InferenceService": "serving.kserve.io/v1beta1", "V1alpha1ServingRuntime": "serving.kserve.io/v1alpha1"}
LEFT_OUT = {"V1beta1InferenceServiceStatus"}
KUBERNETES = "/api/_definitions.json#/$defs/"
ID = "https://kubernetes.io/api/kserve.json"
"""Beside the definitions that it refers to."""
OF_META = {"V1ObjectMeta"}
SCALARS: dict[str, dict[str, Any]] = {
    "str": {"type": "string"}, "int": {"type": "integer"}, "bool": {"type": "boolean"}, "float": {"type": "number"}, "object": {},
    "ResourceQuantity": {"type": ["string", "number"]},
}  # fmt: skip


class Schemas:
    """Definitions as they are found to be needed."""

    def __init__(self, wheel: str) -> None:
        self.definitions: dict[str, Any] = {}
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if re.fullmatch(r"kserve/models/v1\w+\.py", name)]
            self._sources = {}
            for name in names:
                text = archive.read(name).decode()
                self._sources[re.findall(r"^class (\w+)\(", text, re.MULTILINE)[0]] = text

    def of(self, kind: str) -> dict[str, Any]:
        """The schema of a type as the client spells it: str, list[…], dict(str, …), or a class."""
        if kind in SCALARS or kind in LEFT_OUT:
            return SCALARS.get(kind, {})
        if items := re.fullmatch(r"list\[(.*)]", kind):
            return {"type": "array", "items": self.of(items[1])}
        if values := re.fullmatch(r"dict\(str, (.*)\)", kind):
            return {"type": "object", "additionalProperties": self.of(values[1])}
        if kind not in self._sources:
            if re.match(r"V1(alpha|beta)", kind):
                return {}  # two types that the client names and does not have
            return {"$ref": KUBERNETES + _kubernetes(kind)}
        if kind not in self.definitions:
            self.definitions[kind] = {}
            self.definitions[kind] = self._object(kind)
        return {"$ref": f"#/$defs/{kind}"}

    def _object(self, kind: str) -> dict[str, Any]:
        text = self._sources[kind]
        types, keys = (_dictionary(text, name) for name in ("openapi_types", "attribute_map"))
        required = re.findall(r"Invalid value for `(\w+)`, must not be `None`", text)
        properties = {keys[name]: self.of(types[name]) for name in types}
        if kind in KINDS:
            properties["apiVersion"] = {"const": KINDS[kind]}
            properties["kind"] = {"const": re.sub(r"^V\d\w*?\d", "", kind)}
            required = ["api_version", "kind", "metadata", "spec"]
        return {
            "type": "object",
            "additionalProperties": False,
            "required": sorted({keys[name] for name in required}),
            "properties": properties,
        }


def _dictionary(text: str, name: str) -> dict[str, str]:
    found = re.search(rf"^    {name} = (\{{.*?^    \}})", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return dict(ast.literal_eval(found[1]))


def _kubernetes(kind: str) -> str:
    if kind in OF_META:
        return f"io.k8s.apimachinery.pkg.apis.meta.v1.{kind.removeprefix('V1')}"
    if spelled := re.fullmatch(r"K8sIoApi([A-Z][a-z]+)(V\d)(\w+)", kind):
        return f"io.k8s.api.{spelled[1].lower()}.{spelled[2].lower()}.{spelled[3]}"
    return f"io.k8s.api.core.v1.{kind.removeprefix('V1')}"


def main(wheel: str) -> None:
    """Write the schemas of :data:`KINDS`, a definition on each line."""
    schemas = Schemas(wheel)
    for kind in KINDS:
        schemas.of(kind)
    lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in sorted(schemas.definitions.items())]
    source = f"made by tests/docker/kserve_schema.py from {wheel.rpartition('/')[2]} (KServe, Apache-2.0)"
    sys.stdout.write(
        f'{{"$comment": {json.dumps(source)},\n"$id": "{ID}",\n"$defs": {{\n' + ",\n".join(lines) + "\n}}\n"
    )


if __name__ == "__main__":
    main(sys.argv[1])
