"""Every setting of a fine-tuning run in one place; the filled form is saved with the model."""

from pydantic import BaseModel, ConfigDict, Field

from detectors.tokens import InputLimits


class FinetuneSettings(BaseModel):
    """
    A fine-tuning run. Nothing that changes the result is hidden in code.

    `evidence_weight` scales the loss that teaches where a violation stands;
    `context_dropout` hides the earlier messages of turns that do not need them, so
    that the model reads the message itself. `innocent_share` is how many innocent
    messages per corpus message each epoch sees. `rehearsal` is the share of the seed corpus
    that a run which goes on from a model learns again, beside all of the reviewers' cases and all that
    `new_writers` wrote, who came to the seed corpus after that model. `false_flag_budget` is the share
    of innocent messages that all labels together may flag; the thresholds keep it.
    `flag_beta` weighs recall against precision where the thresholds are chosen on our
    own text: below 1, a false flag costs more than a miss, which the doubt band and
    the rules still can catch.
    `teacher_weight` is the share of the loss that teachers give, where there are any.
    `serving_share` is the weight of the model in service in the mean that a run which goes on
    from it, without innocent text, ends in; above 0 that model is also the teacher of the run.
    `first_stage_kept` is the share of the reported violations among development turns (flagged or
    doubtful if they are read) which the first stage must leave to the encoder.
    `second_kept` is the share of the violations among development turns that a second reader is asked about.
    `precision_floor` raises the point of any violation until that share of what the model flags among development
    turns is right, where the points of the labels let it. Where the model gives less than `denies_below` of any
    violation, what only a rule finds is undecided.
    `still_layers` of the encoder, from the lowest, and the embeddings before them keep their weights: a run that
    goes on from a model takes half the time where half of them stand still.
    `sure_share` is the share of the compliant corpus windows which each epoch sees of those that the model
    which will ask a second reader is sure of (`--asked-by`); without such a model all are seen.
    `augment` names sources of new samples (`feedback.augment.sources`), each of which
    makes children of about `augment_share` of the violating messages and as many others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=2, ge=1)
    tokens_per_batch: int = Field(default=2048, ge=128)
    rate: float = Field(default=6e-4, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    evidence_weight: float = Field(default=0.5, ge=0)
    positive_weight: float = Field(default=3.0, gt=0)
    label_smoothing: float = Field(default=0.02, ge=0, lt=0.5)
    character_dropout: float = Field(default=0.1, ge=0, lt=1)
    context_dropout: float = Field(default=0.2, ge=0, le=1)
    rehearsal: float = Field(default=1.0, gt=0, le=1)
    new_writers: tuple[str, ...] = ()
    still_layers: int = Field(default=0, ge=0)
    innocent_share: float = Field(default=0.5, ge=0)
    teacher_weight: float = Field(default=0.7, ge=0, le=1)
    serving_share: float = Field(default=0.0, ge=0, lt=1)
    weight_average: float = Field(default=0.995, ge=0, lt=1)
    flag_beta: float = Field(default=0.5, gt=0)
    precision_floor: float = Field(default=0.91, ge=0, lt=1)
    denies_below: float = Field(default=0.05, ge=0, lt=1)
    false_flag_budget: float = Field(default=0.002, gt=0, lt=1)
    doubt_budget: float = Field(default=0.008, gt=0, lt=1)
    first_stage_kept: float = Field(default=0.999, gt=0.5, le=1)
    second_kept: float = Field(default=0.97, gt=0.5, le=1)
    sure_share: float = Field(default=0.33, ge=0, le=1)
    augment: tuple[str, ...] = ()
    augment_share: float = Field(default=0.3, gt=0, le=1)
    seed: int = 7
    limits: InputLimits = InputLimits()
