"""The Kubernetes manifests keep what they promise without a cluster being there."""

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.cli.main import Commands
from deploy.settings import variables

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = [*sorted((DEPLOY / "kubernetes").glob("*.yaml")), DEPLOY / "schedule" / "retrain-cronjob.yaml"]
OBJECTS: list[dict[str, Any]] = [
    item for file in FILES for item in yaml.safe_load_all(file.read_text("utf-8"))
]
# Commands that read models, the cases that reviewers decided or the ledger, or write them.
ONLY_READS_MODELS = {"worker", "score", "publish"}
USES_MODELS = ONLY_READS_MODELS | {"desk", "retrain"}
SECRET_VARIABLES = {"REDLINE_KAFKA_PASSWORD", "REDLINE_CLICKHOUSE", "REDLINE_DESK_URL", "REDLINE_DESK_SECRET"}


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in OBJECTS if item["kind"] == kind}


def pod_of(item: dict[str, Any]) -> dict[str, Any]:
    spec = item["spec"]["jobTemplate"]["spec"] if item["kind"] == "CronJob" else item["spec"]
    pod: dict[str, Any] = spec["template"]["spec"]
    return pod


PODS = {name: pod_of(item) for kind in ("Deployment", "CronJob") for name, item in named(kind).items()}
CONTAINERS = {
    f"{name}/{container['name']}": container
    for name, pod in PODS.items()
    for container in [*pod.get("initContainers", []), *pod["containers"]]
}


def command_of(container: dict[str, Any]) -> str:
    command: str = (
        container["args"][0] if "args" in container else container["command"][-1].split()[1].rstrip(";")
    )
    return command


def test_every_part_is_there() -> None:
    assert {"redline-worker", "redline-sink", "redline-desk", "redline-publish"} == named("Deployment").keys()
    assert {"redline-desk"} == named("Service").keys()
    assert {"redline-retrain"} == named("CronJob").keys()


