"""Puts together what says messages anew for the training, where the settings name an endpoint."""

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.judging import chat_endpoint
from deploy.settings import Settings
from feedback.augment.rewriter import LlmRewriter


@contextmanager
def llm_rewriter(settings: Settings) -> Iterator[LlmRewriter | None]:
    """What asks the endpoint of the LLM judge to say messages of the seed corpus anew; None where there is no endpoint."""
    with chat_endpoint(settings) as endpoint:
        if endpoint is None or settings.judge_model is None:
            yield None
            return
        yield LlmRewriter(endpoint, model=settings.judge_model, per_minute=settings.judge_per_minute)
