"""Messages per second of one core: CPU time of this process, so that neighbours matter less."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

from deploy.settings import Settings
from deploy.wiring import build_cascade, build_pipeline, load_rules
from detectors.classifier import OnnxClassifier, judged_turns
from detectors.domain import Message
from detectors.model_store import builtin_model_path
from rules.text import normalise
from streams.codec import decode_message, encode_message, encode_verdict
from streams.context import MemoryContext
from streams.embedded import scan
from streams.pipeline import Judged

# About what one would write by hand in an afternoon; the measure that the others are compared with.
BASELINE_PATTERNS = [
    re.compile(pattern)
    for pattern in (
        r"保本|保息|保收益|刚性?兑付",
        r"(稳赚|包赚|只赚|肯定赚|一定赚)",
        r"(不会|不可能|绝不)(亏|赔)",
        r"亏了?(我|公司)(补|赔|兜底)",
        r"(年化|收益率?)(能|可以|肯定|一定)?(有|到|达到|做到)\s*\d+(\.\d+)?[%％]",
        r"(明年|年底|下个?月|下半年).{0,8}(涨|翻倍|赚)",
        r"(全国|行业|同类)(第一|前三|前十|最好)",
        r"(内部|内幕)(消息|信息|渠道)",
        r"(问卷|测评|评估).{0,10}(重做|改|勾|选)",
        r"(私下|微信转|转到我|别走平台)",
    )
]


@dataclass(frozen=True, slots=True)
class Throughput:
    """How fast one way went through the messages."""

    name: str
    messages: int
    cpu_s: float
    wall_s: float
    note: str = ""

    @property
    def per_second(self) -> float:
        """Messages per second of CPU time."""
        return self.messages / self.cpu_s


def measure(
    name: str, messages: Sequence[Message], work: Callable[[Message], object], note: str = ""
) -> Throughput:
    """Time `work` on every message."""
    started, cpu = perf_counter(), process_time()
    for message in messages:
        work(message)
    return Throughput(name, len(messages), process_time() - cpu, perf_counter() - started, note)


def baseline(messages: Sequence[Message]) -> Throughput:
    """A loop of compiled patterns over the raw text: no context, no normalisation, no evidence."""
    return measure(
        f"{len(BASELINE_PATTERNS)} patterns of `re`",
        messages,
        lambda message: [pattern.search(message.text) for pattern in BASELINE_PATTERNS],
    )


def normalisation(messages: Sequence[Message]) -> Throughput:
    """Normalisation with its offset map."""
    return measure("normalisation alone", messages, lambda message: normalise(message.text))


def scanning(
    name: str, messages: Sequence[Message], *, model: bool, on_progress: Callable[[int], None]
) -> Throughput:
    """All that `redline scan` does with a line: decode, context, judge, encode."""
    settings = Settings(use_model=model)
    pack = load_rules(settings)
    pipeline = build_pipeline(build_cascade(settings, pack=pack))
    lines = [encode_message(message) for message in messages]
    list(scan(iter(messages[:64]), build_pipeline(build_cascade(settings, pack=pack))))  # first-use work
    flagged = 0
    started, cpu = perf_counter(), process_time()
    for number, result in enumerate(scan((decode_message(line) for line in lines), pipeline), start=1):
        assert isinstance(result, Judged)
        encode_verdict(result.verdict)
        flagged += result.verdict.flagged
        if number % 500 == 0:
            on_progress(number)
    cpu_s, wall_s = process_time() - cpu, perf_counter() - started
    return Throughput(name, len(messages), cpu_s, wall_s, f"{len(pack.rules)} rules, {flagged} flagged")


def encoding(
    title: str, messages: Sequence[Message], *, batch: int = 1, first_stage: bool = True
) -> Throughput:
    """
    The encoders alone, so many messages at a time on one thread.

    They read what the first stage leaves to them, or, without it, every message of the firm's side.
    """
    began = perf_counter()
    classifier = OnnxClassifier(builtin_model_path())
    load_s = perf_counter() - began
    context = MemoryContext()
    turns = [context.turn(message) for message in messages]
    turns = [turns[index] for index in (classifier.to_read(turns) if first_stage else judged_turns(turns))]
    for turn in turns[:64]:
        classifier.read([turn])
    waits = []
    started, cpu = perf_counter(), process_time()
    for first in range(0, len(turns), batch):
        at = perf_counter()
        classifier.read(turns[first : first + batch])
        waits.append(perf_counter() - at)
    cpu_s, wall_s = process_time() - cpu, perf_counter() - started
    p99 = sorted(waits)[int(len(waits) * 0.99)] * 1000
    return Throughput(title, len(turns), cpu_s, wall_s, f"p99 {p99:.1f} ms, loads in {load_s:.2f} s")
