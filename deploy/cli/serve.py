"""`redline up` and `redline desk`: the review desk, with everything embedded or over the real stores."""

from collections import Counter
from contextlib import ExitStack, closing
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.console import EXIT_USAGE, complain, say
from deploy.cli.sources import EncodingOption, KindOption, MappingOption
from deploy.clock import utc_now
from deploy.event_store import open_event_store
from deploy.settings import load_settings
from streams.readers.records import numbered_records
from streams.second_opinion import OpinionResult

DEMO_REVIEWER_NAME = "演示复核员"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def sample_file() -> Path:
    """The conversations that ship for a first look."""
    return Path(str(resources.files("deploy"))) / "demo" / "conversations.jsonl"


HostOption = Annotated[
    str | None, typer.Option("--host", help="address to serve on; REDLINE_HOST or 127.0.0.1 without it")
]
PortOption = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="port to serve on; REDLINE_PORT or 8000 without it"),
]


def up_cli(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="message JSONL, CSV or WeCom export to judge first; the bundled sample without it"
        ),
    ] = None,
    kind: KindOption = None,
    mapping: MappingOption = None,
    encoding: EncodingOption = None,
    host: HostOption = None,
    port: PortOption = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="serve the desk afterwards")] = True,
) -> None:
    """
    Everything in one process: judge a file into an embedded store and serve the review desk.

    With REDLINE_JUDGE_URL an LLM is asked about undecided messages while the desk is served; without serving,
    the command waits for its answers (needs the judge extra).

    No Kafka, no ClickHouse, no internet. The desk signs everybody in as a demo
    reviewer, so it serves on this machine only. Cases and decisions stay in
    REDLINE_DATA_DIR; starting again judges only what would be judged differently.

    A line that is no message is reported with its number and counted; the rest goes on.

    Exit code 0: ended by a signal. 1: the address is taken. 2: bad usage, or a file, a
    setting or a rule pack that cannot be used.
    """
    # Here, so that --help works without the desk extra.
    from deploy import listening
    from deploy.cli.serving import judge_into, serve_desk
    from deploy.judging import opinions_into_store, told
    from deploy.wiring import build_cascade
    from feedback.intake import pull_cases
    from feedback.store.desk_store import open_desk_store

    settings = load_settings()
    host, port = host or settings.host, port or settings.port
    if serve and host not in LOOPBACK:
        complain(
            f"'up' signs everybody in as {DEMO_REVIEWER_NAME} and therefore serves on 127.0.0.1 only; for others run 'redline desk'"
        )
        raise typer.Exit(EXIT_USAGE)
    records = numbered_records(file or sample_file(), kind=kind, mapping=mapping, encoding=encoding)
    with ExitStack() as stack:
        # Before anything is judged: nobody should wait for a desk that cannot open.
        listener = stack.enter_context(listening.listen(host, port)) if serve else None
        events = open_event_store(settings)
        stack.callback(events.close)
        desk_store = open_desk_store(settings.desk_store_url)
        stack.callback(desk_store.close)
        cascade = build_cascade(settings)
        heard: Counter[OpinionResult] = Counter()
        if listener is None and settings.judge_url is not None:
            stack.callback(lambda: say(told(heard)))
        opinions = stack.enter_context(opinions_into_store(settings, cascade, heard))
        judge_into(events, cascade, records, (file or sample_file()).name, opinions=opinions)
        if opinions is not None and listener is None:
            opinions.finish()
        pull_cases(events, desk_store, clock=utc_now)
        if listener is not None:
            address = f"http://{host}:{port}"
            serve_desk(
                settings, desk_store, events, listener, address, demo_user=DEMO_REVIEWER_NAME, hosts=LOOPBACK
            )


def desk_cli(
    host: HostOption = None,
    port: PortOption = None,
    add_reviewer: Annotated[
        str | None,
        typer.Option(
            "--add-reviewer", metavar="NAME", help="create an account (asks for the password), then end"
        ),
    ] = None,
    pull_again_first: Annotated[
        bool,
        typer.Option(
            "--pull-again", help="have the desk read all stored verdicts again; opens nothing twice; then end"
        ),
    ] = False,
    secure_cookies: Annotated[
        bool, typer.Option("--secure-cookies", help="behind HTTPS: send the session cookie over HTTPS only")
    ] = False,
) -> None:
    """
    Serve the review desk over the stores that the settings name.

    Create the first account with: redline desk --add-reviewer NAME

    After compliance.verdicts was made anew: redline desk --pull-again (a desk that runs may go on).

    Exit code 0: ended by a signal. 1: the address is taken, or a store cannot be reached.
    2: a setting or a rule pack that cannot be used.
    """
    from deploy import listening
    from deploy.cli.serving import serve_desk
    from feedback.intake import pull_again
    from feedback.store.desk_store import open_desk_store
    from feedback.store.users import add_user

    settings = load_settings()
    host, port = host or settings.host, port or settings.port
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    desk_store = open_desk_store(settings.desk_store_url)
    try:
        if add_reviewer:
            password = typer.prompt("password", hide_input=True, confirmation_prompt=True)
            add_user(
                desk_store,
                add_reviewer,
                display_name=add_reviewer,
                password=password,
                at=utc_now(),
                actor="operator",
            )
            say(f"reviewer {add_reviewer} may sign in")
            return
        if pull_again_first:
            pull_again(desk_store)
            say("the desk reads all stored verdicts again at its next look")
            return
        with listening.listen(host, port) as listener, closing(open_event_store(settings)) as events:
            address = f"http://{host}:{port}"
            serve_desk(settings, desk_store, events, listener, address, secure_cookies=secure_cookies)
    finally:
        desk_store.close()
