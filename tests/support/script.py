"""The grammar of script files: blocks of `command [args]`, input, `----`, expected, blank line.

Comments (`#`) and blank lines stand between blocks and belong to the block behind them. A file is
parsed and rendered without loss, so that `--rewrite` touches nothing but expected lines.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["Block", "Script", "ScriptSyntaxError", "parse", "render"]

SEPARATOR = "----"


class ScriptSyntaxError(Exception):
    """A script that is not in the grammar; the message is `file:line: why`."""


@dataclass(frozen=True, slots=True)
class Block:
    """One command.

    Attributes:
        line: of the command, from 1.
        lead: comment and blank lines in front.
        head: the command line as written.
        input: lines between the command and `----`.
        expected: lines behind `----`.
    """

    line: int
    lead: tuple[str, ...]
    head: str
    input: tuple[str, ...]
    expected: tuple[str, ...]

    @property
    def command(self) -> str:
        return shlex.split(self.head)[0]

    @property
    def args(self) -> list[str]:
        return shlex.split(self.head)[1:]

    def answering(self, actual: list[str]) -> Block:
        """The same command with another expectation."""
        return replace(self, expected=tuple(actual))


@dataclass(frozen=True, slots=True)
class Script:
    """A parsed file; `tail` is what stands behind the last block."""

    path: Path
    blocks: tuple[Block, ...]
    tail: tuple[str, ...] = ()


def parse(path: Path, text: str) -> Script:
    """The blocks of a file; raises ScriptSyntaxError."""
    lines = text.splitlines()
    blocks: list[Block] = []
    at = 0
    while at < len(lines):
        lead_from = at
        while at < len(lines) and (not lines[at].strip() or lines[at].startswith("#")):
            at += 1
        if at == len(lines):
            return Script(path, tuple(blocks), tuple(lines[lead_from:]))
        lead, head_at = tuple(lines[lead_from:at]), at
        try:
            shlex.split(lines[at])
        except ValueError as error:
            raise ScriptSyntaxError(f"{path}:{at + 1}: {error}") from None
        while at < len(lines) and lines[at] != SEPARATOR:
            at += 1
        if at == len(lines):
            raise ScriptSyntaxError(f"{path}:{head_at + 1}: no {SEPARATOR} behind this command")
        given = tuple(lines[head_at + 1 : at])
        expected_from = at = at + 1
        while at < len(lines) and lines[at].strip():
            at += 1
        blocks.append(
            Block(head_at + 1, lead, lines[head_at], given, tuple(lines[expected_from:at]))
        )
    return Script(path, tuple(blocks))


def render(script: Script) -> str:
    """The text of a file, as `parse` reads it."""
    lines: list[str] = []
    for number, block in enumerate(script.blocks):
        lead = block.lead
        if number and not (lead and not lead[0].strip()):
            lead = ("", *lead)
        lines += [*lead, block.head, *block.input, SEPARATOR, *block.expected]
    return "\n".join([*lines, *script.tail]) + "\n"
