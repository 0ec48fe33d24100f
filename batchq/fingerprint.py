"""What tells one version of the user's function from another: a hash of the files that it is written in."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from batchq.spec import BatchSpec

OF_THE_BILL: Final = frozenset({"prices", "key_env", "key_needed"})
"""Options of ready-made work that say what it costs and who pays: its results are the same without them."""


def fingerprint_of(
    spec: BatchSpec, function: Callable[..., Any], *later: Callable[..., Any], pickled: bytes | None = None
) -> str | None:
    """The `fingerprint` of what a batch runs: of ready-made work a hash of what was asked for.

    Args:
        spec: what the batch is.
        function: of its handler, loaded.
        later: those of its later stages, loaded.
        pickled: as of `fingerprint`.
    """
    if spec.work is None:
        first = fingerprint(function, spec.target, pickled)
    else:
        asked = {name: value for name, value in spec.work.items() if name not in OF_THE_BILL}
        first = _hash(json.dumps(asked, sort_keys=True))
    if not later:
        return first
    each = [first, *(fingerprint(stage, target, pickled) for stage, target in zip(later, spec.stages, strict=True))]
    return _hash(json.dumps(each))


def salt_of(spec: BatchSpec) -> bytes:
    """What two batches have in common whose function, for the same item, would do the same."""
    return json.dumps([spec.fingerprint, spec.setup, place_of(spec)]).encode()


def place_of(spec: BatchSpec) -> str | None:
    """The folder that a batch's commands run in, where another one would be another file for ``cat {path}``."""
    return spec.cwd if spec.has_commands else None


def key_of(salt: bytes, payload: str) -> str | None:
    """By what the result of an item is found again; None of a payload that cannot be compared.

    Args:
        salt: what `salt_of` returned.
        payload: JSON text; the order of fields, and how it is laid out, make no difference.

    Example:
        >>> key_of(b"", '{"a": 1, "b": "x"}') == key_of(b"", '{"b":"x","a":1}')
        True
        >>> key_of(b"", '{"a": 1}') == key_of(b"", '{"a": 1.0}')
        False
    """
    try:
        same = json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None
    return hashlib.blake2b(salt + same.encode(), digest_size=16).hexdigest()


def fingerprint(function: Callable[..., Any], target: str, pickled: bytes | None = None) -> str | None:
    """A hash over the name of a function and the source of it.

    The source is the file of the module that TARGET names, and the file in which the function itself is written, as
    they are on disk now: that is what a worker would import.

    Args:
        function: the function, loaded.
        target: TARGET, or the name of a function that is stored by value.
        pickled: the function by value, taken where it is written in no file (a notebook, an interactive session).

    Returns:
        None where no source is known, as of a function that is written in C.

    Example:
        >>> import json
        >>> fingerprint(json.dumps, "json:dumps") == fingerprint(json.dumps, "json:dumps")
        True
        >>> fingerprint(len, "builtins:len") is None
        True
    """
    place, _, name = target.rpartition(":")
    contents = [content for path in sorted(_files(function, place)) if (content := _read(path)) is not None]
    if not contents and pickled is not None:
        contents = [pickled]
    if not contents:
        return None
    digest = hashlib.blake2b(name.encode(), digest_size=16)
    for content in contents:
        digest.update(hashlib.blake2b(content, digest_size=16).digest())
    return digest.hexdigest()


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _files(function: Callable[..., Any], place: str) -> set[str]:
    file = place if place.endswith(".py") else getattr(sys.modules.get(place), "__file__", None)
    while isinstance(function, functools.partial):
        function = function.func
    written = inspect.unwrap(function)
    code = getattr(written, "__code__", None) or getattr(type(written).__call__, "__code__", None)
    return {path for path in (file, getattr(code, "co_filename", None)) if path}


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError):  # "<stdin>", "<ipython-input-3>"
        return None
