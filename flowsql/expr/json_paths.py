"""JSON paths: `$.a.b[0]`, `$['a b']`, `$.a[*].b`, `$.a[1:3]`, `$..a`, with `lax` or `strict`.

A path is definite if it can lead to one value only; any other gives the list of what it leads to.
Filters and most functions of JSON paths are refused: they fail in Flink's own build too, or give
what nobody would expect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flowsql.expr.faults import Fault

__all__ = ["BadPath", "Missing", "Path", "compile_path", "is_lax"]


class Missing(Exception):  # noqa: N818 - an answer, not a fault
    """A definite path leads to nothing."""


class BadPath(Exception):  # noqa: N818 - as above
    """The text is no path."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One step; `kind` is name, names, index, indexes, slice, all, scan, or a function."""

    kind: str
    names: tuple[str, ...] = ()
    numbers: tuple[int | None, ...] = ()

    @property
    def definite(self) -> bool:
        return self.kind in {"name", "index", "length", "size", "keys"}


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path.

    Attributes:
        lax: what is missing is empty, not an error.
        definite: leads to one value at most.
        plain: the names and indexes of a path that has nothing else, or None.
    """

    lax: bool
    definite: bool
    steps: tuple[_Step, ...]
    text: str
    plain: tuple[Any, ...] | None

    def run(self, document: Any) -> Any:
        """The value that a definite path leads to, or the list of all.

        Raises:
            Missing: a definite path leads to nothing.
        """
        if document is None:
            raise Missing("the document is null")
        if self.plain is not None:
            return self._along(document)
        if not self.definite:
            return list(_walk(self.steps, 0, document, definite=True))
        for found in _walk(self.steps, 0, document, definite=True):
            return found
        raise Missing(f"no results for path {self.text}")

    def _along(self, document: Any) -> Any:
        """A path of names and indexes, which most are, walked without a generator a step."""
        assert self.plain is not None
        for key in self.plain:
            if type(key) is str:
                if type(document) is not dict or key not in document:
                    raise Missing(f"no results for path: $['{key}']")
            elif type(document) is not list or not -len(document) <= key < len(document):
                raise Missing(f"no results for path: [{key}]")
            document = document[key]
        return document


_MODE = re.compile(r"\s*(strict|lax)\s+(.+)", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r"[^\s.\[\](*]+")
_LIST = re.compile(r"\[\s*(-?\d+(?:\s*,\s*-?\d+)*)\s*\]")
_SLICE = re.compile(r"\[\s*(-?\d+)?\s*:\s*(-?\d+)?\s*\]")
_ALL = re.compile(r"\[\s*\*\s*\]")
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
_FUNCTIONS = {"length", "size", "keys"}
_LISTS = {"index", "indexes", "slice"}


def is_lax(text: str) -> bool:
    """Whether what is missing is empty, not an error."""
    mode = _MODE.fullmatch(text)
    return mode is not None and mode[1].lower() == "lax"


@lru_cache(maxsize=512)
def compile_path(text: str) -> Path:
    """The path of its text.

    Raises:
        BadPath: it is no path; Flink takes that as an error of the row.
        Fault: it uses what is not supported.
    """
    mode = _MODE.fullmatch(text)
    body = (mode[2] if mode else text).strip()
    if not body:
        raise BadPath("the path is empty")
    if body[0] not in "$@":
        body = "$." + body
    if body.endswith("."):
        raise BadPath("a path does not end with a dot")
    steps = tuple(_steps(body, text))
    _check(steps, text)
    definite = all(s.definite or (s.kind == "names" and s is steps[-1]) for s in steps)
    plain = None
    if all(s.kind in {"name", "index"} for s in steps):
        plain = tuple(s.names[0] if s.names else s.numbers[0] for s in steps)
    return Path(is_lax(text), definite, steps, body, plain)


def _check(steps: tuple[_Step, ...], text: str) -> None:
    """Refuses combinations that mean nothing, or what nobody would expect."""
    for n, step in enumerate(steps):
        if step.kind == "scan":
            if n + 1 == len(steps):
                raise BadPath(f"'..' ends path {text}")
            behind = steps[n + 1].kind
            plain = behind in {"name", "all"} or (behind in _LISTS and n + 2 == len(steps))
            if not plain:
                raise Fault(f"'..' is not supported so in JSON path '{text}'")
        if step.kind in _FUNCTIONS and not all(s.definite for s in steps):
            raise Fault(f"a function is not supported so in JSON path '{text}'")


def _steps(body: str, text: str) -> Iterator[_Step]:
    at = 1
    while at < len(body):
        if body.startswith("..", at):
            yield _Step("scan")
            at += 2
            if at < len(body) and body[at] == "[":
                at, step = _bracket(body, at, text)
                yield step
                continue
        elif body[at] == ".":
            at += 1
        elif body[at] == "[":
            at, step = _bracket(body, at, text)
            yield step
            continue
        else:
            raise BadPath(f"unexpected '{body[at]}' in path {text}")
        if body.startswith("*", at):
            yield _Step("all")
            at += 1
            continue
        name = _NAME.match(body, at)
        if name is None:
            raise BadPath(f"a name is missing in path {text}")
        at = name.end()
        if body.startswith("(", at):
            at = _function(body, at, name[0], text)
            yield _Step(name[0])
        elif at < len(body) and body[at] not in ".[":
            raise BadPath(f"unexpected '{body[at]}' in path {text}")
        else:
            yield _Step("name", (name[0],))


def _function(body: str, at: int, name: str, text: str) -> int:
    if name in _FUNCTIONS and body[at:] == "()":
        return len(body)
    raise Fault(
        f"function '{name}' of JSON path '{text}' is not supported",
        hint="Supported at the end of a path: length(), size(), keys().",
    )


def _bracket(body: str, at: int, text: str) -> tuple[int, _Step]:
    if re.match(r"\[\s*\?", body[at:]):
        raise Fault(
            f"the filter in JSON path '{text}' is not supported",
            hint="Use names, indexes, slices and wildcards such as '$.a[*].b[0:2]'.",
        )
    found = _ALL.match(body, at)
    if found:
        return found.end(), _Step("all")
    found = _LIST.match(body, at)
    if found:
        numbers = tuple(int(n) for n in found[1].split(","))
        return found.end(), _Step("index" if len(numbers) == 1 else "indexes", numbers=numbers)
    found = _SLICE.match(body, at)
    if found and (found[1] or found[2]):
        ends = tuple(None if e is None else int(e) for e in found.groups())
        return found.end(), _Step("slice", numbers=ends)
    names = []
    at += 1
    while True:
        at += len(body[at:]) - len(body[at:].lstrip(" "))
        quoted = _QUOTED.match(body, at)
        if quoted is None:
            raise BadPath(f"a name in quotes is missing in path {text}")
        inner = quoted[1] if quoted[1] is not None else quoted[2]
        names.append(re.sub(r"\\(.)", r"\1", inner))
        at = quoted.end()
        at += len(body[at:]) - len(body[at:].lstrip(" "))
        if body.startswith(",", at):
            at += 1
        elif body.startswith("]", at):
            return at + 1, _Step("name" if len(names) == 1 else "names", tuple(names))
        else:
            raise BadPath(f"a bracket is not closed in path {text}")


# Walking


def _walk(steps: tuple[_Step, ...], at: int, model: Any, *, definite: bool) -> Iterator[Any]:
    """What the steps from `at` on lead to; `definite`: all steps before are."""
    if at == len(steps):
        yield model
        return
    step = steps[at]
    yield from _KINDS[step.kind](steps, at, model, definite)


def _name(steps: tuple[_Step, ...], at: int, model: Any, definite: bool) -> Iterator[Any]:
    if isinstance(model, dict):
        name = steps[at].names[0]
        if name in model:
            yield from _walk(steps, at + 1, model[name], definite=definite)
            return
        if at + 1 == len(steps):
            return
    if definite:
        raise Missing(f"no results for path: $['{steps[at].names[0]}']")


def _names(steps: tuple[_Step, ...], at: int, model: Any, definite: bool) -> Iterator[Any]:
    if not isinstance(model, dict):
        if definite:
            raise Missing("names are taken from what is no object")
        return
    chosen = {n: model[n] for n in steps[at].names if n in model}
    if at + 1 == len(steps):
        yield chosen
        return
    for value in chosen.values():
        yield from _walk(steps, at + 1, value, definite=False)


def _index(steps: tuple[_Step, ...], at: int, model: Any, definite: bool) -> Iterator[Any]:
    step = steps[at]
    if not isinstance(model, list):
        if definite:
            raise Missing(f"no results for path: [{step.numbers[0]}]")
        return
    for number in _places(step, len(model)):
        place = number if number >= 0 else len(model) + number
        if 0 <= place < len(model):
            going_on = definite and step.definite
            yield from _walk(steps, at + 1, model[place], definite=going_on)


def _places(step: _Step, size: int) -> Iterator[int]:
    if step.kind != "slice":
        yield from (n for n in step.numbers if n is not None)
        return
    low, high = step.numbers
    if high is None:
        assert low is not None
        yield from range(max(size + low if low < 0 else low, 0), size)
    elif low is None:
        yield from range(min(size + high if high < 0 else high, size))
    else:
        yield from range(low, min(high, size))


def _all(steps: tuple[_Step, ...], at: int, model: Any, definite: bool) -> Iterator[Any]:
    del definite
    for value in _children(model):
        yield from _walk(steps, at + 1, value, definite=False)


def _children(model: Any) -> list[Any]:
    if isinstance(model, dict):
        return list(model.values())
    return model if isinstance(model, list) else []


def _scan(steps: tuple[_Step, ...], at: int, model: Any, definite: bool) -> Iterator[Any]:
    """The next step taken at the model and, in order, at all below it."""
    step = steps[at + 1]
    if isinstance(model, dict if step.names else dict | list):
        yield from _walk(steps, at + 1, model, definite=False)
    for value in _children(model):
        yield from _scan(steps, at, value, definite)


def _count(steps: tuple[_Step, ...], at: int, model: Any, definite: bool) -> Iterator[Any]:
    del steps, at, definite
    yield len(model) if isinstance(model, dict | list) else None


def _keys(steps: tuple[_Step, ...], at: int, model: Any, definite: bool) -> Iterator[Any]:
    del steps, at, definite
    yield list(model) if isinstance(model, dict) else None


_Walker = Callable[[tuple[_Step, ...], int, Any, bool], Iterator[Any]]

_KINDS: dict[str, _Walker] = {
    "name": _name,
    "names": _names,
    "index": _index,
    "indexes": _index,
    "slice": _index,
    "all": _all,
    "scan": _scan,
    "length": _count,
    "size": _count,
    "keys": _keys,
}
