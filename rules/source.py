"""YAML read strictly, with the line of every value, so that an error can point at it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rules.errors import PackError, Problem

MERGE_KEY = "<<"


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file. `lines` gives the 1-based line of each path, e.g. `("any", 0, "term")`."""

    file: str
    data: Any
    lines: dict[tuple[str | int, ...], int]

    def line(self, path: tuple[str | int, ...]) -> int:
        """Line of `path`, or of its nearest parent that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def problem(self, path: tuple[str | int, ...], what: str, hint: str = "") -> Problem:
        """A problem at `path` of this file."""
        return Problem(self.file, self.line(path), what, hint)


def read_source(path: Path, *, root: Path) -> Source:
    """
    Parse one YAML file; `file` in the result is relative to `root`.

    Raises PackError for unreadable text, YAML errors, duplicate keys and anchors
    that refer to themselves.
    """
    name = path.relative_to(root).as_posix()
    try:
        node = yaml.compose(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    except UnicodeDecodeError as error:
        raise PackError(
            [Problem(name, 1, f"not UTF-8 at byte {error.start}", "save the file as UTF-8")]
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise PackError(
            [Problem(name, line, f"no valid YAML: {error.problem}", "check indentation and quotes")]
        ) from error
    except (yaml.YAMLError, OSError) as error:
        raise PackError([Problem(name, 1, f"cannot be read: {error}")]) from error
    if node is None:
        raise PackError([Problem(name, 1, "the file is empty", "delete it or write the rule")])
    walker = _Walker(name)
    data = walker.value(node, ())
    if walker.problems:
        raise PackError(walker.problems)
    return Source(name, data, walker.lines)


class _Walker:
    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[tuple[str | int, ...], int] = {}
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._constructor = yaml.constructor.SafeConstructor()

    def value(self, node: yaml.Node, path: tuple[str | int, ...]) -> Any:
        line = node.start_mark.line + 1
        self.lines[path] = line
        if id(node) in self._open:
            self.problems.append(
                Problem(self.file, line, "an anchor refers to itself", "write the value out")
            )
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._scalar(node, line)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.problems.append(Problem(self.file, line, f"unreadable value: {error}", "put it in quotes"))
            return None

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value)
            if key == MERGE_KEY:
                self.problems.append(
                    Problem(self.file, line, "merge keys are not supported", "write the values out")
                )
                continue
            if key in result:
                first = self.lines[(*path, key)]
                self.problems.append(
                    Problem(self.file, line, f"'{key}' is given twice", f"first given in line {first}")
                )
                continue
            result[key] = self.value(value_node, (*path, key))
            self.lines[(*path, key)] = line
        return result
