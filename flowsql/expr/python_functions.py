"""Scalar functions that users write in Python: `flowsql.udf` and where a plan finds them again.

    @flowsql.udf(result_type="DECIMAL(12, 2)")
    def net(gross: Decimal, rate: float): …

A plan holds a function by its place, `module.name`, never by its code: whoever runs the plan imports
it. What is given as an object and cannot be imported (a lambda) stands in a table of the process.
"""

from __future__ import annotations

import datetime as dt
import inspect
import threading
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, overload

from flowsql.errors import ConfigError, FlowSQLError, nearest
from flowsql.types import (
    ArrayType,
    BigIntType,
    BinaryType,
    BitmapType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DayTimeIntervalType,
    DoubleType,
    LocalZonedTimestampType,
    MapType,
    MultisetType,
    NullType,
    RowType,
    StructuredType,
    TimestampType,
    TimeType,
    VarBinaryType,
    VarCharType,
    VariantType,
    YearMonthIntervalType,
)
from flowsql.types.parser import parse_type

__all__ = [
    "PREFIX",
    "PythonFunction",
    "declared",
    "keep_function",
    "label_of",
    "look_up",
    "udf",
    "written_place",
]

PREFIX = "PYTHON "
"""Begins the name that a bound call of such a function has; the place follows."""

_ANNOTATED: dict[Any, DataType] = {
    int: BigIntType(),
    float: DoubleType(),
    str: VarCharType(),
    bool: BooleanType(),
    bytes: VarBinaryType(),
    dt.date: DateType(),
    dt.time: TimeType(3),
    dt.datetime: TimestampType(6),
}
_KINDS = ("general", "arrow")
_INPUTS = "Write input_types=['BIGINT', …], or annotate every parameter."
_RESULT = "Write result_type='BIGINT', or annotate what the function returns."


@dataclass(frozen=True, slots=True, eq=False)
class PythonFunction:
    """A function declared for SQL; called from Python it is the function itself.

    Attributes:
        call: the function.
        input_types: types of the arguments.
        result_type: type of what it gives.
        optional: so many arguments at the end may be left out.
        deterministic: equal arguments give equal results.
        arrow: it takes and gives Arrow arrays, not values.
    """

    call: Callable[..., Any]
    input_types: tuple[DataType, ...]
    result_type: DataType
    optional: int = 0
    deterministic: bool = True
    arrow: bool = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)


@overload
def udf(
    f: Callable[..., Any],
    input_types: str | Sequence[str] | None = None,
    result_type: str | None = None,
    deterministic: bool = True,
    func_type: str = "general",
) -> PythonFunction: ...


@overload
def udf(
    f: None = None,
    input_types: str | Sequence[str] | None = None,
    result_type: str | None = None,
    deterministic: bool = True,
    func_type: str = "general",
) -> Callable[[Callable[..., Any]], PythonFunction]: ...


def udf(
    f: Callable[..., Any] | None = None,
    input_types: str | Sequence[str] | None = None,
    result_type: str | None = None,
    deterministic: bool = True,
    func_type: str = "general",
) -> PythonFunction | Callable[[Callable[..., Any]], PythonFunction]:
    """Declare a scalar function for SQL; a decorator, with or without arguments.

    Args:
        f: the function; None where the decorator has arguments.
        input_types: SQL types of the arguments; unset: from the annotations.
        result_type: SQL type of the result; unset: from the annotation.
        deterministic: False if equal arguments may give different results.
        func_type: `general`, called with Python values of one row, NULL as None; or `arrow`, called
            with one `pyarrow.Array` an argument, and giving one of the same length.

    Raises:
        ConfigError: a type is missing, unknown or one that such a function cannot have.
    """
    if f is None:
        return lambda g: _declare(g, input_types, result_type, deterministic, func_type)
    return _declare(f, input_types, result_type, deterministic, func_type)