@pytest.mark.parametrize("name", PODS)
def test_pod_is_not_root_and_gets_no_variables_of_services(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", CONTAINERS)
def test_container_may_do_little_and_has_limits(name: str) -> None:
    container = CONTAINERS[name]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == container["resources"].keys()
    assert all({"cpu", "memory"} == amounts.keys() for amounts in container["resources"].values())


@pytest.mark.parametrize("name", CONTAINERS)
def test_settings_are_those_that_redline_knows_and_secrets_come_from_secrets(name: str) -> None:
    for item in CONTAINERS[name]["env"]:
        assert item["name"] in variables()
        assert ("valueFrom" in item) == (item["name"] in SECRET_VARIABLES)
        if "valueFrom" in item:
            assert item["valueFrom"]["secretKeyRef"]["name"] == "redline"


@pytest.mark.parametrize("name", CONTAINERS)
def test_container_runs_a_command_that_redline_has(name: str) -> None:
    assert command_of(CONTAINERS[name]) in Commands.lazy


@pytest.mark.parametrize("name", named("Deployment"))
def test_deployment_has_a_probe_and_finds_its_pods(name: str) -> None:
    spec = named("Deployment")[name]["spec"]
    assert "readinessProbe" in spec["template"]["spec"]["containers"][0]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


@pytest.mark.parametrize(
    ("name", "probes"),
    [
        ("redline-worker", {"startupProbe", "readinessProbe", "livenessProbe"}),
        # A sink waits out an outage of its store: nobody should kill it for that.
        ("redline-sink", {"readinessProbe"}),
        ("redline-publish", {"readinessProbe", "livenessProbe"}),
    ],
)
def test_who_works_in_the_background_is_asked_where_it_answers(name: str, probes: set[str]) -> None:
    (container,) = PODS[name]["containers"]
    settings = {item["name"]: item.get("value") for item in container["env"]}
    (port,) = container["ports"]
    assert settings["REDLINE_STATUS"].endswith(f":{port['containerPort']}")
    assert probes == {key for key in container if key.endswith("Probe")}
    for probe in probes:
        assert {"path": "/health", "port": port["name"]} == container[probe]["httpGet"]


def test_service_leads_to_the_desk() -> None:
    service = named("Service")["redline-desk"]["spec"]
    desk = named("Deployment")["redline-desk"]["spec"]["template"]
    assert service["selector"] == desk["metadata"]["labels"]
    assert service["ports"][0]["targetPort"] in {
        port["name"] for port in desk["spec"]["containers"][0]["ports"]
    }


def test_volumes_are_there() -> None:
    claims = named("PersistentVolumeClaim")
    for pod in PODS.values():
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        for volume in pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims


def kustomization(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    return found


def test_one_command_applies_every_file() -> None:
    """`kubectl apply -k`; a folder beside its own is the only thing outside that kustomize reads."""
    resources = kustomization(DEPLOY / "kubernetes")["resources"]
    files = {file.name for file in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(files | {"../schedule"}) == sorted(resources)
    assert resources[0] == "storage.yaml", "what others mount stands first"
    assert ["retrain-cronjob.yaml"] == kustomization(DEPLOY / "schedule")["resources"]


def test_every_image_gets_its_name_in_one_place() -> None:
    images = {image["name"]: image for image in kustomization(DEPLOY / "kubernetes")["images"]}
    assert {container["image"] for container in CONTAINERS.values()} == images.keys()
    for name, image in images.items():
        assert image["newName"].endswith(f"/{name}")
        assert image["newTag"] == version("redline-compliance"), "never a tag that moves"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl")
def test_kustomize_builds_every_object() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes")], capture_output=True, check=True, text=True
    )
    objects = [item for item in OBJECTS if item["kind"] != "Kustomization"]
    assert sorted((item["kind"], item["metadata"]["name"]) for item in objects) == sorted(
        (item["kind"], item["metadata"]["name"]) for item in yaml.safe_load_all(built.stdout)
    )
    assert "image: redline" not in built.stdout


def test_publish_is_one_and_reads_desk_and_model_store() -> None:
    spec = named("Deployment")["redline-publish"]["spec"]
    assert (1, {"type": "Recreate"}) == (spec["replicas"], spec["strategy"])
    (container,) = PODS["redline-publish"]["containers"]
    settings = {item["name"] for item in container["env"]}
    assert {"REDLINE_KAFKA", "REDLINE_DESK_URL", "REDLINE_MODELS"} <= settings
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "models")
    assert mount["readOnly"] is True


@pytest.mark.parametrize(
    "name", [name for name, container in CONTAINERS.items() if command_of(container) in USES_MODELS]
)
def test_who_uses_models_or_decided_cases_shares_one_store(name: str) -> None:
    container, pod = CONTAINERS[name], PODS[name.split("/")[0]]
    read_only = command_of(container) in ONLY_READS_MODELS
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "models")
    assert volume["persistentVolumeClaim"]["claimName"] == "redline-models"
    assert volume["persistentVolumeClaim"].get("readOnly", False) is read_only
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "models")
    settings = {item["name"]: item.get("value") for item in container["env"]}
    assert settings["REDLINE_MODELS"] == mount["mountPath"]
    assert mount.get("readOnly", False) is read_only


def test_model_store_can_be_mounted_by_all_of_them_at_once() -> None:
    claim = named("PersistentVolumeClaim")["redline-models"]["spec"]
    assert ["ReadWriteMany"] == claim["accessModes"]


def test_no_old_sink_writes_while_the_tables_are_migrated() -> None:
    spec = named("Deployment")["redline-sink"]["spec"]
    assert "migrate" in {container["name"] for container in spec["template"]["spec"]["initContainers"]}
    assert {"type": "Recreate"} == spec["strategy"]
    assert 1 == spec["replicas"], "each would run the migration"
