"""What the owner of a server decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batchq.store.home import Home


@dataclass(frozen=True)
class ServerSettings:
    """What `batchq serve` was asked for.

    Attributes:
        home: of the batches.
        host: address to bind.
        port: 0 takes a free one.
        max_batches: batches that run at a time.
        allow: patterns of the TARGETs that a caller may name.
        roots: folders in which a caller may name files.
        hosts: further names under which the server is reached, say through a proxy.
        token_file: where the token is; None for the usual place in the home.
        stop_batches: when the server is stopped, its batches are, too.
        max_upload: bytes of one upload.
        max_streams: clients that may watch at a time; each is an open connection.
        max_items: items that a caller may hand over inline.
        make_seconds: the module of a handler has to load within that time.
        retry_seconds: a caller's regular expression has to find the items to retry within that time.
        proxies: addresses of proxies who are believed for whom they call, and whether by https.
        notify: addresses that are told how each batch ends that is made over HTTP.
        notify_at: share of failed items at which they are told as well, such as ``5%``.
        log_bytes: the server's log is begun anew at that size.
        restart_delay: seconds until a batch is started again whose supervisor has died; twice as long each time.
    """

    home: Home
    host: str = "127.0.0.1"
    port: int = 8765
    max_batches: int = 4
    allow: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = ()
    token_file: Path | None = None
    stop_batches: bool = False
    max_upload: int = 1 << 30
    max_items: int = 10_000
    make_seconds: float = 120.0
    retry_seconds: float = 60.0
    proxies: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    notify_at: str | None = None
    log_bytes: int = 10 * 1024 * 1024
    restart_delay: float = 1.0
    max_streams: int = 500

    @property
    def folder(self) -> Path:
        """Where the server keeps what is its own; no batch can have that name."""
        return self.home.server_folder