def _declare(
    f: Callable[..., Any],
    input_types: str | Sequence[str] | None,
    result_type: str | None,
    deterministic: bool,
    func_type: str,
) -> PythonFunction:
    name = getattr(f, "__qualname__", type(f).__name__)
    if not callable(f) or isinstance(f, type | PythonFunction):
        raise ConfigError(f'"{name}" is no function', hint="Declare a function with flowsql.udf.")
    if func_type not in _KINDS:
        raise ConfigError(
            f'func_type "{func_type}" of function "{name}" does not exist',
            hint="Choose general, or arrow for whole columns as pyarrow arrays"
            + (" instead of pandas." if func_type == "pandas" else "."),
        )
    given = [input_types] if isinstance(input_types, str) else input_types
    params, optional, variadic = _parameters(f, name)
    if given is None and func_type == "arrow":
        raise ConfigError(f'function "{name}" on Arrow arrays needs input_types', hint=_INPUTS)
    if result_type is None and func_type == "arrow":
        raise ConfigError(f'function "{name}" on Arrow arrays needs a result_type', hint=_RESULT)
    hints = {} if func_type == "arrow" else _annotations(f, name)
    if given is not None:
        inputs = tuple(_typed(t, name) for t in given)
        if len(inputs) < len(params) - optional or (len(inputs) > len(params) and not variadic):
            count = f"{len(params)} parameter{'s' * (len(params) != 1)}"
            raise ConfigError(
                f'function "{name}" has {count}, but {len(inputs)} input_types',
                hint="Give one type a parameter, in order.",
            )
        optional = max(0, len(inputs) - (len(params) - optional)) if optional else 0
    elif variadic:
        raise ConfigError(f'function "{name}" has *{variadic} and no input_types', hint=_INPUTS)
    else:
        inputs = tuple(
            _annotated(hints.get(p), f'parameter "{p}" of', name, _INPUTS) for p in params
        )
    if result_type is not None:
        result = _typed(result_type, name)
    else:
        result = _annotated(hints.get("return"), "the result of", name, _RESULT)
    if func_type == "arrow" and not inputs:
        raise ConfigError(
            f'function "{name}" on Arrow arrays takes no argument',
            hint="Without one it cannot know how many rows there are: use func_type='general'.",
        )
    for data_type in (*inputs, result):
        _check(data_type, name, arrow=func_type == "arrow")
    return PythonFunction(f, inputs, result, optional, deterministic, func_type == "arrow")


