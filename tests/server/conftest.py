"""One server for the tests of a module, with handlers that wait, fail and say odd things."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import Served, serving
from waiting import wait_until

HANDLERS = """
import asyncio, os, pathlib

GATE = os.path.join(os.path.dirname(__file__), "gate")

async def title(item):
    return {"title": item}

async def fails(item):
    if item["n"] % 2:
        raise ValueError("<script>alert(1)</script> " + str(item["n"] % 3))
    return item["n"]

async def admitted(item):
    while int(pathlib.Path(__file__).with_name("upto").read_text()) <= item:
        await asyncio.sleep(0.02)
    return item

async def gated(item):
    return item if item["n"] <= 3 else await waits(item)

def odd_numbers(item):
    return {"v": [float("nan"), float("inf"), float("-inf"), -0.0, 1e308 * 10][item["n"]]}

async def flaky(item, context):
    if context.attempt == 1:
        raise ConnectionError("not now")
    return item

async def waits(item):
    while not os.path.exists(GATE):
        await asyncio.sleep(0.02)
    return item

def forbidden(item):
    return "not allowed to be named"
"""

GUARDED = """
import os
from subprocess import run

def title(item):
    return item

def marked(item):
    if item["n"] == 2:
        raise ValueError("<img src=x onerror=alert(2)>")
    return "<script>alert(1)</script>"

def _hidden(item):
    return item
"""


HANDLED = ("title", "fails", "admitted", "waits", "gated", "odd_numbers", "flaky")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that allows the handlers of `pipe` that are `HANDLED`, and the folder `open`."""
    folder: Path = tmp_path_factory.mktemp("served")
    (folder / "pipe.py").write_text(HANDLERS)
    (folder / "open").mkdir()
    allowed = [word for name in HANDLED for word in ("--allow", f"pipe:{name}")]
    with serving(folder, *allowed, "--root", "open") as made:
        yield made


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that allows `pipe:title`, what tools.py defines, and the folder `open`.

    It believes this machine as its proxy, so that each test can fail to log in at an address of its own.
    """
    folder: Path = tmp_path_factory.mktemp("guarded")
    (folder / "pipe.py").write_text(GUARDED)
    (folder / "tools.py").write_text(GUARDED)
    (folder / "open" / "deep").mkdir(parents=True)
    (folder / "open" / "deep" / "items.txt").write_text("one\ntwo\n")
    (folder / "secret.txt").write_text("secret\n")
    options = ["--allow", "pipe:title", "--allow", "tools:*", "--root", "open", "--proxy", "127.0.0.1"]
    with serving(folder, *options) as made:
        yield made


@pytest.fixture(scope="session")
def marked(guarded: Served) -> str:
    """A batch whose ids, results and errors are pieces of HTML; it has ended, and so has its process."""
    items = [{"id": "<b>x</b>", "n": 1}, {"id": '"><i>', "n": 2}]
    guarded.create("tools:marked", items, batch_id="marked", retry_attempts=1)
    guarded.wait_for("marked")
    wait_until(lambda: guarded.batch("marked")["holder"] is None)
    return "marked"


@pytest.fixture
def stranger(guarded: Served, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client without the token, at an address that no other test has."""
    number = zlib.crc32(request.node.nodeid.encode())
    address = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
    headers = {"X-Forwarded-For": address}
    with httpx.Client(base_url=guarded.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client
