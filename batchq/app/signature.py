"""Signing what is sent to ``--notify``, as the Standard Webhooks specification says, and the secret for that.

The secret stands in ``$BATCHQ_NOTIFY_SECRET``, else in a file of the home that is made when it is first needed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from batchq.errors import HomeError, UsageError
from batchq.store.home import Home

VARIABLE: Final = "BATCHQ_NOTIFY_SECRET"
FILE: Final = ".notify.secret"
PREFIX: Final = "whsec_"
KEY_BYTES: Final = 32
SHORTEST: Final = 24
LONGEST: Final = 64
"""Bytes, as the specification has them."""


def headers_of(key: bytes, event: str, now: float, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows who has sent `body`, and when.

    Args:
        key: see `key_of`.
        event: id of the event, the same in each attempt.
        now: seconds since 1970.
        body: as it is sent.

    Example:
        >>> key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        >>> sent = headers_of(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, b'{"test": 2432232314}')
        >>> sent["webhook-timestamp"], sent["webhook-signature"]
        ('1614265330', 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
    """
    timestamp = str(int(now))
    signature = hmac.digest(key, b".".join([event.encode(), timestamp.encode(), body]), "sha256")
    return {
        "webhook-id": event,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def secret_path(home: Home) -> Path:
    """Where the secret is kept, unless the environment has it."""
    return home.path / FILE


def is_in_variable() -> bool:
    """Whether the environment has the secret."""
    return bool(os.environ.get(VARIABLE))


def key_of(home: Home) -> bytes:
    """The key of this home's signatures; made where there is none.

    Raises:
        UsageError: what is there is no secret. Its text is not told.
        HomeError: none can be kept in the home.
    """
    text = os.environ.get(VARIABLE)
    if text:
        return _decoded(text, f"${VARIABLE}")
    path = secret_path(home)
    try:
        if not path.exists():
            _make(path)
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        reason = f"the secret of notifications cannot be kept there: {error.strerror or error}"
        raise HomeError(str(home.path), reason) from error
    return _decoded(text, str(path))


def _decoded(text: str, place: str) -> bytes:
    text = text.strip()
    try:
        key = base64.b64decode(text[len(PREFIX) :], validate=True) if text.startswith(PREFIX) else b""
    except (binascii.Error, ValueError):
        key = b""
    if not SHORTEST <= len(key) <= LONGEST:
        raise UsageError(
            f"the secret in {place} must be {PREFIX} and {SHORTEST} to {LONGEST} bytes in base64",
            f'One is made by: echo "{PREFIX}$(openssl rand -base64 {KEY_BYTES})"',
        )
    return key


def _make(path: Path) -> None:
    """A new secret; where two processes make one at the same time, both get that of the first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
