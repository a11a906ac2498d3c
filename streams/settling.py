"""
When may a batch be judged? While Faust rebalances or stops, its context may be gone, not yet read back, or elsewhere.

With a worker in the group that was killed in the midst of a rebalance, Faust can give the messages of a
partition to one worker and its changelog to another, until the next rebalance.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, cast

import faust
from faust.types import TP

from streams.continuity import Continuity
from streams.errors import BrokerError
from streams.topics import MESSAGES

log = logging.getLogger(__name__)

SETTLE_CHECK_SEC = 0.02


class ConversationWait:
    """
    The wait of one worker for conversations that Faust did not give it with their messages.

    It is told in the log when it begins, and in `partitions` for as long as it lasts. It ends after `limit`: what
    waits was not judged and not committed, and a worker that is started again is a rebalance.
    """

    def __init__(self, limit: timedelta, clock: Callable[[], datetime]) -> None:
        self._limit = limit
        self._clock = clock
        self._since: dict[int, datetime] = {}

    @property
    def partitions(self) -> tuple[int, ...]:
        """Whose messages wait for their conversations now."""
        return tuple(sorted(self._since))

    def goes_on(self, lacking: Iterable[int]) -> bool:
        """
        Whether to look again later, now that these partitions lack their conversations.

        Raises BrokerError past the limit.
        """
        now, known = self._clock(), self._since
        self._since = {each: known.get(each, now) for each in lacking}
        if begun := sorted(self._since.keys() - known.keys()):
            log.warning("%s%s waits: this worker was not given its conversations", MESSAGES, begun)
        if any(now - since > self._limit for since in self._since.values()):
            raise BrokerError(
                f"{MESSAGES}{list(self.partitions)} waited for {self._limit.total_seconds():g} s for conversations that "
                "this worker was not given: does another worker hang? A restart lets the group share anew",
                retryable=True,
            )
        return bool(self._since)


class Settling:
    """
    Lets a batch wait until all that its verdicts need is here.

    `changelog` is the topic of the conversations. What the broker is asked, it must answer within `ask_sec`.
    """

    def __init__(
        self,
        app: faust.App,
        changelog: str,
        continuity: Continuity,
        wait: ConversationWait,
        *,
        ask_sec: float,
    ) -> None:
        self._app = cast(Any, app)
        self._changelog = changelog
        self._continuity = continuity
        self._wait = wait
        self._ask_sec = ask_sec

    async def settled(self, partitions: Iterable[int]) -> None:
        """
        Wait until messages of these partitions may be judged.

        And until it is known where each partition begins: what is dropped before its first record
        must show too. From here to the verdicts nothing may wait for anything.
        """
        partitions = set(partitions)
        while (
            self._app.rebalancing
            or not self._app.consumer.flow_active
            or self._wait.goes_on(self._lacking(partitions))
            or await self.learn_beginnings(partitions)
        ):
            await asyncio.sleep(SETTLE_CHECK_SEC)

    async def learn_beginnings(self, partitions: Iterable[int]) -> bool:
        """Of partitions that nobody committed yet; True where the broker had to be asked, and time went by."""
        unknown = {TP(MESSAGES, each) for each in partitions if self._continuity.expected(each) is None}
        unknown &= self._app.consumer.assignment()
        if not unknown:
            return False
        asked = self._app.consumer.earliest_offsets(*unknown)
        for tp, offset in (await asyncio.wait_for(asked, timeout=self._ask_sec)).items():
            if tp in self._app.consumer.assignment():
                self._continuity.begin(tp.partition, offset)
        return True

    def _lacking(self, partitions: set[int]) -> set[int]:
        """Those of ours whose conversations are not in our table."""
        read_back, ours = self._app.assignor.assigned_actives(), self._app.consumer.assignment()
        return {
            each
            for each in partitions
            if TP(MESSAGES, each) in ours and TP(self._changelog, each) not in read_back
        }
