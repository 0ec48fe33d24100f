"""The server's application in this process, which answers calls and runs no batches."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from batchq.server.api.answers import ServerState
from batchq.server.http import make_app
from batchq.server.running.catalog import Catalog
from batchq.server.running.daemon import Daemon
from batchq.server.security.access import Access
from batchq.server.settings import ServerSettings
from batchq.store.home import Home

TOKEN = "a-token-of-more-than-32-characters"


def answers(
    folder: Path, *calls: tuple[str, str, dict[str, Any]], daemon: Daemon | None = None, **settings: Any
) -> list[httpx.Response]:
    """What a server in this process, which runs no batches, answers to some calls at a time."""
    made = ServerSettings(Home(folder / "home"), allow=("*:*",), **settings)
    catalog = Catalog(made.home)
    app = make_app(ServerState(made, catalog, daemon or Daemon(made, catalog), Access(TOKEN)))

    async def call_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            return await asyncio.gather(*(client.request(method, path, **more) for method, path, more in calls))

    return asyncio.run(call_all())
