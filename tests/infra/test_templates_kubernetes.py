"""The Kubernetes manifests: valid by the API's own schema, consistent with one another and with what they run."""

import json
import re
import shutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import ValidationError
from prefect.utilities.templating import apply_values
from prefect_kubernetes.worker import KubernetesWorker
from support.repository import REPOSITORY
from support.services.required_tools import output_of, required

from deployments.endpoint.settings import Limits

KUBERNETES = REPOSITORY / "infra" / "kubernetes"
FOLDERS = ("base", "jobs", "ray")
SCHEMA = "1.34"

# https://docs.ray.io/en/latest/cluster/kubernetes/user-guides/config.html and KubeRay's sample
# ray-operator/config/samples/ray-cluster.autoscaler-v2.yaml
RAY_GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


@cache
def manifests(folder: str) -> tuple[dict[str, Any], ...]:
    """All objects that the kustomization of a folder names."""
    kustomization = _kustomization(folder)
    texts = [(KUBERNETES / folder / name).read_text() for name in kustomization["resources"]]
    return tuple(row for text in texts for row in yaml.safe_load_all(text))


def _kustomization(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())
    return found


def _everything() -> list[dict[str, Any]]:
    return [row for folder in FOLDERS for row in manifests(folder)]


def _pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod template, with the name of what makes it."""
    for row in _everything():
        if row["kind"] == "Deployment":
            yield row["metadata"]["name"], row["spec"]["template"]
        if row["kind"] == "RayCluster":
            for group in [row["spec"]["headGroupSpec"], *row["spec"]["workerGroupSpecs"]]:
                yield "ray", group["template"]
    yield "gpu-job", _job()["spec"]["template"]


@cache
def _template() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((KUBERNETES / "jobs/gpu-job-template.json").read_text())
    return found


def _job() -> dict[str, Any]:
    """The Job of a run, with the template's own defaults, as Prefect's templating makes it."""
    variables = _template()["variables"]["properties"]
    values: dict[str, Any] = {
        name: row["default"] for name, row in variables.items() if row.get("default") is not None
    }
    values |= {"name": "run", "labels": {}, "annotations": {}, "command": ["prefect", "flow-run", "execute"]}
    values |= {"env": [{"name": "PREFECT_API_URL", "value": "http://server/api"}]}
    job: dict[str, Any] = apply_values(_template()["job_configuration"]["job_manifest"], values)
    return job


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_is_valid(folder: str) -> None:
    for row in manifests(folder):
        if row["kind"] != "RayCluster":
            kubernetes_validate.validate(row, SCHEMA, strict=True)
    for name in _generated(folder):
        assert re.fullmatch(r"[a-z][a-z-]+", name)


def test_the_schema_refuses_a_misspelt_field() -> None:
    deployment = json.loads(json.dumps(next(row for row in manifests("base") if row["kind"] == "Deployment")))
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(ValidationError):
        kubernetes_validate.validate(deployment, SCHEMA, strict=True)


def test_the_ray_cluster_has_the_operators_fields_and_the_locked_version_of_ray() -> None:
    (cluster,) = [row for row in manifests("ray") if row["kind"] == "RayCluster"]
    assert cluster["apiVersion"] == "ray.io/v1"
    assert cluster["spec"]["rayVersion"] == version("ray")
    assert set(cluster["spec"]) == {
        "rayVersion",
        "enableInTreeAutoscaling",
        "autoscalerOptions",
        "headGroupSpec",
        "workerGroupSpecs",
    }
    for group in [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]:
        assert set(group) <= RAY_GROUP
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_the_job_template_is_prefects_own_with_a_gpu() -> None:
    own, ours = KubernetesWorker.get_default_base_job_template(), _template()
    assert set(own["variables"]["properties"]) == set(ours["variables"]["properties"]) - {"gpus"}
    job_spec = own["job_configuration"]["job_manifest"]["spec"]
    for name in (
        "completions",
        "parallelism",
    ):  # Prefect has them in the pod, where Kubernetes does not know them
        job_spec[name] = job_spec["template"]["spec"].pop(name)
    assert _leaves(own["job_configuration"]).items() <= _leaves(ours["job_configuration"]).items()
    job = _job()
    kubernetes_validate.validate(job, SCHEMA, strict=True)
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["nodeSelector"] and pod["tolerations"]


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {
            name: leaf for key, row in value.items() for name, leaf in _leaves(row, f"{path}/{key}").items()
        }
    if isinstance(value, list):
        return {
            name: leaf for i, row in enumerate(value) for name, leaf in _leaves(row, f"{path}/{i}").items()
        }
    return {path: value}


def test_the_endpoint_is_allowed_the_memory_that_it_may_take() -> None:
    (pod,) = [template for name, template in _pods() if name == "endpoint"]
    (container,) = pod["spec"]["containers"]
    set_here = {word for word in container["args"] if word.startswith("--max")} | (
        {"--workers", "--threads"} & set(container["args"])
    )
    assert set_here == set(), "else the figure below is another one"
    limit = container["resources"]["limits"]["memory"]
    assert int(limit.removesuffix("Mi")) >= Limits().memory_mib


def test_every_pod_is_locked_down_and_bounded() -> None:
    for name, template in _pods():
        pod = template["spec"]
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod}, SCHEMA, strict=True
        )
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] == 10001, "the user of the images"
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"], name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory", "ephemeral-storage"} <= set(
                container["resources"]["limits"]
            ) or name == "gpu-job"
            assert not any("value" in row and "KEY" in row["name"] for row in container.get("env", [])), name
        written = {row["mountPath"] for row in pod["containers"][0]["volumeMounts"]}
        assert {"/cache", "/tmp"} <= written, "what the images write to"  # noqa: S108


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_name_leads_to_something(folder: str) -> None:
    accounts = {row["metadata"]["name"] for row in _everything() if row["kind"] == "ServiceAccount"}
    readme = (REPOSITORY / "infra" / "README.md").read_text()
    config_maps = {name for each in FOLDERS for name in _generated(each)}
    labels = {json.dumps(template["metadata"]["labels"]) for _, template in _pods()}
    listed = set(_kustomization(folder)["resources"]) | {"kustomization.yaml"}
    assert {path.name for path in (KUBERNETES / folder).glob("*.yaml")} == listed
    for name, template in _pods():
        pod = template["spec"]
        assert pod.get("serviceAccountName", "default") in {*accounts, "default"}, name
        for source in pod["containers"][0].get("envFrom", []):
            if "configMapRef" in source:
                assert source["configMapRef"]["name"] in config_maps, name
            else:
                assert f"secret generic {source['secretRef']['name']} " in readme, name
        for volume in pod["volumes"]:
            if "secret" in volume:
                assert f"secret generic {volume['secret']['secretName']} " in readme
    for row in manifests(folder):
        if row["kind"] == "Deployment":
            assert row["spec"]["selector"]["matchLabels"] == row["spec"]["template"]["metadata"]["labels"]
        if row["kind"] in {"Service", "PodDisruptionBudget"}:
            selector = row["spec"]["selector"]
            assert json.dumps(selector.get("matchLabels", selector)) in labels
        if row["kind"] == "NetworkPolicy":
            for label in re.findall(r'"app": "([^"]+)"', json.dumps(row)):
                assert json.dumps({"app": label}) in labels, label
        if row["kind"] == "HorizontalPodAutoscaler":
            target = row["spec"]["scaleTargetRef"]
            found = [one for one in manifests(folder) if one["kind"] == "Deployment"]
            deployment = next(one for one in found if one["metadata"]["name"] == target["name"])
            assert "replicas" not in deployment["spec"], "or each apply would undo the autoscaler"


def _generated(folder: str) -> set[str]:
    return {row["name"] for row in _kustomization(folder).get("configMapGenerator", [])}


def test_probes_go_where_the_images_answer_and_the_images_have_the_same_name() -> None:
    dockerfile = (REPOSITORY / "infra/containers/Dockerfile").read_text()
    source = (REPOSITORY / "deployments/endpoint/app.py").read_text()
    for name, template in _pods():
        (container,) = template["spec"]["containers"]
        image = container["image"].rpartition("/")[2].partition(":")[0]
        assert f" AS {image}\n" in dockerfile, name
        ports = {row["name"]: row["containerPort"] for row in container.get("ports", [])}
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            if kind in container:
                get = container[kind]["httpGet"]
                assert f"127.0.0.1:{ports[get['port']]}" in dockerfile
                assert get["path"] == "/health" or get["path"] in source
    for folder in FOLDERS:
        for row in _kustomization(folder).get("images", []):
            assert f" AS {row['name'].rpartition('/')[2]}\n" in dockerfile


@pytest.mark.slow
def test_every_command_and_option_exists() -> None:
    commands = {tuple(template["spec"]["containers"][0].get("args", [])) for _, template in _pods()}
    ours = [row for row in commands if row and row[0] in {"lightbox", "prefect"} and row[1] != "flow-run"]
    assert len(ours) == 4
    for command in ours:
        verbs = command[1 : next(i for i, word in enumerate(command) if word.startswith("--"))]
        said = output_of(
            required(command[0], "run `make install`"), *verbs, "--help", environment={"COLUMNS": "200"}
        )
        for option in (word for word in command if word.startswith("--")):
            assert option in said, option


@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_renders_it(folder: str) -> None:
    program = (
        [found] if (found := shutil.which("kustomize")) else [shutil.which("kubectl") or "", "kustomize"]
    )
    if not program[0]:
        pytest.skip("kustomize is missing: https://kubectl.docs.kubernetes.io/installation/kustomize/")
    build = ["build"] if len(program) == 1 else []
    rendered = list(yaml.safe_load_all(output_of(*program, *build, str(Path("infra/kubernetes") / folder))))
    assert len(rendered) == len(manifests(folder)) + len(_generated(folder))
    text = json.dumps(rendered)
    assert not re.search(r'"image": "lightbox/', text), "every image was given a registry and a tag"
    for row in rendered:
        assert row["kind"] == "Namespace" or row["metadata"]["namespace"] == "lightbox"
        assert row["metadata"]["labels"]["app.kubernetes.io/part-of"] == "lightbox"
        if row["kind"] != "RayCluster":
            kubernetes_validate.validate(row, SCHEMA, strict=True)
