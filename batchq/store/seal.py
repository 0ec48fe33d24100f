"""The seal over everything in a batch's folder that names code: a folder from elsewhere must not run by itself.

An HMAC (RFC 2104, SHA-256) under a key that only this user can read.  A folder that was copied from another user or
another machine, or whose function somebody has changed, has no seal that fits.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Final

from batchq.errors import HomeError
from batchq.spec import BatchSpec

KEY_BYTES: Final = 32
KEY_FILE: Final = "seal.key"


class Seal:
    """Seals what a batch runs, and tells whether a seal fits.

    Args:
        home: the folder of batches; the key is kept there when the user's configuration cannot be written.

    Example:
        seal = Seal(home.path)
        assert seal.fits(seal.over(spec, None), spec, None)
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def over(self, spec: BatchSpec, pickled: bytes | None) -> str:
        """The seal over the function, its folder and the setup; raises `HomeError` when no key can be kept."""
        return self._digest(self._key(), spec, pickled)

    def fits(self, seal: str | None, spec: BatchSpec, pickled: bytes | None) -> bool:
        """Whether `seal` was made by this user over exactly this."""
        if seal is None:
            return False
        return any(hmac.compare_digest(seal, self._digest(key, spec, pickled)) for key in self._known_keys())

    def _digest(self, key: bytes, spec: BatchSpec, pickled: bytes | None) -> str:
        code: list[object] = [spec.target, spec.setup, spec.folder, spec.cwd, spec.pickled_by]
        if spec.on_finish is not None:  # absent from the seals of batches that were made without it
            code.append(spec.on_finish)
        if spec.out is not None:  # likewise; it names no code, but a file that is cut
            code.append(["out", spec.out])
        if spec.notify:  # likewise; a batch from elsewhere must not make this machine call somebody
            code.append(["notify", *spec.notify])
        if spec.stages:  # likewise
            code.append(["stages", *spec.stages])
        if spec.work is not None:  # likewise
            code.append(["work", spec.work])
        if spec.cache is not None:  # likewise; a folder that is written to
            code.append(["cache", spec.cache])
        if spec.scheduler is not None:  # likewise; whoever is there gets the items, and may run code here
            code.append(["scheduler", spec.scheduler])
        named = json.dumps(code, sort_keys=True).encode()
        return hmac.new(key, named + b"\0" + (pickled or b""), "sha256").hexdigest()

    def places(self) -> list[Path]:
        """Where a key may be, the usual place first."""
        from platformdirs import user_config_path

        return [user_config_path("batchq", appauthor=False) / KEY_FILE, self._home / f".{KEY_FILE}"]

    def _known_keys(self) -> list[bytes]:
        return [key for place in self.places() if (key := _read(place)) is not None]

    def _key(self) -> bytes:
        reason = ""
        for place in self.places():
            try:
                return _read(place) or _make(place)
            except OSError as error:
                reason = f"no key can be kept there: {error.strerror or error}"
        raise HomeError(str(self._home), reason)


def _read(path: Path) -> bytes | None:
    try:
        key = path.read_bytes()
    except OSError:
        return None
    return key if len(key) == KEY_BYTES else None


def _make(path: Path) -> bytes:
    """A new key; where two processes make one at the same time, both get that of the first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(unfinished, path)
        except FileExistsError:
            if _read(path) is None:  # a key that was cut short seals nothing
                os.replace(unfinished, path)
                return path.read_bytes()
    finally:
        unfinished.unlink(missing_ok=True)
    return path.read_bytes()
