"""Puts the LLM judge together, where the settings name an endpoint."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import sleep

from deploy.clock import utc_now
from deploy.event_store import open_event_store
from deploy.settings import Settings, SettingsError
from detectors.cascade import Cascade
from detectors.domain import Verdict
from detectors.judge import LlmJudge
from feedback.masking import mask
from rules.catalogue import Catalogue
from streams.asking import AskingJudge, BackgroundOpinions, Emit
from streams.broker import Broker
from streams.codec import encode_verdict
from streams.errors import BrokerError
from streams.pipeline import Judge
from streams.second_opinion import Endpoint, OpinionResult, SecondOpinion, Tally
from streams.store.base import EventStore, StoredVerdict


@contextmanager
def chat_endpoint(settings: Settings) -> Iterator[Endpoint | None]:
    """The language model that the settings name; None where there is none."""
    if settings.judge_url is None:
        yield None
        return
    from deploy.judge_endpoint import ChatEndpoint  # here, so that nobody else needs the judge extra

    endpoint = ChatEndpoint(
        settings.judge_url,
        key=settings.judging_key,
        ca_file=settings.judge_ca,
        timeout_sec=settings.judge_timeout_s,
    )
    try:
        yield endpoint
    finally:
        endpoint.close()


@contextmanager
def second_opinion(
    settings: Settings, catalogue: Callable[[], Catalogue], *, tally: Tally
) -> Iterator[SecondOpinion | None]:
    """What asks the endpoint of the settings by the catalogue in service; None where there is no endpoint."""
    model = settings.judge_model
    if model is None:
        yield None
        return
    current = LlmJudge(catalogue(), model=model, mask=mask)

    def judge() -> LlmJudge:
        nonlocal current
        if (latest := catalogue()) is not current.catalogue:
            current = LlmJudge(latest, model=model, mask=mask)
        return current

    with chat_endpoint(settings) as endpoint:
        if endpoint is None:
            yield None
            return
        yield SecondOpinion(judge, endpoint, per_minute=settings.judge_per_minute, clock=utc_now, tally=tally)


@contextmanager
def background_opinions(
    settings: Settings, catalogue: Callable[[], Catalogue], emit: Emit, *, tally: Tally
) -> Iterator[BackgroundOpinions | None]:
    """The thread that asks beside a worker or a desk; None where there is no endpoint."""
    with second_opinion(settings, catalogue, tally=tally) as opinion:
        if opinion is None:
            yield None
            return
        with BackgroundOpinions(opinion, emit, queue_size=settings.judge_queue) as opinions:
            yield opinions


@contextmanager
def asking_judge(settings: Settings, cascade: Cascade, *, tally: Tally) -> Iterator[Judge]:
    """The cascade that asks the LLM judge at once, for files. Raises SettingsError without an endpoint."""
    with second_opinion(settings, lambda: cascade.catalogue, tally=tally) as opinion:
        if opinion is None:
            raise SettingsError("there is no LLM judge to ask: set REDLINE_JUDGE_URL and REDLINE_JUDGE_MODEL")
        yield AskingJudge(cascade, opinion, wait=sleep)


@contextmanager
def opinions_into_store(
    settings: Settings, cascade: Cascade, heard: Counter[OpinionResult]
) -> Iterator[BackgroundOpinions | None]:
    """The thread that asks beside `redline up`, and writes over a connection of its own."""
    with ExitStack() as stack:
        own: list[EventStore] = []
        # Entered before the thread, so closed after it: what the last question flags is still written.
        stores = stack.enter_context(ExitStack())

        def emit(verdict: Verdict) -> None:
            if not own:
                own.append(open_event_store(settings))
                stores.callback(own[0].close)
            own[0].write_verdicts([StoredVerdict(verdict)])

        def tally(result: OpinionResult) -> None:
            heard[result] += 1

        yield stack.enter_context(background_opinions(settings, lambda: cascade.catalogue, emit, tally=tally))


def told(counts: Counter[OpinionResult]) -> str:
    """What came of the questions, for the end of a run."""
    asked = counts.total() - counts["dropped"] - counts["unsent"]  # an unsent one counts as flagged too
    failed = counts["nonsense"] + counts["failed"]
    rest = [f"{counts['dropped']} not asked"] if counts["dropped"] else []
    flagged = counts["flagged"] - counts["unsent"]
    if counts["unsent"]:
        rest.append(f"{counts['unsent']} flagged but not stored")
    return ", ".join([f"LLM judge: {asked} asked, {flagged} flagged, {failed} without answer", *rest])


class VerdictSender:
    """Sends amended verdicts to the topic of verdicts, one at a time, and waits for the broker. For one thread."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __call__(self, verdict: Verdict) -> None:
        """Raises BrokerError when the broker does not take it."""
        # A connection for each: there are a few in a minute, and none that went away is left to mend.
        from streams.producer import MessageProducer
        from streams.topics import VERDICTS

        with MessageProducer(self._broker, topic=VERDICTS) as producer:
            producer.send_bytes(verdict.message_id, verdict.conversation_id.encode(), encode_verdict(verdict))
            refused = producer.settle()
        if refused:
            raise BrokerError(f"the broker refused an amended verdict: {refused[0].error}", retryable=False)
