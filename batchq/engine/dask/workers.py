"""What Dask workers are asked before and after a guest is there, beside all that runs in them.

One that is busy or hangs keeps nobody else waiting: each is asked by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from distributed.protocol.pickle import dumps

from batchq.handlers import PYTHON

if TYPE_CHECKING:
    from distributed import Client

ANSWER_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


async def run_on(client: Client, address: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a Dask worker, or in the nanny of one, by way of the scheduler; what it returned.

    Raises:
        OSError: it does not answer, or the function has failed.
    """
    message = {"op": "run", "function": dumps(function), "args": dumps(arguments), "kwargs": dumps({})}
    answer = await client.scheduler.proxy(worker=address, msg=message)
    if not isinstance(answer, Mapping) or answer.get("status") != "OK":
        raise OSError(f"{address} does not answer")
    return answer["result"]


class Fitness:
    """Which Dask workers can run a batch: those with the same Python and the same batchq.

    With others each item would fail by itself, or the process would die.

    Args:
        note: told of each that cannot be used.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._fit: dict[str, bool] = {}
        self._asked: dict[str, asyncio.Task[None]] = {}
        self.why_not: list[str] = []
        """Of those that cannot, in words."""

    def of(self, address: str) -> bool:
        """Whether it is known that this one can."""
        return self._fit.get(address, False)

    def see(self, client: Client, there: frozenset[str]) -> None:
        """Begin to ask those that are new."""
        for address in there - self._fit.keys() - self._asked.keys():
            self._asked[address] = asyncio.get_running_loop().create_task(self._ask(client, address))

    async def settled(self) -> None:
        """Wait until all that were asked have answered, or have had the time to."""
        if self._asked:
            await asyncio.wait(list(self._asked.values()))

    async def _ask(self, client: Client, address: str) -> None:
        try:
            why_not = await asyncio.wait_for(_why_not(client, address), ANSWER_SECONDS)
        except Exception as error:  # whatever Dask raises; it is asked again while it is there
            log.info("the Dask worker %s does not say what it has: %s: %s", address, type(error).__name__, error)
            return
        finally:
            del self._asked[address]
        self._fit[address] = why_not is None
        if why_not is not None:
            self.why_not.append(f"the Dask worker {address} {why_not}")
            self._note(f"{self.why_not[-1]}; it is not used")


async def _why_not(client: Client, address: str) -> str | None:
    about = await client.scheduler.proxy(worker=address, msg={"op": "versions", "packages": []})
    python = ".".join(str(dict(about.get("host", {})).get("python", "?")).split(".")[:2])
    if python != PYTHON:  # what is sent by value must not even be unpacked there
        return f"has Python {python}, and this is {PYTHON}"
    batchq = await run_on(client, address, _version_probe())
    if batchq is None:
        return "has no batchq"
    return None if batchq == _version() else f"has batchq {batchq}, and this is {_version()}"


def _version_probe() -> Callable[[], str | None]:
    """Tells the version of batchq; made here so that it is sent by value: where there is no batchq it runs as well."""

    def probe() -> str | None:
        import importlib

        try:
            return str(importlib.import_module("batchq").__version__)
        except ImportError:
            return None

    return probe


_version: Final = _version_probe()
