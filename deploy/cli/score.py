"""`redline score`: verdicts over HTTP for producers that ask before they send."""

from typing import Annotated

import typer

from deploy.bearer import warn_if_open
from deploy.cli.console import people, say
from deploy.repeating import repeating
from deploy.settings import load_settings
from deploy.wiring import ReloadingJudge

DEFAULT_PORT = 8002


def score_cli(
    host: Annotated[str, typer.Option("--host", help="address to serve on")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="port to serve on")] = DEFAULT_PORT,
) -> None:
    """
    Judge messages over HTTP until a signal comes (needs the serve extra). Stores nothing.

    POST /v1/score takes {"message": {…}, "before": [{…}, …]}: messages as on the topic, those
    before it from the same conversation. It answers the verdict; 413 and 422 say what is wrong,
    500 and 503 are no verdict. Promoted models and changed rules are taken up while it runs.
    Without "before" a message is judged alone; 'redline worker --score' knows the conversation.

    With REDLINE_SCORE_TOKEN callers must send it (Authorization: Bearer TOKEN) or get 401. Without it there is no
    sign-in: serve it on loopback or behind a gateway of yours. It speaks plain HTTP: put TLS in front of it.

    Example: redline score --port 8002
    """
    # Here, so that --help works without the serve extra.
    from prometheus_client import CollectorRegistry

    from deploy.score_server import serve
    from deploy.scoring import OneAtATime, Scorer, create_scoring_app

    settings = load_settings()
    judge = ReloadingJudge(settings)
    app = create_scoring_app(Scorer(OneAtATime(judge)), CollectorRegistry(), token=settings.scoring_token)
    warn_if_open(host, settings.scoring_token)
    say(f"scoring on http://{host}:{port}/v1/score  (Ctrl+C ends it)")
    people.file.flush()
    with repeating(judge.follow, every_s=settings.model_check_s):
        serve(app, host, port)
