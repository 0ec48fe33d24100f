"""One server from lock to end.

lock ─▶ token ─▶ address bound ─▶ log ─▶ ┌ daemon (thread): runs batches ┐ ─▶ SIGTERM: the daemon ends ─▶ calls end
                                        └ event loop: answers calls     ┘    (a second signal: at once)
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import uvicorn

from batchq import __version__
from batchq.app.atomic import replaced
from batchq.app.serving import address_file, server_lock, server_of
from batchq.app.signature import key_of
from batchq.errors import BatchqError, HomeError, ServerBusy, StorageFailed, UsageError
from batchq.server.api.answers import ServerState
from batchq.server.http import make_app
from batchq.server.running.catalog import Catalog
from batchq.server.running.daemon import Daemon
from batchq.server.running.log import ServerLog, logging_to
from batchq.server.security.access import Access
from batchq.server.security.logouts import LogOuts, logouts_path
from batchq.server.security.safe_lines import SafeLines
from batchq.server.security.token import make_token, token_path
from batchq.server.settings import ServerSettings
from batchq.server.streaming.load import Load
from batchq.server.uvicorn_setup import uvicorn_config

CALLS_SECONDS: Final = 3
"""Calls that are being answered have so long when the server stops; streams of events end by themselves before."""
THREADS: Final = 32
"""For what calls read and write; asyncio's own number is 6 on two cores, and one slow disk would hold up all calls."""
THREAD_NAME: Final = "batchq-call"
ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that stand for all of this machine, and one under which it can be reached."""
VERSIONS_PER_START: Final = 2**40
_PORT_HINT: Final = "Choose another --port; 0 takes a free one."
_HOST_HINT: Final = "Name an address of this machine with --host, such as 127.0.0.1, or 0.0.0.0 for all of them."

log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Leaves the signals to `_serve`: uvicorn would end calls before the daemon has ended, and die of the signal.

    Ends what is watched before it waits for its connections to end.
    """

    def __init__(self, config: uvicorn.Config, load: Load) -> None:
        super().__init__(config)
        self._load = load

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End."""
        self._load.feeds.stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: ServerSettings, tell: Callable[[str, Callable[[], str]], None]) -> None:
    """Run until SIGTERM or SIGINT.

    Args:
        settings: what the owner has decided.
        tell: called with the address and what makes a one-time link, once calls are answered.

    Raises:
        ServerBusy: another server runs on this home.
        UsageError: the home, the token, the address or the secret of notifications cannot be used.
    """
    folder = settings.folder
    with ExitStack() as stack:
        _lock(settings, stack)
        token_file = settings.token_file or token_path(folder)
        if settings.notify:
            key_of(settings.home)  # a batch could not say what is wrong with the secret to who can mend it
        access = Access(make_token(token_file), logouts=LogOuts(logouts_path(folder)))
        bound = stack.enter_context(_bind(settings))
        handler = stack.enter_context(logging_to(folder / "server.log", settings.log_bytes))
        handler.setFormatter(SafeLines(access.hide))
        catalog = Catalog(settings.home, VERSIONS_PER_START * _count_start(folder / "starts"))
        daemon = Daemon(settings, catalog)
        load = Load.of(settings)
        app = make_app(ServerState(settings, catalog, daemon, access, load=load))
        address = f"http://{_name(settings.host)}:{bound.getsockname()[1]}"
        stack.callback(address_file(settings.home).unlink, missing_ok=True)
        config = uvicorn_config(app, settings, CALLS_SECONDS)

        def ready() -> None:
            log.info("batchq %s serves %s at %s, process %d", __version__, settings.home.path, address, os.getpid())
            told = {"url": address, "token_file": str(token_file.absolute())}
            try:
                with replaced(address_file(settings.home)) as file:
                    file.write(json.dumps(told).encode() + b"\n")
            except StorageFailed as error:
                log.error("%s; `batchq serve --link` will not find this server", error)
            tell(address, lambda: f"{address}/login?code={access.make_link()}")

        loop = asyncio.new_event_loop()
        loop.set_default_executor(ThreadPoolExecutor(THREADS, THREAD_NAME))
        try:
            loop.run_until_complete(_serve(_Server(config, load), bound, daemon, handler, ready))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()  # waits for no thread
        log.info("the server has ended")
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD_NAME):
            thread.join(1.0)
            if thread.is_alive():  # what it waits for is no longer of use to anybody
                os._exit(0)


async def _serve(
    server: _Server, bound: socket.socket, daemon: Daemon, handler: ServerLog, ready: Callable[[], None]
) -> None:
    """Answer calls until the daemon has ended."""
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if daemon.is_stopping:
            log.warning("%s again: the server ends at once", signal.Signals(number).name)
            os._exit(128 + number)
        log.info("%s: the server stops", signal.Signals(number).name)
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, handler.reopen)
    daemon.start()
    answering = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        while not server.started and not answering.done():
            await asyncio.sleep(0.01)
        ready()
        while not daemon.has_ended and not answering.done():
            await asyncio.sleep(0.1)
        if not daemon.is_stopping:
            raise BatchqError("a part of the server has died; its log says of what")
    finally:
        daemon.stop()
        server.should_exit = True
        await answering


def _lock(settings: ServerSettings, stack: ExitStack) -> None:
    """Be the only server of the home, whatever a dead one has left there."""
    home = settings.home
    lock = server_lock(home)
    try:
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_ours = lock.acquire(0.3)
    except OSError as error:
        raise HomeError.because_of(str(home.path), error) from error
    if not is_ours:
        raise ServerBusy(str(home.path), str(server_of(home) or lock.holder() or "a process unknown"))
    stack.callback(lock.release)
    try:
        settings.folder.chmod(0o700)
        address_file(home).unlink(missing_ok=True)
    except OSError as error:
        raise HomeError(str(home.path), f"{error.strerror}: {error.filename}") from error


def _bind(settings: ServerSettings) -> socket.socket:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such name"
        raise UsageError(f"cannot listen on {settings.host!r}: {reason}", _HOST_HINT) from error
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        bound.close()
        hint = _PORT_HINT if error.errno in (errno.EADDRINUSE, errno.EACCES) else _HOST_HINT
        raise UsageError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}", hint) from error
    return bound


def _name(host: str) -> str:
    host = ANY.get(host, host)
    return f"[{host}]" if ":" in host else host


def _count_start(path: Path) -> int:
    """How many servers have begun on this home: what one tells later clients is newer than what any before it told.

    The clock would not do: it can be set back.
    """
    try:
        before = int(path.read_bytes()[:12])
    except (OSError, ValueError):
        before = 0
    with suppress(OSError):  # on a full disk there is still something to be looked at
        path.write_text(f"{before + 1}\n")
    return before + 1
