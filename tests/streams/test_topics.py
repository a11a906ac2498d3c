"""Topics are made once, and their partitions are told only when the whole cluster can have heard of them."""

from typing import Any

import pytest
from kafka.errors import TopicAlreadyExistsError

from streams import admin, topics
from streams.errors import BrokerError
from streams.topics import MESSAGES, TopicSpec, ensure_topics


class ClusterThatLags:
    """An admin client of a cluster whose nodes hear of a topic one after the other."""

    def __init__(self, answers: list[int]) -> None:
        self.answers = answers
        self.made: dict[str, Any] = {}

    def __call__(self, **_: object) -> "ClusterThatLags":
        return self

    def list_topics(self) -> list[str]:
        return []

    def create_topics(self, request: dict[str, Any], **_: object) -> None:
        self.made |= request
        raise TopicAlreadyExistsError("another worker was faster")

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        partitions = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [{"name": name, "partitions": [{}] * partitions} for name in names]

    def close(self) -> None:
        pass


def cluster(monkeypatch: pytest.MonkeyPatch, answers: list[int]) -> ClusterThatLags:
    made = ClusterThatLags(answers)
    monkeypatch.setattr(admin, "KafkaAdminClient", made)
    monkeypatch.setattr(admin, "require_broker", lambda _: None)
    monkeypatch.setattr(topics, "ADMIN_TIMEOUT_MS", 500)
    return made


def test_node_that_has_not_heard_of_a_topic_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, [0, 0, 3])
    assert {MESSAGES: 3} == ensure_topics("broker:1", [TopicSpec(MESSAGES, 3)])


def test_topic_that_nobody_shows_is_an_error_and_not_a_topic_without_partitions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster(monkeypatch, [0])
    with pytest.raises(BrokerError, match="cannot be seen"):
        ensure_topics("broker:1", [TopicSpec(MESSAGES, 3)])


def test_copies_are_for_the_cluster_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cluster(monkeypatch, [3])
    ensure_topics("broker:1", [TopicSpec(MESSAGES, 3)])
    assert -1 == made.made[MESSAGES]["replication_factor"]
    ensure_topics("broker:1", [TopicSpec(MESSAGES, 3)], replication=2)
    assert 2 == made.made[MESSAGES]["replication_factor"]