def _parameters(f: Callable[..., Any], name: str) -> tuple[list[str], int, str | None]:
    """Names of the parameters, how many of them are optional, and the name behind a `*`."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return [], 0, "args"  # a built-in that does not tell
    places, variadic = [], None
    for p in parameters:
        if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}:
            places.append(p)
        elif p.kind is p.VAR_POSITIONAL:
            variadic = p.name
        elif p.kind is p.KEYWORD_ONLY and p.default is p.empty:
            raise ConfigError(
                f'function "{name}" needs argument "{p.name}" by name, which SQL cannot give',
                hint="Give the parameter a default, or put it before the *.",
            )
    return [p.name for p in places], sum(p.default is not p.empty for p in places), variadic


def _annotations(f: Callable[..., Any], name: str) -> dict[str, Any]:
    target = f if inspect.isroutine(f) else type(f).__call__
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError) as error:
        if isinstance(error, NameError):
            raise ConfigError(
                f'an annotation of function "{name}" cannot be read: {error}', hint=_INPUTS
            ) from error
        return {}


def _annotated(annotation: Any, what: str, name: str, hint: str) -> DataType:
    if annotation is None:
        raise ConfigError(f'{what} function "{name}" has no type', hint=hint)
    found = _of_annotation(annotation)
    if found is None:
        shown = getattr(annotation, "__name__", None) or str(annotation)
        raise ConfigError(
            f'{what} function "{name}" is annotated with "{shown}", which says no SQL type',
            hint=hint,
        )
    return found


def _of_annotation(annotation: Any) -> DataType | None:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {types.UnionType, typing.Union}:
        rest = [a for a in args if a is not type(None)]
        return _of_annotation(rest[0]) if len(rest) == 1 else None
    if origin is list:
        element = _of_annotation(args[0])
        return None if element is None else ArrayType(element)
    try:
        return _ANNOTATED.get(annotation)
    except TypeError:
        return None


def _typed(text: str, name: str) -> DataType:
    if not isinstance(text, str):
        raise ConfigError(
            f'function "{name}" has a type that is no text: {text!r}',
            hint="Write types as in SQL: 'BIGINT', 'DECIMAL(12, 2)', 'ARRAY<STRING>'.",
        )
    try:
        return parse_type(text)
    except FlowSQLError as error:
        raise ConfigError(
            f'type "{text}" of function "{name}" cannot be read: {error.message}', hint=error.hint
        ) from None


def _check(data_type: DataType, name: str, *, arrow: bool) -> None:
    """Refuses types that values cannot be given in without changing them."""
    while isinstance(data_type, ArrayType):
        data_type = data_type.element
    plain = data_type.with_nullable(True)
    hint = None
    match plain:
        case VarCharType() | CharType():
            hint = None if plain == VarCharType() else "Use STRING."
        case VarBinaryType() | BinaryType():
            hint = None if plain == VarBinaryType() else "Use BYTES."
        case BitmapType():
            hint = "Use BYTES: BITMAP_TO_BYTES and BITMAP_FROM_BYTES go between them."
        case TimestampType(precision=p) | LocalZonedTimestampType(precision=p) if p > 6:
            hint = "Python has microseconds: use precision 6, or func_type='arrow'."
            hint = None if arrow else hint
        case NullType() | StructuredType() | MultisetType():
            hint = "Choose another type."
        case VariantType():
            hint = "Use STRING, with JSON_STRING and PARSE_JSON around it."
        case MapType() | RowType() | DayTimeIntervalType() | YearMonthIntervalType():
            hint = None if arrow else "Use func_type='arrow', or give its parts as arguments."
        case _:
            pass
    if hint is not None:
        raise ConfigError(f'function "{name}" cannot have the type {plain}', hint=hint)


# Where functions are found

_given: dict[str, PythonFunction] = {}
_found: dict[str, tuple[Any, PythonFunction]] = {}
_lock = threading.Lock()


def keep_function(name: str, f: Callable[..., Any]) -> str:
    """The place of a function that is given as an object under an SQL name.

    What its module has under its own name is found there. For others it is `<name>`, with a number
    from the second of a process on: each stays what it is for the plans that hold it.

    Raises:
        ConfigError: it says no types.
    """
    made = f if isinstance(f, PythonFunction) else _declare(f, None, None, True, "general")
    inner = made.call
    place = f"{getattr(inner, '__module__', '')}.{getattr(inner, '__qualname__', '<none>')}"
    if "<" not in place and not place.startswith("__main__."):
        try:
            if _attribute(place) is f:
                look_up(place)
                return place
        except (ConfigError, ValueError):
            pass
    with _lock:
        number = 1
        while (old := _given.setdefault(place := _numbered(name, number), made)) is not made:
            if old.call is inner and _same(old, made):
                break
            number += 1
    return place


def _numbered(name: str, number: int) -> str:
    return f"<{name}>" if number == 1 else f"<{name}#{number}>"


def _same(a: PythonFunction, b: PythonFunction) -> bool:
    return (a.input_types, a.result_type, a.optional, a.deterministic, a.arrow) == (
        b.input_types, b.result_type, b.optional, b.deterministic, b.arrow
    )  # fmt: skip


def label_of(place: str) -> str:
    """How messages call the function at a place."""
    return place[1:-1].partition("#")[0] if place.startswith("<") else place


def look_up(place: str) -> PythonFunction:
    """The function that a module has now, which may have been loaded again; raises as `declared`."""
    target = _attribute(place)
    known = _found.get(place)
    if known is None or known[0] is not target:
        made = target if isinstance(target, PythonFunction) else _plain(target, place)
        known = _found[place] = (target, made)
    return known[1]


def declared(place: str) -> PythonFunction:
    """The function at a place, imported if need be.

    Raises:
        ConfigError: there is none.
    """
    found = _given.get(place)
    if found is None and place in _found:
        return _found[place][1]
    if found is None:
        if place.startswith("<"):
            raise ConfigError(
                f'function "{label_of(place)}" of the stored plan is not here',
                hint="It was given as an object that cannot be imported: call "
                "create_temporary_function before the statement, or put it into a module.",
            )
        found = look_up(place)
    return found


def _plain(target: Any, place: str) -> PythonFunction:
    if not inspect.isroutine(target):
        raise ConfigError(
            f'"{place}" is a {type(target).__name__}, not a function',
            hint="AS names a function: 'module.name'.",
        )
    return _declare(target, None, None, True, "general")


def written_place(text: str) -> str:
    """The place that AS says; raises ConfigError if it has not the form of one."""
    parts = text.split(".")
    if len(parts) < 2 or not all(p.isidentifier() for p in parts):
        raise ConfigError(
            f'"{text}" names no Python function',
            hint="Write AS 'module.name': the module as Python imports it, and a name in it.",
        )
    return text


def _attribute(place: str) -> Any:
    module_name, _, name = place.rpartition(".")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{module_name}.".startswith(f"{error.name}."):
            raise _failing(module_name, error) from error
        raise ConfigError(
            f'module "{module_name}" of Python function "{place}" cannot be found',
            hint="flowsql run looks beside the script; SET 'python.files' = '<folder>' or "
            "PYTHONPATH names other folders.",
        ) from None
    except Exception as error:
        raise _failing(module_name, error) from error
    try:
        return getattr(module, name)
    except AttributeError:
        near = nearest(name, [n for n in vars(module) if not n.startswith("_")])
        raise ConfigError(
            f'module "{module_name}" has no function "{name}"',
            hint=f'Did you mean "{near}"?'
            if near
            else f"It was read from {module.__file__}."
            if getattr(module, "__file__", None)
            else None,
        ) from None


def _failing(module: str, error: Exception) -> ConfigError:
    if isinstance(error, FlowSQLError):
        # A declaration in it is refused; its own words are the best ones.
        return ConfigError(
            f'module "{module}" cannot be imported: {error.message}',
            detail=error.detail,
            hint=error.hint,
        )
    return ConfigError(
        f'module "{module}" cannot be imported: {type(error).__name__}: {error}',
        hint="Python's own error is the cause of this one: import the module in Python to see it.",
    )
