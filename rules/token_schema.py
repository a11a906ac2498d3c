"""What one token of a token pattern may ask for: the part of spaCy's language that is meant here."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

_SHOWN_PROBLEMS = 2
_TEXTS = ("TEXT", "ORTH", "LOWER", "NORM")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _OneOf(_Strict):
    """`REGEX` and `FUZZY` are left out: they run outside of the linear-time engine."""

    IN: list[str] | None = Field(default=None, min_length=1)
    NOT_IN: list[str] | None = Field(default=None, min_length=1)


_Length = Annotated[int, Field(ge=0)]
_Operator = Annotated[
    str, StringConstraints(pattern=re.compile(r"^(?:[!?+*1]|\{\d{1,3}(?:,\d{0,3})?\}|\{,\d{1,3}\})$"))
]


class _Token(_Strict):
    """Attributes that a tokenizer alone can tell; part of speech and the like need a trained pipeline."""

    TEXT: str | _OneOf | None = None
    ORTH: str | _OneOf | None = None
    LOWER: str | _OneOf | None = None
    NORM: str | _OneOf | None = None
    SHAPE: str | _OneOf | None = None
    LENGTH: _Length | None = None
    IS_ALPHA: bool | None = None
    IS_ASCII: bool | None = None
    IS_DIGIT: bool | None = None
    IS_LOWER: bool | None = None
    IS_UPPER: bool | None = None
    IS_TITLE: bool | None = None
    IS_PUNCT: bool | None = None
    IS_SPACE: bool | None = None
    IS_BRACKET: bool | None = None
    IS_QUOTE: bool | None = None
    IS_CURRENCY: bool | None = None
    IS_STOP: bool | None = None
    LIKE_NUM: bool | None = None
    LIKE_URL: bool | None = None
    LIKE_EMAIL: bool | None = None
    OP: _Operator | None = None


def check_token(number: int, token: Mapping[str, Any]) -> None:
    """Raises ValueError with what is wrong with the token, counted from one."""
    try:
        _Token.model_validate(token)
    except ValidationError as error:
        details = error.errors(include_url=False)
        told = list(dict.fromkeys(_in_words(token, detail["loc"], detail["type"]) for detail in details))
        raise ValueError(f"token {number}: {'; '.join(told[:_SHOWN_PROBLEMS])}") from None


def _in_words(token: Mapping[str, Any], where: tuple[int | str, ...], kind: str) -> str:
    name = str(where[0])
    if kind == "extra_forbidden" and len(where) == 1:
        return f"unknown attribute '{name}' (there are {', '.join(_Token.model_fields)})"
    return f"{name} cannot be {token.get(name)!r}"


def literal_texts(token: Mapping[str, Any]) -> Iterator[str]:
    """The texts that a token is compared with."""
    for name in _TEXTS:
        value = token.get(name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for texts in value.values():
                yield from texts
