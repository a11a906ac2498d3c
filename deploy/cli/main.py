"""The entry point of the `redline` command."""

import io
import logging
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, ClassVar, NoReturn

import structlog
import typer

from deploy.cli.console import EXIT_FAILED, EXIT_USAGE, UnwritableTarget, complain
from deploy.cli.extras import how_to_install
from deploy.cli.lazy import LazyCommand, LazyGroup, discard_output
from deploy.settings import SettingsError, variables
from detectors.errors import ModelError
from rules.errors import PackError, RedlineError
from streams.readers.errors import UnreadableSource

USAGE_ERRORS = (PackError, SettingsError, UnreadableSource, UnwritableTarget, ModelError)

DISTRIBUTION = "redline-compliance"
# Which extra brings a module that may be missing.
EXTRAS = {
    "clickhouse_driver": "streams",
    "faust": "streams",
    "kafka": "streams",
    "fastapi": "desk",
    "itsdangerous": "desk",
    "psycopg": "desk",
    "sqlalchemy": "desk",
    "anyio": "serve",
    "prometheus_client": "serve",
    "starlette": "desk",
    "uvicorn": "desk",
    "httpx": "judge",
    "onnx": "train",
    "onnxscript": "train",
    "peft": "train",
    "sklearn": "train",
    "tokenizers": "encoders",
    "torch": "train",
    "transformers": "train",
}


class Commands(LazyGroup):
    """The commands of redline."""

    lazy: ClassVar[Mapping[str, LazyCommand]] = {
        "up": LazyCommand(
            "deploy.cli.serve", "up_cli", "Judge the sample or a file and open the review desk: start here."
        ),
        "scan": LazyCommand(
            "deploy.cli.scan", "scan_cli", "Judge the messages of a file, one verdict per line."
        ),
        "eval": LazyCommand(
            "deploy.cli.evaluate", "eval_cli", "Measure rules and model on labelled messages."
        ),
        "desk": LazyCommand("deploy.cli.serve", "desk_cli", "Serve the review desk over the real stores."),
        "send": LazyCommand("deploy.cli.send", "send_cli", "Send the messages of a file to Kafka."),
        "worker": LazyCommand("deploy.cli.stream", "worker_cli", "Judge messages from Kafka, until stopped."),
        "score": LazyCommand(
            "deploy.cli.score", "score_cli", "Judge messages over HTTP, for who asks before sending."
        ),
        "sink": LazyCommand(
            "deploy.cli.stream", "sink_cli", "Write messages and verdicts from Kafka to the store."
        ),
        "contract": LazyCommand(
            "deploy.cli.contract",
            "contract_app",
            "Show the contract for producers, and check what they send.",
        ),
        "reconcile": LazyCommand(
            "deploy.cli.reconcile", "reconcile_cli", "Prove that every message is judged and stored."
        ),
        "replay": LazyCommand(
            "deploy.cli.replay",
            "replay_cli",
            "Judge stored messages again with a candidate; show what changes.",
        ),
        "publish": LazyCommand(
            "deploy.cli.publish", "publish_cli", "Send decisions and the ledger of models and rules to Kafka."
        ),
        "dlq": LazyCommand(
            "deploy.cli.dead_letters", "dlq_app", "List, show, replay and drop what could not be judged."
        ),
        "store": LazyCommand(
            "deploy.cli.store", "store_app", "Count what is stored, drop old months, list sensitive fields."
        ),
        "migrate": LazyCommand("deploy.cli.stream", "migrate_cli", "Bring the ClickHouse tables up to date."),
        "rules": LazyCommand("deploy.cli.rules", "rules_app", "List, check and explain the rules."),
        "attack": LazyCommand(
            "deploy.cli.attack", "attack_cli", "Measure what the rules lose to disguised words."
        ),
        "models": LazyCommand(
            "deploy.cli.models", "models_app", "List, show, add, promote and roll back models."
        ),
        "retrain": LazyCommand(
            "deploy.cli.train", "retrain_cli", "The weekly run: learn from decisions, promote or refuse."
        ),
        "train": LazyCommand("deploy.cli.train", "train_cli", "Fine-tune a classifier on the seed corpus."),
        "ablate": LazyCommand(
            "deploy.cli.ablate", "ablate_cli", "Measure what each source of new training samples brings."
        ),
        "corpus": LazyCommand(
            "deploy.cli.corpus", "corpus_cli", "Print the seed corpus as labelled messages."
        ),
        "import-encoder": LazyCommand(
            "deploy.cli.import_encoder", "import_encoder_cli", "Take over a published BERT as an encoder."
        ),
        "pretrain": LazyCommand("deploy.cli.pretrain", "pretrain_cli", "Pre-train an encoder on dialogues."),
    }


def _epilog() -> str:
    lines = "\n\n".join(f"{name}: {meaning}" for name, meaning in variables().items())
    return f"Settings are environment variables.\n\n{lines}"


app = typer.Typer(
    name="redline",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds forbidden promises and predictions in what wealth advisors tell customers.",
    epilog=_epilog(),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"redline {version(DISTRIBUTION)}")
        except PackageNotFoundError:
            typer.echo("redline, not installed")
        raise typer.Exit


@app.callback()
def _common(
    version_wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command; errors that we foresee end in one readable message, not in a stack trace."""
    _set_up_output()
    try:
        app(prog_name="redline")
    except RedlineError as error:
        complain(str(error))
        sys.exit(EXIT_USAGE if isinstance(error, USAGE_ERRORS) else EXIT_FAILED)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        complain(f"{error.name} is missing: {how_to_install(extra)}")
        sys.exit(EXIT_FAILED)
    except OSError as error:
        complain(f"{error.filename or 'standard output'}: {error.strerror or error}")
        discard_output()
        sys.exit(EXIT_FAILED)
    sys.exit(0)


def _set_up_output() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    # The clients of broker and judge tell every step; what matters comes back as an error or a count.
    for name in ("kafka", "aiokafka", "faust", "mode", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "kafka" else logging.WARNING)
    # The exporters tell every rewrite of the graph.
    for name in ("torch", "onnx_ir", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Logs every refused connection with its stack; the store's own error says it in a line.
    logging.getLogger("clickhouse_driver").setLevel(logging.CRITICAL)
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False)
            if sys.stderr.isatty()
            else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
