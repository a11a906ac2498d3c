"""A bare Faust agent that only decodes and forwards: `python -m tests.benchmarks.bare_faust BOOTSTRAP DIR`."""

import sys
from typing import Any

import faust
import orjson

from streams.topics import MESSAGES, VERDICTS

BATCH = 64
WITHIN_SEC = 0.02


def main() -> None:
    bootstrap, directory = sys.argv[1:3]
    app = faust.App(
        "bare-faust",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=directory,
        autodiscover=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        web_enabled=False,
    )
    raw: dict[str, Any] = {
        "key_type": bytes,
        "value_type": bytes,
        "key_serializer": "raw",
        "value_serializer": "raw",
    }
    messages, forwarded = (app.topic(name, internal=False, **raw) for name in (MESSAGES, VERDICTS))

    @app.agent(messages, concurrency=1)
    async def forward(stream: Any) -> None:
        """Sends batches on the way that the worker does, so that the difference is what redline does."""
        async for events in stream.take_events(BATCH, within=WITHIN_SEC):
            sent = []
            for event in events:
                orjson.loads(event.value)
                sent.append(await forwarded.send(key=event.key, value=event.value))
            for delivery in sent:
                await delivery

    faust.Worker(app, loglevel="warn", redirect_stdouts=False, quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
