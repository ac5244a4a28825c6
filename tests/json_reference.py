"""What `--json` prints: held against its description in cli/printed.py, and that as a page of the manual."""

from __future__ import annotations

import re
import types
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

from batch_share.cli import printed
from batch_share.cli.printed import PRINTED, InProgress, Stopped, Time

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

_NAMES = {int: "number", float: "number", str: "text", bool: "true or false", type(None): "null", Any: "any"}


def keys_of(kind: Any) -> dict[str, Any]:
    """An object's keys with their types; none of what is no TypedDict."""
    return get_type_hints(kind, vars(printed), include_extras=True) if hasattr(kind, "__total__") else {}


def base_of(kind: Any) -> Any:
    """The object whose keys another has too, beside some of its own; None if there is none."""
    own = keys_of(kind).items()
    return next((each for each in vars(printed).values() if own > keys_of(each).items() > set()), None)


def misfits(value: Any, kind: Any, met: set[str], at: str = "") -> list[str]:
    """What is in a value and not in its description, or the other way round; `met` gets each key that is there."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Annotated, NotRequired):
        return misfits(value, inner[0], met, at)
    if origin in (Union, types.UnionType):
        fitting = [each for each in inner if not misfits(value, each, set(), at)]
        return misfits(value, (fitting or inner)[0], met, at)
    if keys := keys_of(kind):
        if not isinstance(value, dict):
            return [f"{at} is no object"]
        wrong = []
        if "error" in value and "error" not in keys:  # what of all errors stands beside what was counted
            stopped = keys_of(Stopped)
            wrong = misfits({key: value[key] for key in stopped if key in value}, Stopped, met, at)
            value = {key: each for key, each in value.items() if key in keys or key not in stopped}
        missing = {key for key in keys.keys() - value.keys() if get_origin(keys[key]) is not NotRequired}
        wrong += [f"{at}.{key} is not described" for key in value.keys() - keys.keys()]
        wrong += [f"{at}.{key} is missing" for key in missing]
        for key in value.keys() & keys.keys():
            met.add(f"{base_of(kind).__name__ if key in keys_of(base_of(kind)) else kind.__name__}.{key}")
            wrong += misfits(value[key], keys[key], met, f"{at}.{key}")
        return wrong
    if origin is list:
        fits = isinstance(value, list)
        parts = (misfits(each, inner[0], met, f"{at}[{place}]") for place, each in enumerate(value if fits else ()))
        return sum(parts, [] if fits else [f"{at} is no list"])
    if origin is dict:
        fits = isinstance(value, dict)
        parts = (
            misfits(each, kind, met, f"{at}.{key}")
            for key, one in (value if fits else {}).items()
            for each, kind in ((key, inner[0]), (one, inner[1]))
        )
        return sum(parts, [] if fits else [f"{at} is no object"])
    if origin is Literal:
        fits = value in inner
    elif kind is Time:
        fits = isinstance(value, str) and _TIME.fullmatch(value) is not None
    elif kind is Any:
        fits = True
    elif kind in _NAMES:
        fits = type(value) is kind or (kind is float and type(value) is int)
    else:  # an enumeration
        fits = value in [*kind]
    return [] if fits else [f"{at} is {value!r}, and no {kind}"]


def misfits_of(value: Any, command: str, met: set[str]) -> list[str]:
    """The same of all that a command printed, or a command that an error ended."""
    is_stopped = isinstance(value, dict) and value.keys() == keys_of(Stopped).keys()
    return misfits(value, Stopped if is_stopped else PRINTED[command], met)


def all_keys() -> set[str]:
    """Every key that is described."""
    return {
        f"{kind.__name__}.{key}"
        for kind in _objects()
        for key in keys_of(kind)
        if key not in keys_of(base_of(kind))
    }


def _objects() -> list[Any]:
    """Every object that is described, in the order of their first mention; the keys of all errors come last."""
    found: dict[Any, None] = {}

    def visit(kind: Any) -> None:
        if (keys := keys_of(kind)) and kind not in found:
            found[kind] = None
            for each in keys.values():
                visit(each)
        for each in get_args(kind):
            visit(each)

    for kind in (*PRINTED.values(), Stopped, InProgress):
        visit(kind)
    return [*found]


def described() -> str:
    """The description as Markdown: what holds of all, which command prints what, then each object key by key."""
    _, _, first = str(printed.__doc__).partition("\n\n")
    commands = [f"| `{name}` | {_spelled(kind)} |" for name, kind in PRINTED.items()]
    lines = [first.strip(), "", "| command | prints |", "|---|---|", *commands]
    for kind in _objects():
        base = base_of(kind)
        words = kind.__doc__ if base is None else f"{kind.__doc__} All keys of {base.__name__}, and:"
        lines += ["", f"#### {kind.__name__}", "", words, "", "| key | type | what it is |", "|---|---|---|"]
        for key, each in keys_of(kind).items():
            if key in keys_of(base):
                continue
            is_optional = get_origin(each) is NotRequired
            type_of, words = get_args(get_args(each)[0] if is_optional else each)
            sometimes = " (not always there)" if is_optional else ""
            lines.append(f"| `{key}` | {_spelled(type_of)} | {words}{sometimes} |")
    return "\n".join([*lines, ""])


def _spelled(kind: Any) -> str:
    """A type in words: `list of Share`, `time or null`."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_spelled, inner))
    if origin is list:
        return f"list of {_spelled(inner[0])}"
    if origin is dict:
        return f"{_spelled(inner[1])} by {_spelled(inner[0])}"
    return _NAMES.get(kind) or (kind.__name__ if keys_of(kind) else kind.__name__.lower())
