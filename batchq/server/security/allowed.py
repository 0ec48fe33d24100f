"""What a caller may name: handlers by patterns, files by folders.

Knows nothing of HTTP: the process that makes a batch checks again, when it has loaded the handler's module.

    PATTERN   MODULE:FUNCTION or FILE.py:FUNCTION, each name with `*`, `?` and `[…]`

A `*` stands for one name, and for none that begins with an underscore: it crosses neither `:` nor `.` nor `/`.  Else
`pipeline:*` would allow `pipeline:os.system` wherever pipeline.py says `import os`.  For the same reason a function
that only a wildcard allows has to be the module's own: what it has imported from elsewhere must be named outright.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from batchq.errors import NotAllowed, UsageError
from batchq.inputs.within import open_within
from batchq.loading import load_target

WILD: Final = re.compile(r"[*?\[]")


def check_patterns(patterns: Sequence[str]) -> None:
    """Raise `UsageError` where a pattern does not say which functions of which module it allows."""
    for pattern in patterns:
        place, colon, name = pattern.rpartition(":")
        if not (place and colon and name):
            raise UsageError(
                f"--allow {pattern!r} names no function: write MODULE:FUNCTION, such as 'pipeline:*'",
                "'*:*' would allow every function of every module, and so everything that this account may do.",
            )


def is_allowed(target: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches.

    Example:
        >>> is_allowed("pipeline:os.system", ["pipeline:*"])
        False
    """
    return _matching(target, patterns) is not None


def check_target(target: str, patterns: Sequence[str]) -> str:
    """`target`, where the owner has allowed it.

    Args:
        target: what a caller has named.
        patterns: what the owner allows; files relative to the working directory, as in TARGETs.

    Raises:
        NotAllowed: no pattern matches.

    Example:
        >>> check_target("pipeline:title", ["pipeline:*"])
        'pipeline:title'
    """
    if not is_allowed(target, patterns):
        hint = "`batchq serve --allow` allows it."
        raise NotAllowed(f"the owner of this server has not allowed {target[:200]!r}", hint)
    return target


def check_loaded(target: str, patterns: Sequence[str], folder: Path) -> None:
    """Load what `target` names, and look whether it is the module's own where only a wildcard allows it.

    Args:
        target: as `batchq.handlers.split_target` gives it.
        patterns: what the owner allows.
        folder: from which modules are found.

    Raises:
        NotAllowed: it is not allowed.
        TargetError: it cannot be loaded.
    """
    pattern = _matching(check_target(target, patterns), patterns)
    if pattern is None or not WILD.search(pattern):
        return
    if not _is_own(target, load_target(target, folder)):
        raise NotAllowed(
            f"{target!r} is not defined there, but imported from elsewhere",
            f"`batchq serve --allow {target}` allows it: a * stands for what the module itself defines.",
        )


def check_path(path: str, roots: Sequence[Path]) -> Path:
    """A file in a folder that the owner has opened, reached without symbolic links.

    The batch opens it in the same way when it reads it (`SourceSpec.within`), however long it has waited by then.

    Args:
        path: absolute, or relative to one of these folders.
        roots: the folders, resolved.

    Raises:
        NotAllowed: it is in none of them, or lies behind a symbolic link.
        InputError: there is no such file, or it is none that can be read.
    """
    for root in roots:
        found = Path(os.path.normpath(root / path))
        if found.is_relative_to(root):
            os.close(open_within(str(found), str(root), path[:200]))
            return found
    raise NotAllowed(
        f"{path[:200]!r} is in no folder that the owner has opened", "`batchq serve --root` opens a folder."
    )


def _matching(target: str, patterns: Sequence[str]) -> str | None:
    """The pattern that allows a target, one without wildcards if there is one."""
    wanted = _parts(target)
    if wanted is None:
        return None
    found = [pattern for pattern in patterns if _fits(wanted, _parts(pattern))]
    return min(found, key=lambda pattern: WILD.search(pattern) is not None, default=None)


def _parts(target: str) -> tuple[list[str], list[str]] | None:
    """The names of which a TARGET is made, those of the place and those of the function; files as `split_target`."""
    place, colon, name = target.rpartition(":")
    if not (place and colon and name) or not target.isprintable():
        return None
    if place.endswith(".py") or "/" in place:
        return list((Path.cwd() / place).resolve().parts), name.split(".")
    return place.split("."), name.split(".")


def _fits(wanted: tuple[list[str], list[str]], pattern: tuple[list[str], list[str]] | None) -> bool:
    return pattern is not None and all(
        len(names) == len(globs) and all(map(_fits_name, names, globs))
        for names, globs in zip(wanted, pattern, strict=True)
    )


def _fits_name(name: str, glob: str) -> bool:
    if name == glob:
        return True
    hidden = name.startswith("_") and not glob.startswith("_")
    return bool(name) and not hidden and fnmatchcase(name, glob)


def _is_own(target: str, found: Any) -> bool:
    place = target.rpartition(":")[0]
    home = str(getattr(found, "__module__", None) or "")
    if place.endswith(".py"):
        return getattr(sys.modules.get(home), "__file__", None) == place
    return home == place or home.startswith(f"{place}.")
