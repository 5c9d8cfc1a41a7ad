"""Kubernetes and KServe manifests: valid under the schemas of several versions, with the properties of docs/kubernetes.md."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DOCKER = Path(__file__).resolve().parents[2] / "docker"
FILES = ("kubernetes/cpu.yaml", "kubernetes/gpu.yaml", "kserve/stock-triton.yaml", "kserve/python-backend.yaml")
PLAIN, KSERVE = FILES[:2], FILES[2:]
VERSIONS = ("1.30", "1.34", "1.37")

Load = Callable[[str], list[dict[str, Any]]]
Validate = Callable[[dict[str, Any], str], None]


def only(resources: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [one for one in resources if one["kind"] == kind]
    return found


def seconds(words: list[str]) -> int:
    assert words[0] == "sleep"
    return int(words[1])


def test_every_manifest_is_tested() -> None:
    found = {
        str(path.relative_to(DOCKER)) for folder in ("kubernetes", "kserve") for path in (DOCKER / folder).iterdir()
    }
    assert found == set(FILES)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES)
def test_resources_are_valid(manifests: Load, validate: Validate, file: str, version: str) -> None:
    for resource in manifests(file):
        validate(resource, version)


WRONG: dict[str, tuple[str, str, tuple[str | int, ...], Any, str]] = {
    "an unknown field": (PLAIN[0], "Deployment", ("spec", "template", "spec", "containers", 0, "livenesProbe"), {}, "livenesProbe"),
    "a probe without a port": (
        PLAIN[0], "Deployment", ("spec", "template", "spec", "containers", 0, "livenessProbe", "httpGet"), {"path": "/"}, "port",
    ),
    "replicas as a word": (PLAIN[0], "HorizontalPodAutoscaler", ("spec", "maxReplicas"), "ten", "ten"),
    "an unknown field of KServe": (KSERVE[0], "InferenceService", ("spec", "predictor", "minReplica"), 1, "minReplica"),
    "no format of the model": (KSERVE[0], "InferenceService", ("spec", "predictor", "model"), {"runtime": "x"}, "modelFormat"),
    "a hook of Kubernetes inside KServe's": (
        KSERVE[0], "InferenceService", ("spec", "predictor", "model", "lifecycle", "preStop"), {"run": []}, "run",
    ),
    "another version of the resource": (KSERVE[1], "ServingRuntime", ("apiVersion",), "serving.kserve.io/v1", "v1alpha1"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_found(manifests: Load, validate: Validate, case: str) -> None:
    """The schemas are strict enough to be worth asking."""
    jsonschema = pytest.importorskip("jsonschema")
    file, kind, path, value, word = WRONG[case]
    resource = copy.deepcopy(only(manifests(file), kind))
    place: Any = resource
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError, match=word):
        validate(resource, "1.34")


def workloads(resources: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod's and its container's specification, KServe's runtime merged with the service as KServe merges them."""
    for one in resources:
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
            return pod, pod["containers"][0]
    pod = only(resources, "InferenceService")["spec"]["predictor"]
    runtime = next((one["spec"] for one in resources if one["kind"] == "ServingRuntime"), {"containers": [{}]})
    container = {**runtime["containers"][0], **pod["model"]}
    return {"volumes": runtime.get("volumes", []), **pod}, container


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_root_and_nothing_but_scratch_is_writable(manifests: Load, file: str) -> None:
    pod, container = workloads(manifests(file))
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] >= 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"] is True and own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    writable = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert set(writable) == {"/tmp", "/dev/shm"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert all(volumes[name]["emptyDir"]["sizeLimit"] for name in writable.values())


@pytest.mark.parametrize("file", FILES)
def test_a_pod_that_goes_answers_first(manifests: Load, file: str) -> None:
    """The hook keeps Triton from SIGTERM until nobody sends to it any more; then requests in flight have their time."""
    pod, container = workloads(manifests(file))
    wait = seconds(container["lifecycle"]["preStop"]["exec"]["command"])
    said = re.search(r"--exit-timeout-secs=(\d+)", " ".join(container["args"]))
    drain = int(said[1]) if said else 30  # what attnexport serve gives by itself
    assert wait >= 5
    assert pod["terminationGracePeriodSeconds"] >= wait + drain + 5


