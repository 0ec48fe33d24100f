"""A TCP proxy that can stop forwarding: what is sent meanwhile arrives nowhere, and nobody is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class Proxy:
    """Forwards connections to one port of this machine.

    Args:
        target: that port.

    Example:
        proxy = Proxy(8786)
        proxy.cut()   # a partition begins
        proxy.mend()  # and ends: connections of before are closed, new ones pass
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._passes = True
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        ready.wait(10)

    def cut(self) -> None:
        """Forward nothing any more, and accept what connects."""
        self._passes = False

    def mend(self) -> None:
        """Forward again; what was connected before is not."""
        self._loop.call_soon_threadsafe(self._mend)

    def _mend(self) -> None:
        self._passes = True
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)

        async def serve() -> None:
            server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]

        self._loop.run_until_complete(serve())
        ready.set()
        self._loop.run_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if not self._passes:
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._writers.add(there[1])
        await asyncio.gather(self._forward(reader, there[1]), self._forward(there[0], writer))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                while not self._passes:
                    await asyncio.sleep(0.05)
                    if writer.is_closing():
                        return
                writer.write(data)
                await writer.drain()
        writer.close()
