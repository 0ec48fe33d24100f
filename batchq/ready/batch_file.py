"""``--llm-batch``: the input is a file that was made for a provider's batch service; each of its calls is made here.

    {"custom_id": "a1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": …}}

An item's result is what that service calls its response: status_code, request_id and body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from batchq.context import Context
from batchq.errors import Permanent, UsageError
from batchq.handlers import Handler
from batchq.ready import Work
from batchq.ready.llm import need_client
from batchq.ready.provider import Provider, needs_key, setup_of

VERSION: Final = "/v1"
"""With it the paths of a batch file begin, and the address of the API ends."""
STORED: Final = ("base_url", "key_env", "key_needed", "prices")
_PATH: Final = re.compile(r"/v1(/[A-Za-z0-9_-]+)+")
EXPECTED: Final = '{"custom_id": …, "method": "POST", "url": "/v1/chat/completions", "body": {…}}'


def check(options: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of the options of ``--llm-batch``; see `Kind.check`."""
    need_client("--llm-batch")
    stored = {name: options[name] for name in STORED}
    make(stored)
    stored["key_needed"] = needs_key(stored)
    return {"title": "--llm-batch", **stored}


def make(work: Mapping[str, Any]) -> Work:
    """The handler of what `check` returned; raises `UsageError` where it cannot be used here."""
    provider = Provider.of(work)
    calls = Calls(provider)
    return Work(Handler.of(calls.call, "--llm-batch", stays=True), setup_of(provider), calls.preview)


class Calls:
    """Makes calls as they stand in a file.

    Args:
        provider: whom they go to.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def call(self, item: Any, ctx: Context) -> dict[str, Any]:
        """The response to the call that `item` is.

        Raises:
            Permanent: it is no such call.
            HttpError: the server has answered with an error.
            NoAnswer: it has not answered, or not to the end.
        """
        path, body = _call_in(item)
        try:
            self._provider.price(str(body.get("model")))
        except UsageError as error:
            raise Permanent(f"{error}: what the call costs would not be known") from None
        answer, told = await self._provider.post(ctx, path, body, ctx.idempotency_key)
        request_id = answer.headers.get("x-request-id", "")
        return {"status_code": answer.status, "request_id": request_id, "body": told}

    def preview(self, item: Any, ctx: Context) -> str:
        """What is going to be sent for `item`."""
        path, body = _call_in(item)
        return f"POST {self._provider.base_url}{path}\n{json.dumps(body, ensure_ascii=False, indent=2)}"


def _call_in(item: Any) -> tuple[str, Mapping[str, Any]]:
    """The path below the address of the API, and what is sent there."""
    if not isinstance(item, Mapping) or not isinstance(item.get("body"), Mapping):
        raise Permanent(f"this is no record of a batch file: it has to be {EXPECTED}")
    method, url, body = item.get("method", "POST"), item.get("url"), item["body"]
    if method != "POST":
        raise Permanent(f"method must be POST, not {method!r}")
    if not isinstance(url, str) or not _PATH.fullmatch(url):
        raise Permanent(f"url must be a path such as /v1/chat/completions, not {url!r}")
    if body.get("stream"):
        raise Permanent("body: a stream cannot be recorded; leave stream out")
    return url[len(VERSION) :], body
