"""What a call says behind its question mark: read, checked, and refused in words where it cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from batchq.server.problems import Problem

TRUE: Final = frozenset({"1", "true", "yes", ""})
FALSE: Final = frozenset({"0", "false", "no"})


def only(request: Request, *names: str) -> None:
    """Refuse parameters of other names: one that is misspelt would be passed over in silence.

    Raises:
        Problem: 422, naming them.
    """
    unknown = sorted(set(request.query_params) - set(names))
    if unknown:
        raise Problem(422, f"not known here: {', '.join(unknown)}", f"Known are: {', '.join(names) or 'none'}.")


def text(request: Request, name: str) -> str | None:
    """The value of a parameter; None where it is missing or empty."""
    return request.query_params.get(name) or None


def number(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A whole number from `least` to `most`; raises `Problem` 422."""
    value = request.query_params.get(name)
    if value is None:
        return default
    usable = value.isascii() and value.isdecimal() and len(value) < 20
    if not usable or not least <= int(value) <= most:
        raise Problem(422, f"{name} must be a number from {least:,} to {most:,}, not {value[:40]!r}")
    return int(value)


def flag(request: Request, name: str) -> bool:
    """Whether a switch is on: `?name`, `?name=1`, `true` or `yes`; raises `Problem` 422."""
    value = request.query_params.get(name, "0").lower()
    if value not in TRUE | FALSE:
        raise Problem(422, f"{name} must be 1 or 0, not {value[:40]!r}")
    return value in TRUE


def choice(request: Request, name: str, choices: Sequence[str], default: str | None = None) -> str | None:
    """One of `choices`, or `default` where nothing is said; raises `Problem` 422."""
    value = text(request, name)
    if value is not None and value not in choices:
        raise Problem(422, f"{name} must be one of {', '.join(choices)}, not {value[:40]!r}")
    return value or default
