"""Reads a pack folder: catalogue, law, guards, lexicons and rules, checked together."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date
from importlib import resources
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from rules.catalogue import Catalogue
from rules.errors import PackError, Problem
from rules.expressions import ExpressionError, Lexicons, compile_items, compile_unless
from rules.model import CompiledGuard, Matchers, Pack, Rule
from rules.plain_words import plain_problems
from rules.schema import (
    CatalogueFile,
    Guard,
    GuardsFile,
    Item,
    LegalFile,
    LexiconFile,
    Reading,
    RuleFile,
    Unless,
)
from rules.source import Source, read_source
from rules.token_patterns import CHARACTER_LANGUAGE

DEFAULT_PACK = "cn"
# The lexicon of the words that people hide behind others of the same sound or shape.
OFTEN_HIDDEN = "often_hidden"
HASH_LENGTH = 16

Model = TypeVar("Model", bound=BaseModel)


def builtin_pack_path(name: str = DEFAULT_PACK) -> Path:
    """Folder of a pack that ships with redline."""
    return Path(str(resources.files("rules"))) / "packs" / name


def builtin_packs() -> list[str]:
    """Names of the packs that ship with redline."""
    return sorted(path.name for path in builtin_pack_path("").iterdir() if path.is_dir())


def find_pack(path: Path | None = None) -> Path:
    """
    The folder of a pack: a folder, or the bare name of one that ships with redline (`en`).

    Raises PackError when there is neither.
    """
    if path is None:
        return builtin_pack_path()
    if path.is_dir():
        return path
    if path.name == str(path) and path.name in builtin_packs():
        return builtin_pack_path(path.name)
    hint = f"give a folder with catalogue.yaml and rules/, or one of: {', '.join(builtin_packs())}"
    raise PackError([Problem(str(path), 1, "no such pack folder", hint)])


def load_pack(path: Path | None = None, *, reading: Reading | None = None) -> Pack:
    """
    Load and compile a pack; the Chinese one that ships without a path (see `find_pack`).

    `reading` overrides how the catalogue reads forecasts. Raises PackError with every
    problem of every file: nothing of a broken pack runs.
    """
    return _PackReader(find_pack(path), reading).read()


class _PackReader:
    def __init__(self, root: Path, reading: Reading | None) -> None:
        self.root = root
        self.reading: Reading = reading or "standard"
        self._overrides_reading = reading is not None
        self.problems: list[Problem] = []
        self._language: str | None = None

    def read(self) -> Pack:
        catalogue = self._catalogue()
        self._language = catalogue.language if catalogue else None
        lexicons = self._lexicons()
        guards_source, guards = self._parse_one("guards.yaml", GuardsFile)
        compiled_guards: dict[str, CompiledGuard] = {}
        defaults: list[str] = []
        for name, guard in (guards.guards if guards else {}).items():
            compiled = self._guard(name, guard, lexicons, guards_source)
            if compiled:
                compiled_guards[name] = compiled
            if guard.default:
                defaults.append(name)
        rules: list[Rule] = []
        for source, file in self._parse_all("rules", RuleFile):
            rule = self._rule(source, file, lexicons, tuple(defaults), catalogue)
            self._check_references(source, rule, catalogue, set(guards.guards) if guards else None)
            rules.append(rule)
        self._check_ids(rules)
        if not rules and not self.problems:
            self.problems.append(
                Problem("rules", 1, "the pack has no rules", "put one YAML file per rule under rules/")
            )
        if self.problems or catalogue is None:
            raise PackError(self.problems)
        ordered = tuple(sorted(rules, key=lambda rule: rule.id))
        hidden = lexicons.words_of(OFTEN_HIDDEN)
        return Pack(catalogue, ordered, compiled_guards, self._hash(), self.root, hidden)

    def _parse(self, source: Source, model: type[Model]) -> Model | None:
        try:
            return model.model_validate(source.data)
        except ValidationError as error:
            self.problems.extend(plain_problems(source, error))
            return None

    def _parse_one(self, name: str, model: type[Model]) -> tuple[Source, Model | None]:
        path = self.root / name
        empty = Source(name, None, {})
        if not path.exists():
            self.problems.append(Problem(name, 1, "the file is missing", "every pack has one"))
            return empty, None
        try:
            source = read_source(path, root=self.root)
        except PackError as error:
            self.problems.extend(error.problems)
            return empty, None
        return source, self._parse(source, model)

    def _parse_all(self, folder: str, model: type[Model]) -> Iterator[tuple[Source, Model]]:
        self.problems.extend(
            Problem(
                path.relative_to(self.root).as_posix(),
                1,
                "not a .yaml file, so it would not be read",
                "rename or remove it",
            )
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file() and path.suffix != ".yaml"
        )
        for path in sorted((self.root / folder).rglob("*.yaml")):
            source, value = self._parse_one(path.relative_to(self.root).as_posix(), model)
            if value is not None:
                yield source, value

    def _catalogue(self) -> Catalogue | None:
        source, file = self._parse_one("catalogue.yaml", CatalogueFile)
        _, legal = self._parse_one("legal.yaml", LegalFile)
        if file is None or legal is None:
            return None
        if not self._overrides_reading:
            self.reading = file.forecasts
        catalogue = Catalogue(
            file.jurisdiction,
            file.version,
            file.language,
            {label.id: label for label in file.labels},
            file.traits,
            legal.instruments,
            self.reading,
            file.areas,
        )
        for index, label in enumerate(file.labels):
            at = ("labels", index)
            self._check_basis(source, catalogue, label.basis, (*at, "basis"))
            self._check_known(source, label.traits, file.traits, (*at, "traits"), "trait")
        if len(catalogue.labels) < len(file.labels):
            self.problems.append(source.problem(("labels",), "a label id is given twice"))
        return catalogue

    def _lexicons(self) -> Lexicons:
        """All word lists, each one tried, so that a broken one is told where it stands."""
        files: dict[str, LexiconFile] = {}
        sources: dict[str, Source] = {}
        for source, file in self._parse_all("lexicons", LexiconFile):
            name = Path(source.file).stem
            if name in files:
                hint = f"first given in {sources[name].file}; rename one of the files"
                self.problems.append(Problem(source.file, 1, f"lexicon '{name}' is given twice", hint))
                continue
            files[name], sources[name] = file, source
        lexicons = Lexicons(files)
        for name, source in sources.items():
            for index, pattern in enumerate(files[name].patterns):
                try:
                    lexicons.try_pattern(name, pattern)
                except ExpressionError as error:
                    self.problems.append(source.problem(("patterns", index), str(error)))
            for index, word in enumerate(files[name].words):
                if word in files[name].words[:index]:
                    problem = source.problem(("words", index), f"'{word}' is given twice", "leave it out")
                    self.problems.append(problem)
        return lexicons

    def _guard(self, name: str, guard: Guard, lexicons: Lexicons, source: Source) -> CompiledGuard | None:
        parts: dict[str, str | None] = {}
        for part in ("before", "after", "sentence", "around", "never"):
            try:
                parts[part] = lexicons.union(getattr(guard, part))
            except ExpressionError as error:
                self.problems.append(source.problem(("guards", name, part), str(error)))
                return None
        kinds = frozenset(guard.product_kinds) if guard.product_kinds else None
        return CompiledGuard(
            name=name, description=guard.description, within=guard.within, product_kinds=kinds, **parts
        )

    def _matchers(
        self, source: Source, items: Iterable[Item], lexicons: Lexicons, path: tuple[str | int, ...]
    ) -> Matchers:
        return compile_items(
            items,
            lexicons,
            self._teller(source, path),
            reading=self.reading,
            characters=self._language == CHARACTER_LANGUAGE,
        )

    def _exceptions(self, source: Source, items: Iterable[Unless], lexicons: Lexicons) -> Matchers:
        return compile_unless(items, lexicons, self._teller(source, ("unless",)), reading=self.reading)

    def _teller(self, source: Source, path: tuple[str | int, ...]) -> Callable[[int, ExpressionError], None]:
        def tell(index: int, error: ExpressionError) -> None:
            hint = "look-around and back-references are not available; use 'unless' or a guard"
            self.problems.append(
                source.problem((*path, index), str(error), hint if "linear-time" in str(error) else "")
            )

        return tell

    def _rule(
        self,
        source: Source,
        file: RuleFile,
        lexicons: Lexicons,
        defaults: tuple[str, ...],
        catalogue: Catalogue | None,
    ) -> Rule:
        asked = file.context
        rule = Rule(
            id=file.id,
            version=file.version,
            status=file.status,
            label=file.label,
            areas=tuple(file.areas),
            severity=file.severity or "",
            score=file.score,
            speakers=frozenset(file.speaker),
            product_kinds=frozenset(file.product_kinds) if file.product_kinds else None,
            channels=frozenset(file.channels) if file.channels else None,
            jurisdictions=frozenset(file.jurisdictions) if file.jurisdictions else None,
            reading=file.reading,
            since=file.effective.since or _first_law(catalogue, file.basis),
            until=file.effective.until,
            hits=self._matchers(source, file.any, lexicons, ("any",)),
            asked=self._matchers(source, asked.customer_asks, lexicons, ("context", "customer_asks"))
            if asked
            else None,
            asked_within=asked.within if asked else 0,
            asked_directly=bool(asked and asked.direct),
            unless=self._exceptions(source, file.unless, lexicons),
            guards=tuple(file.guards) if file.guards is not None else defaults,
            traits=tuple(file.traits or ()),
            basis=tuple(file.basis),
            reason=file.reason,
            examples=file.examples,
            file=source.file,
            line=source.line(("id",)),
            content_hash=_content_hash(file),
        )
        if file.effective.since and file.effective.until and file.effective.since > file.effective.until:
            self.problems.append(
                source.problem(("effective",), "the rule ends before it begins", "swap since and until")
            )
        if Path(source.file).stem != file.id:
            self.problems.append(
                source.problem(
                    ("id",), f"id '{file.id}' differs from the file name", f"name the file {file.id}.yaml"
                )
            )
        return rule

    def _check_references(
        self, source: Source, rule: Rule, catalogue: Catalogue | None, guards: set[str] | None
    ) -> None:
        if guards is not None:  # else guards.yaml itself is told, and every rule would be told for it
            self._check_known(source, rule.guards, guards, ("guards",), "guard")
        if catalogue is None:
            return
        self._check_known(source, [rule.label], catalogue.labels, ("label",), "label")
        self._check_known(source, rule.areas, catalogue.areas, ("areas",), "area")
        self._check_known(source, rule.traits, catalogue.traits, ("traits",), "trait")
        self._check_basis(source, catalogue, rule.basis, ("basis",))

    def _check_known(
        self,
        source: Source,
        names: Iterable[str],
        known: Iterable[str],
        path: tuple[str | int, ...],
        noun: str,
    ) -> None:
        choices = sorted(known)
        self.problems.extend(
            source.problem(path, f"unknown {noun} '{name}'", f"known: {', '.join(choices)}")
            for name in names
            if name not in choices
        )

    def _check_basis(
        self, source: Source, catalogue: Catalogue, refs: Iterable[str], path: tuple[str | int, ...]
    ) -> None:
        for index, ref in enumerate(refs):
            try:
                catalogue.reference(ref)
            except KeyError:
                hint = "write INSTRUMENT:ARTICLE as in legal.yaml, or add the article there"
                self.problems.append(source.problem((*path, index), f"unknown legal reference '{ref}'", hint))

    def _check_ids(self, rules: list[Rule]) -> None:
        first: dict[str, Rule] = {}
        for rule in rules:
            if rule.id in first:
                self.problems.append(
                    Problem(
                        rule.file,
                        rule.line,
                        f"rule id '{rule.id}' is used twice",
                        f"first used in {first[rule.id].file}",
                    )
                )
            first.setdefault(rule.id, rule)
        gone = retired_ids(self.root)
        self.problems.extend(
            Problem(
                rule.file,
                rule.line,
                f"rule id '{rule.id}' was retired",
                "ids are never used again; choose a new one",
            )
            for rule in rules
            if rule.id in gone
        )

    def _hash(self) -> str:
        digest = hashlib.sha256(b"" if not self._overrides_reading else self.reading.encode())
        for path in sorted(self.root.rglob("*.yaml")):
            digest.update(path.relative_to(self.root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()[:HASH_LENGTH]


def _first_law(catalogue: Catalogue | None, refs: Iterable[str]) -> date | None:
    """The day on which the first of the cited laws came into force; None where one has no known day."""
    days: list[date] = []
    for ref in refs:
        instrument = catalogue.instruments.get(ref.partition(":")[0]) if catalogue else None
        if instrument is None or instrument.in_force is None:
            return None
        days.append(instrument.in_force)
    return min(days, default=None)


def retired_ids(root: Path) -> set[str]:
    """Rule ids of a pack that are never used again: `retired.txt`, one a line, `#` begins a remark."""
    path = root / "retired.txt"
    if not path.exists():
        return set()
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return {line for line in lines if line}


def _content_hash(file: RuleFile) -> str:
    content = file.model_dump(
        mode="json", exclude={"examples", "version", "status", "areas"}, exclude_defaults=True
    )
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[
        :HASH_LENGTH
    ]


def with_rules(pack: Pack, rules: Iterable[Rule]) -> Pack:
    """The same pack with other rules: for trying one rule alone."""
    return replace(pack, rules=tuple(rules))
