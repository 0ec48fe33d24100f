"""A server that speaks the protocol of chat completions, answers by the prompt alone, and notes each call.

It is written on bare sockets, since it has to be able to answer wrongly: half an answer, one that drips, or none.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

OK: Final = "ok"
BUSY: Final = "429"
BROKEN: Final = "500"
HALF: Final = "half an answer"
SILENCE: Final = "silence"
DRIP: Final = "slow drip"
GARBAGE: Final = "invalid JSON"
UNFIT: Final = "not of the schema"
TROUBLES: Final = (BUSY, BROKEN, HALF, SILENCE, DRIP, GARBAGE)
DRIP_SECONDS: Final = 0.05
"""Between two bytes."""
USAGE: Final = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
LIMIT: Final = 2**24


@dataclass
class Call:
    """A request that came.

    Attributes:
        at: when its head was there (monotonic clock).
        path: what was called.
        headers: by their names in small letters.
        body: of the request, parsed.
        raw: the same as it came.
        number: of the calls with this prompt, from 1.
        how: it was answered.
        told_at: just before the answer was sent; 0 until then.
    """

    at: float
    path: str
    headers: Mapping[str, str]
    body: Any
    raw: bytes = b""
    number: int = 1
    how: str = OK
    told_at: float = 0.0

    @property
    def prompt(self) -> str:
        """What the user says first, or is to be embedded."""
        for message in self.body.get("messages", ()):
            if message["role"] == "user":
                return str(message["content"])
        return str(self.body.get("input"))

    @property
    def key(self) -> str | None:
        """Its idempotency key."""
        return self.headers.get("idempotency-key")


Script = Callable[[Call], str]
"""How a call is to be answered: one of the words above."""


def always(how: str = OK) -> Script:
    """Each call alike."""
    return lambda call: how


def first(*hows: str) -> Script:
    """The first calls of each prompt so, the others well."""
    return lambda call: hows[call.number - 1] if call.number <= len(hows) else OK


def troubled(share: float, troubles: tuple[str, ...] = TROUBLES) -> Script:
    """The first calls of such a share of the prompts in one of those ways, the others well."""

    def script(call: Call) -> str:
        drawn = zlib.crc32(call.prompt.encode())
        return troubles[drawn % len(troubles)] if call.number == 1 and drawn // 64 % 1000 < share * 1000 else OK

    return script


def answer_to(prompt: str) -> str:
    """What the model says to `prompt`."""
    return f"About {prompt.rpartition(':')[2].strip()}"


@dataclass
class ChatServer:
    """Listens on a port of its own.

    Attributes:
        script: how each call is answered.
        headers: of each answer.
        retry_after: what an answer 429 says; empty for nothing.
        seconds: that the model thinks.
        finish: why the model has ended.
        message: what it says, whatever it is asked; None for `answer_to`.
        calls: what came so far.
    """

    script: Script = field(default_factory=always)
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: str = "0.2"
    seconds: float = 0.0
    finish: str = "stop"
    message: dict[str, Any] | None = None
    calls: list[Call] = field(default_factory=list)
    port: int = 0
    _prompts: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        """What --base-url is to say."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def paid(self) -> Counter[str]:
        """Of each idempotency key, the calls that the model has worked for."""
        return Counter(call.key or "" for call in self.calls if call.how not in (BUSY, BROKEN))

    def reset(self, script: Script | None = None, **changed: Any) -> None:
        """As new, but on the same port."""
        fresh = ChatServer(script or always(), **changed)
        for name in ("script", "headers", "retry_after", "seconds", "finish", "message", "calls", "_prompts"):
            setattr(self, name, getattr(fresh, name))

    @contextmanager
    def listening(self) -> Iterator[ChatServer]:
        """Listen during the block, in a thread."""
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=LIMIT))
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            server.close()
            loop.run_until_complete(_end_all())
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one request; whether the connection is kept."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        at = time.monotonic()
        request, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        call = Call(at, request.split()[1], headers, json.loads(raw), raw)
        self._prompts[call.prompt] += 1
        call.number = self._prompts[call.prompt]
        call.how = self.script(call)
        self.calls.append(call)
        await asyncio.sleep(self.seconds)
        return await self._tell(call, writer)

    async def _tell(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        how = call.how
        if how == SILENCE:
            await asyncio.sleep(3600)
        if how in (BUSY, BROKEN):
            more = {"Retry-After": self.retry_after} if how == BUSY and self.retry_after else {}
            data = json.dumps({"error": {"message": f"the test server says {how}", "type": "test"}}).encode()
            call.told_at = time.monotonic()
            writer.write(_head(int(how), len(data), {**self.headers, **more}) + data)
        else:
            data = b"{oops" if how == GARBAGE else json.dumps(self._completion(call)).encode()
            writer.write(_head(200, len(data), self.headers))
            if how == HALF:
                writer.write(data[: len(data) // 2])
                await writer.drain()
                return False
            if how == DRIP:
                for place in range(len(data)):
                    writer.write(data[place : place + 1])
                    await writer.drain()
                    await asyncio.sleep(DRIP_SECONDS)
                return True
            call.told_at = time.monotonic()  # before whoever is told can do anything about it
            writer.write(data)
        await writer.drain()
        return True

    def _completion(self, call: Call) -> dict[str, Any]:
        if "messages" not in call.body:
            return {"object": "list", "data": [{"embedding": [0.5, 1.0]}], "usage": {"prompt_tokens": 5}}
        content = answer_to(call.prompt)
        if "response_format" in call.body:
            content = json.dumps({"titel": 1} if call.how == UNFIT else {"title": content})
        message = self.message or {"role": "assistant", "content": content}
        return {
            "id": f"chatcmpl-{len(self.calls)}",
            "object": "chat.completion",
            "model": call.body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish}],
            "usage": USAGE,
        }


def most_in(times: list[float], seconds: float) -> int:
    """The most calls in any window of so many seconds."""
    times = sorted(times)
    most = start = 0
    for end, time_ in enumerate(times):
        while times[start] <= time_ - seconds:
            start += 1
        most = max(most, end - start + 1)
    return most


def begun_while_held(calls: list[Call], seconds: float) -> list[float]:
    """How long after an answer 429 each call began that did so within `seconds` of one; the longest first."""
    told = [call.told_at for call in calls if call.how == BUSY and call.told_at]
    since = (call.at - at for call in calls for at in told if 0 < call.at - at < seconds)
    return sorted(since, reverse=True)


async def _end_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _head(status: int, size: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", "Content-Type: application/json", f"Content-Length: {size}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()
