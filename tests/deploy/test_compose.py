"""The compose file keeps what it promises without Docker being there."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.dev.kafka_home import kafka_version

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_services_that_others_wait_for_have_a_health_check() -> None:
    waited = {
        other
        for service in SERVICES.values()
        for other, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert waited == {"kafka", "clickhouse", "postgres"}
    assert all("healthcheck" in SERVICES[name] for name in waited)


def test_broker_is_the_one_that_the_tests_use() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


def test_image_does_not_run_as_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert "USER 10001:10001" in lines


@pytest.mark.parametrize("name", ["Dockerfile", "schedule/Dockerfile.retrain"])
def test_image_has_the_pinned_versions(name: str) -> None:
    commands = (DEPLOY / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    installs = [line for line in commands if "pip install" in line]

    assert installs
    assert all("--constraint " in line for line in installs)
    assert all('".[' in line for line in installs)  # never by name: on PyPI that name is another project's
    assert "!constraints.txt" in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()


def test_settings_are_those_that_redline_knows() -> None:
    from deploy.settings import PREFIX, Settings

    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    for service in SERVICES.values():
        named = {key for key in service.get("environment", {}) if key.startswith(PREFIX)}
        assert named <= known


@pytest.mark.parametrize(("name", "mode"), [("worker", "ro"), ("desk", "rw")])
def test_worker_and_desk_share_models_and_decided_cases(name: str, mode: str) -> None:
    service = SERVICES[name]
    (mount,) = (volume for volume in service["volumes"] if volume.startswith("models:"))
    _, folder, *options = mount.split(":")
    assert service["environment"]["REDLINE_MODELS"] == folder
    assert (["ro"] if mode == "ro" else []) == options


def test_every_volume_is_declared() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == COMPOSE["volumes"].keys()


def test_folder_of_a_volume_belongs_to_the_user_of_the_image() -> None:
    """Docker gives a new volume the owner of the folder in the image, and root where there is none."""
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    folders = {
        volume.split(":")[1]
        for service in SERVICES.values()
        if service.get("image") == "redline"
        for volume in service.get("volumes", [])
    }
    assert folders == {"/var/lib/redline", "/var/lib/redline-models"}
    assert "--home-dir /var/lib/redline --create-home" in dockerfile
    assert "install --directory --owner redline --group redline /var/lib/redline-models" in dockerfile
