"""A call that is sent twice makes one batch: the header Idempotency-Key, as the IETF's draft of that name has it.

    claim an id ─▶ key: id ─▶ receive the body ─▶ key: its hash ─▶ make the batch ─▶ key: the answer

Each step is on the disk before the next one begins, so that a server that is killed in between, and started again,
knows from the key which batch to look for: there is one, or there is none and the call is carried out as if new.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request

from batchq.server.problems import Problem
from batchq.store.home import BatchFolder, Home

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = {"Idempotency-Replayed": "true"}
KEEP_SECONDS: Final = 48 * 3600.0
PRUNE_SECONDS: Final = 3600.0
WAIT_SECONDS: Final = 5.0
"""How long a call waits for the one before it with the same key. Who has lost his connection, or has stopped an upload,
sends the next one at once; the server notices the end of the first a moment later."""
_KEY: Final = re.compile(r"[!-~ ]{1,255}")


@dataclass(frozen=True)
class Memo:
    """What is known of a call with a key.

    Attributes:
        head: hash of what was asked for.
        batch_id: of the batch that it makes, or was about to.
        digest: hash of an uploaded body; empty until that is there.
        answer: how the call was answered; None until then.
    """

    head: str
    batch_id: str
    digest: str = ""
    answer: str | None = None


class Once:
    """One call and its key; of a call without a key nothing is kept.

    Args:
        path: of what is kept; None without a key.
        home: of the batches.
        head: hash of what is asked for.
    """

    def __init__(self, path: Path | None, home: Home, head: str) -> None:
        self._path = path
        self._home = home
        self._memo = Memo(head, "")

    async def earlier(self) -> Memo | None:
        """The earlier call with this key, where that has made a batch.

        Raises:
            Problem: 422 where it asked for something else, 409 where it is still being carried out.
        """
        return None if self._path is None else await asyncio.to_thread(self._earlier, self._path)

    def check_digest(self, memo: Memo, digest: str) -> None:
        """Raise `Problem` 422 where the earlier body was another one."""
        if memo.digest != digest:
            raise _other()

    async def claimed(self, batch_id: str) -> None:
        """The call will make that batch, if any."""
        await self._keep(replace(self._memo, batch_id=batch_id))

    async def received(self, digest: str) -> None:
        """Its body has that hash."""
        await self._keep(replace(self._memo, digest=digest))

    async def answered(self, answer: bytes, memo: Memo | None = None) -> None:
        """It was answered so."""
        await self._keep(replace(memo or self._memo, answer=answer.decode()))

    async def failed(self) -> None:
        """Where it has made nothing, the next one with this key is the first."""
        claimed = self._memo.batch_id
        if self._path is not None and claimed and not (self._home.path / claimed / "batch.db").exists():
            await asyncio.to_thread(self._path.unlink, missing_ok=True)

    def _earlier(self, path: Path) -> Memo | None:
        try:
            memo = Memo(**json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):  # the disk was full, say; the call was not answered with success then
            return None
        if memo.head != self._memo.head:
            raise _other()
        folder = BatchFolder(self._home.path / memo.batch_id)
        # Asked first: who makes the batch may come to its end between the two, and nobody makes it after that.
        is_made_now = folder.lock.is_held()
        if memo.answer is not None or folder.database.exists():
            return memo
        if is_made_now:
            raise _in_progress()
        return None

    async def _keep(self, memo: Memo) -> None:
        self._memo = memo
        if self._path is not None:
            await asyncio.to_thread(_write, self._path, memo)


class Keys:
    """The keys of a server, which survive it.

    Args:
        folder: where they are kept.
        home: of the batches.

    Example:
        async with keys.hold(request, fingerprint) as once:
            memo = await once.earlier()
    """

    def __init__(self, folder: Path, home: Home) -> None:
        self._folder = folder
        self._home = home
        self._held: dict[str, asyncio.Event] = {}
        self._pruned_at = -PRUNE_SECONDS

    @asynccontextmanager
    async def hold(self, request: Request, asked: Any) -> AsyncIterator[Once]:
        """The key of a call, until it is answered.

        Args:
            request: the call.
            asked: what it asks for, as JSON.

        Raises:
            Problem: 400 where it is no key, 409 where another call goes on holding it.
        """
        name = _name(request)
        if name is None:
            yield Once(None, self._home, "")
            return
        async with self._alone(name):
            await asyncio.to_thread(self._prune)
            head = await asyncio.to_thread(_hash, [request.url.path, asked])
            once = Once(self._folder / name, self._home, head)
            try:
                yield once
            except BaseException:
                await once.failed()
                raise

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        until = time.monotonic() + WAIT_SECONDS
        while (other := self._held.get(name)) is not None:
            try:
                await asyncio.wait_for(other.wait(), until - time.monotonic())
            except asyncio.TimeoutError:
                raise _in_progress() from None
        ended = self._held[name] = asyncio.Event()
        try:
            yield
        finally:
            del self._held[name]
            ended.set()

    def _prune(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if time.monotonic() - self._pruned_at < PRUNE_SECONDS:
            return
        self._pruned_at = time.monotonic()
        for entry in os.scandir(self._folder):
            if time.time() - entry.stat().st_mtime > KEEP_SECONDS:
                Path(entry.path).unlink(missing_ok=True)


def _name(request: Request) -> str | None:
    """A file's name for the key of a call."""
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    key = given[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':  # the draft has it so; few clients do
        key = key[1:-1]
    if len(given) > 1 or not _KEY.fullmatch(key):
        raise Problem(400, f"{HEADER} must be a text of 1 to 255 ASCII characters", "A UUID will do.")
    return _hash(key)


def _hash(value: Any) -> str:
    try:
        text = json.dumps(value, sort_keys=True)
    except RecursionError:
        raise Problem(400, "an item is nested too deeply") from None
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def _write(path: Path, memo: Memo) -> None:
    new = path.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(memo), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _other() -> Problem:
    return Problem(422, f"an earlier call with this {HEADER} asked for something else", "Send a new key.")


def _in_progress() -> Problem:
    return Problem(
        409, f"a call with this {HEADER} is being carried out", "Send it again in a while.", {"Retry-After": "2"}
    )
