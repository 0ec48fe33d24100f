"""The token of a server, which every call has to show: made at first start, readable by its owner only."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from batchq.errors import UsageError

SHORTEST: Final = 32
"""Characters; a token of so many cannot be guessed, so a wrong one is never tried often enough to be right."""


def token_path(folder: Path) -> Path:
    """Where the token of a server is that nobody has named another file for."""
    return folder / "token"


def read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        UsageError: the file cannot be read, others may read it, or what it holds is no token or too short.
    """
    try:
        with path.open(encoding="ascii") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise UsageError(f"cannot read the token in {path}: it is not a file")
            if about.st_mode & 0o077 or about.st_uid not in (0, os.geteuid()):
                raise UsageError(f"others may read or change the token in {path}", f"chmod 600 {path}")
            token = file.read(10_000).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the token in {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(token) < SHORTEST or not token.isprintable() or " " in token:
        raise UsageError(
            f"the token in {path} must be {SHORTEST} or more printable characters without a space",
            "Delete the file, and the server makes a good one.",
        )
    return token


def make_token(path: Path) -> str:
    """The token in a file, which is made when missing; raises as `read_token`."""
    if os.path.lexists(path):
        return read_token(path)
    # Whole or not at all: a token of which a crash has left the half would have to be told from a wrong one.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"cannot make the token in {path}: {error.strerror}") from error
    return read_token(path)
