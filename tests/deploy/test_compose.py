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
