"""`redline pretrain`: make an encoder (needs the train extra)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.console import progress_bar, say
from deploy.cli.train import need_torch, on_step
from detectors.tokeniser_file import VOCABULARY_FILE
from feedback.corpus.dialogues import read_dialogues
from feedback.corpus.seed import read_corpus
from rules.errors import RedlineError

if TYPE_CHECKING:
    from detectors.tokens import Vocabulary
    from feedback.corpus.dialogues import Dialogue
    from feedback.training.encoder import TurnEncoder

PACKED_FILE = "text.npz"
HEAD_WIDTH = 32


def pretrain_cli(
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE[=TIMES]]...",
            help="dialogues, JSON lines with turns or text, may be gzipped; =0.2 reads a fifth of them, =2 all twice. "
            "Not needed when the folder already holds the packed text",
        ),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for the encoder")],
    start: Annotated[
        Path | None,
        typer.Option(
            help="go on from this encoder instead of from nothing: one of ours, which gets the characters that it lacks, "
            "or a folder of 'redline import-encoder', which learns how advisors and customers write"
        ),
    ] = None,
    own: Annotated[
        float, typer.Option(min=0, help="times to read the training part of the seed corpus")
    ] = 3.0,
    share: Annotated[
        float,
        typer.Option(
            min=0.001, max=1.0, help="read only the first part of every file, leaving the rest to measure on"
        ),
    ] = 1.0,
    layers: Annotated[int, typer.Option(min=1, help="layers of a new encoder")] = 4,
    width: Annotated[int, typer.Option(min=32, help="width of a new encoder, a multiple of 32")] = 256,
    passes: Annotated[int, typer.Option(min=1, help="how often to read all text")] = 1,
    tokens_per_batch: Annotated[
        int, typer.Option(min=128, help="4,096 suits two CPU cores, 32,768 and more a GPU")
    ] = 4096,
    only_pack: Annotated[
        bool,
        typer.Option(
            "--only-pack",
            help="stop when the text is packed: carry the folder to a machine with an accelerator and go on there",
        ),
    ] = False,
) -> None:
    """
    Pre-train the encoder by guessing masked characters. Resumable: start the same command again.

    The text is first packed into the folder; from then on FILE is not read again.

    Example: redline pretrain dialogues.jsonl.gz laws.jsonl.gz=0.5 -o encoder/

    Example: redline import-encoder JAR -o bge && redline pretrain --start bge --own 2 dialogues.jsonl.gz -o bge-adapted
    """
    need_torch()
    from detectors.tokens import InputLimits, Vocabulary
    from feedback.training.encoder import Encoder, EncoderShape
    from feedback.training.packed import PackedText
    from feedback.training.pretrain import PretrainSettings, grown, pretrain
    from feedback.training.weights import save_base

    if width % HEAD_WIDTH:
        raise RedlineError(
            f"--width {width}: give a multiple of {HEAD_WIDTH}, the width of one attention head"
        )
    settings = PretrainSettings(passes=passes, tokens_per_batch=tokens_per_batch)
    begun = _begun(start) if start is not None else None
    if begun is not None:
        # An encoder that already knows something forgets it at the rate of a fresh one.
        gentle = 6e-4 if isinstance(begun[0], Encoder) else 3e-4
        settings = replace(settings, peak_rate=gentle, warmup_steps=100)
    packed = output / PACKED_FILE
    if packed.is_file():
        if data:
            say(f"{packed} is there: reading it instead of the files; remove it to pack them anew")
    else:
        _pack(data or [], output, begun, own=own, share=share, seed=settings.seed)
    text, vocabulary = PackedText.load(packed), Vocabulary.load(output / VOCABULARY_FILE)
    say(
        f"{int((text.places == 0).sum())} dialogues, {len(vocabulary)} characters, {len(text.ids) / 1e6:.1f} M of text"
    )
    if only_pack:
        return
    encoder = grown(*begun, vocabulary) if begun is not None else None
    shape = (
        encoder.shape
        if encoder is not None
        else EncoderShape(len(vocabulary), width=width, layers=layers, heads=width // HEAD_WIDTH)
    )
    with progress_bar("pre-training", total=100) as update:
        encoder = pretrain(
            text,
            shape,
            InputLimits(),
            settings,
            checkpoint=output / "checkpoint.pt",
            on_step=on_step(update),
            start=encoder,
        )
    save_base(output, encoder, vocabulary)
    say(f"encoder written to {output}")


def _begun(start: Path) -> tuple["TurnEncoder", "Vocabulary"]:
    """The encoder to go on from, with its characters. Raises TrainingError where it has other tokens."""
    from detectors.tokens import InputLimits, Vocabulary
    from feedback.training.errors import TrainingError
    from feedback.training.start import start_from_base

    known = start_from_base(start)
    if not isinstance(known.vocabulary, Vocabulary):
        raise TrainingError(
            f"{start} reads its own tokens, and only characters are pre-trained; "
            "make the folder with 'redline import-encoder'"
        )
    known.encoder.check(InputLimits())
    return known.encoder, known.vocabulary


def _pack(
    data: Sequence[str],
    output: Path,
    begun: tuple["TurnEncoder", "Vocabulary"] | None,
    *,
    own: float,
    share: float,
    seed: int,
) -> None:
    """Tokenise what is to be read into the folder; the packed text comes last and whole."""
    from feedback.corpus.dialogues import repeated
    from feedback.dataset import training_dialogues
    from feedback.training.encoder import Encoder
    from feedback.training.packed import pack
    from feedback.training.pretrain import PretrainSettings, build_vocabulary, joined
    from rules.text import normalise

    if not data:
        raise RedlineError(f"{output} holds no packed text yet: name the files to read")
    dialogues = []
    for entry in data:
        path, times = _file_and_times(entry)
        found = list(read_dialogues([path]))
        dialogues += repeated(found[: round(len(found) * share)], times, seed=seed)
    corpus = training_dialogues(read_corpus())
    dialogues += repeated(corpus, own, seed=seed)
    least_count = PretrainSettings().least_count
    # A character that the corpus has once may matter; one that a public set has once is noise.
    texts = [text for dialogue in dialogues for _, text in dialogue]
    texts += [text for dialogue in corpus for _, text in dialogue] * least_count
    vocabulary = build_vocabulary((normalise(text).text for text in texts), least_count=least_count)
    if begun is not None:
        encoder, known = begun
        vocabulary = joined(known, vocabulary) if isinstance(encoder, Encoder) else known
    output.mkdir(parents=True, exist_ok=True)
    vocabulary.save(output / VOCABULARY_FILE)
    unfinished = output / f"{PACKED_FILE}.part"
    with progress_bar("packing", total=len(dialogues)) as update:
        pack(_counted(dialogues, update), vocabulary).save(unfinished)
    unfinished.replace(output / PACKED_FILE)


def _counted(dialogues: Sequence["Dialogue"], update: Callable[[int, str], None]) -> Iterator["Dialogue"]:
    for number, dialogue in enumerate(dialogues, start=1):
        yield dialogue
        if number % 500 == 0 or number == len(dialogues):
            update(number, "dialogues")


def _file_and_times(entry: str) -> tuple[Path, float]:
    name, mark, times = entry.rpartition("=")
    if not mark:
        return Path(entry), 1.0
    try:
        value = float(times)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise RedlineError(
            f"{entry}: what follows '=' is how often to read the file, a number above 0 such as 0.2 or 2"
        )
    return Path(name), value