@pytest.mark.parametrize("file", FILES)
def test_probes_ask_what_they_are_to_know(manifests: Load, file: str) -> None:
    _, container = workloads(manifests(file))
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths["startup"] == "/v2/health/ready" and paths["liveness"] == "/v2/health/live"
    if file in KSERVE:  # a plain Triton is not ready while any version of any model is broken
        assert re.fullmatch(r"/v2/models/\w+/ready", paths["readiness"])
        assert "--strict-readiness=false" in container["args"]
    else:
        assert paths["readiness"] == "/v2/health/ready"
    live, start = container["livenessProbe"], container["startupProbe"]
    if file in PLAIN:
        assert live["periodSeconds"] * live["failureThreshold"] >= 60, "serve restarts Triton by itself"
    assert start["periodSeconds"] * start["failureThreshold"] == 600, "as long as serve's own --start"


@pytest.mark.parametrize("file", PLAIN)
def test_the_parts_of_a_deployment_name_one_another(manifests: Load, file: str) -> None:
    resources = manifests(file)
    deployment = only(resources, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        only(resources, "Service")["spec"]["selector"],
        only(resources, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(resources, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    scaler = only(resources, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "two would write it"
    assert 1 <= scaler["minReplicas"] < scaler["maxReplicas"]
    names = {port["name"] for port in workloads(resources)[1]["ports"]}
    assert {port["targetPort"] for port in only(resources, "Service")["spec"]["ports"]} <= names
    assert {
        port["port"] for rule in only(resources, "NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]
    } == names


def test_no_more_threads_than_cores(manifests: Load, docker: Path) -> None:
    """A limit of cores is one of time; ONNX Runtime would take a thread for each core of the machine, and be throttled."""
    yaml = pytest.importorskip("yaml")
    _, container = workloads(manifests(PLAIN[0]))
    compose = yaml.safe_load((docker / "compose.yaml").read_text(encoding="utf-8"))["services"]["cpu"]
    for args, cores in (
        (container["args"], container["resources"]["limits"]["cpu"]),
        (compose["command"], compose["cpus"]),
    ):
        assert "--max-queue" in args  # with which there are two instances
        assert 2 * int(args[args.index("--threads") + 1]) == int(cores)


@pytest.mark.parametrize("file", FILES[1:])
def test_a_gpu_is_asked_for(manifests: Load, file: str) -> None:
    pod, container = workloads(manifests(file))
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert [t["key"] for t in pod["tolerations"]] == ["nvidia.com/gpu"]


@pytest.mark.parametrize("file", KSERVE)
def test_kserve_finds_the_repository_and_its_ports(manifests: Load, file: str) -> None:
    resources = manifests(file)
    model = only(resources, "InferenceService")["spec"]["predictor"]["model"]
    assert model["storageUri"] == "pvc://models/repository" and model["protocolVersion"] == "v2"
    if file == KSERVE[0]:
        assert model["runtime"] == "kserve-tritonserver"
        return
    runtime = only(resources, "ServingRuntime")
    assert model["runtime"] == runtime["metadata"]["name"]
    (formats,) = runtime["spec"]["supportedModelFormats"]
    assert (formats["name"], formats["version"]) == (model["modelFormat"]["name"], model["modelFormat"]["version"])
    args = runtime["spec"]["containers"][0]["args"]
    assert {"--model-repository=/mnt/models", "--http-port=8080", "--grpc-port=9000"} <= set(args)
    assert runtime["spec"]["containers"][0]["name"] == "kserve-container"


def test_the_same_triton_everywhere(manifests: Load, docker: Path) -> None:
    images = {
        re.search(r"nvcr\.io/nvidia/tritonserver:(\S+)", (docker / f"{name}.Dockerfile").read_text())[1]  # type: ignore[index]
        for name in ("cpu", "gpu", "triton")
    }
    stock = only(manifests(KSERVE[0]), "InferenceService")["spec"]["predictor"]["model"]["runtimeVersion"]
    assert images == {stock}
