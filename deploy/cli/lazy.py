"""
Commands that are loaded when they are called.

So `redline scan` runs without the web, Kafka and training extras, and starts without loading them.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

FULL_HELP_WIDTH = 400


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is, and its line in the list of commands."""

    module: str
    attribute: str
    help: str


class FullHelpGroup(TyperGroup):
    """A group whose list of commands shows whole sentences, not their beginnings."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None:
                rows.append((name, command.get_short_help_str(FULL_HELP_WIDTH)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; ends quietly, with exit code 0, when the reader of a pipe went away."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard_output()
            sys.exit(0)


class LazyGroup(FullHelpGroup):
    """A group that imports a command's module when the command is called."""

    lazy: ClassVar[Mapping[str, LazyCommand]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of the table."""
        return list(self.lazy)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, imported."""
        entry = self.lazy.get(cmd_name)
        if entry is None:
            return None
        found = getattr(import_module(entry.module), entry.attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(cmd_name)(found)
        return typer.main.get_command(single)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name; another spelling is suggested for an unknown one."""
        name = args[0]
        if name not in self.lazy and not name.startswith("-"):
            close = get_close_matches(name, self.lazy)
            hint = f"Did you mean {' or '.join(repr(item) for item in close)}?" if close else "See --help."
            ctx.fail(f"No such command '{name}'. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.lazy.items()])


def discard_output() -> None:
    """What is still buffered goes nowhere, or the interpreter would complain while closing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
