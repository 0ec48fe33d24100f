"""The peers: who they are, and what they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.peers.services import POSTGRES, REDIS


@dataclass(frozen=True)
class Peer:
    """Another tool.

    Attributes:
        name: its module here.
        title: for the table.
        package: its distribution, by which its version is known; empty: it is none of Python's.
        program: what it needs on the machine beside Python; empty: nothing.
        noop_items: no-op items in a run.
        wait_items: items in a run of the handler that waits; 0: it is not asked to.
        no_wait: why not.
        debian: the package with `program`.
    """

    name: str
    title: str
    package: str = ""
    program: str = ""
    noop_items: int = 10_000
    wait_items: int = 5000
    no_wait: str = ""
    debian: str = ""


PEERS: Final[Sequence[Peer]] = (
    Peer("huey_sqlite", "Huey, SQLite", "huey"),
    Peer("persist_queue", "persist-queue, SQLite", "persist-queue"),
    Peer("celery_redis", "Celery, Redis", "celery", REDIS, debian="redis-server"),
    Peer("dramatiq_redis", "Dramatiq, Redis", "dramatiq", REDIS, debian="redis-server"),
    Peer(
        "rq_redis",
        "RQ, Redis",
        "rq",
        REDIS,
        wait_items=0,
        no_wait="a worker of RQ is a process with one job: 100 slots are 100 processes",
        debian="redis-server",
    ),
    Peer("procrastinate_postgres", "Procrastinate, PostgreSQL", "procrastinate", POSTGRES, debian="postgresql"),
    Peer("dbos_postgres", "DBOS, PostgreSQL", "dbos", POSTGRES, debian="postgresql"),
    Peer("gnu_parallel", "GNU parallel --joblog", "", "parallel", 2000, 2000, debian="parallel"),
)
BY_NAME: Final = {peer.name: peer for peer in PEERS}
