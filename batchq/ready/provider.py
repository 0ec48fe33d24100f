"""The server of a language model: where it is, with which key, and what its calls are paid with."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from batchq.context import Context, Spending
from batchq.errors import BadRedirect, HttpError, UsageError
from batchq.ready.chat import PATH, estimated_tokens, lost, used
from batchq.ready.messages import Answer, Request
from batchq.ready.prices import Price, Prices, Usage, price_of, prices_of
from batchq.ready.templates import ANY_NAME, Template
from batchq.ready.variables import Variables

if TYPE_CHECKING:
    from batchq.ready.client import Client

OPENAI: Final = "api.openai.com"
SHORTEST_KEY: Final = 8
"""Characters; "none" and "ollama", with which servers of one's own are content, are no secrets, and stay in answers."""
TRY: Final = "try"
"""The id of a batch that only shows what would be done."""


@dataclass(frozen=True)
class Provider:
    """Where calls go.

    Attributes:
        base_url: of the API, without a slash at its end.
        key: the template of the header with the key; None where there is no key.
        prices: by model; None where they are not known.
    """

    base_url: str
    key: Template | None
    prices: Prices | None

    @classmethod
    def of(cls, work: Mapping[str, Any]) -> Provider:
        """That of a batch.

        Raises:
            UsageError: its address or its prices cannot be used, or its key is not in the environment.
        """
        base_url = checked_url(work["base_url"])
        name = work["key_env"]
        wanted = needs_key(work)
        key = Template.of(f"Bearer ${{{name}}}", "--api-key-env", variables=ANY_NAME) if wanted else None
        if key is not None:
            if key.variables != (name,):  # what is given there by mistake may be the key itself
                raise UsageError("--api-key-env must be the name of a variable", "No option takes a key.")
            if not os.environ.get(name) and urlsplit(base_url).hostname == OPENAI:
                hint = f"Set it: read -rs {name} && export {name}; or name a server of your own with --base-url."
                raise UsageError(f"{OPENAI} wants a key, and the variable {name} of the environment is not set", hint)
            Variables.wanted([key])
        return cls(base_url, key, None if work["prices"] is None else prices_of(work["prices"]))

    @functools.cached_property
    def variables(self) -> Variables:
        """The key, as it is in the environment of this process."""
        return Variables.wanted([self.key] if self.key else [])

    def price(self, model: str) -> Price | None:
        """What a model costs; None where no prices are known at all.

        Raises:
            UsageError: there are prices, and none for it.
        """
        return None if self.prices is None else price_of(self.prices, model)

    async def post(self, ctx: Context, path: str, body: Mapping[str, Any], key: str) -> tuple[Answer, Any]:
        """Make one call: wait for its turn, send it, and count what it uses.

        Args:
            ctx: of the attempt; its resource is the client.
            path: below the address.
            body: what is sent, as JSON.
            key: under which the provider may know a call that is repeated.

        Returns:
            The answer, and what its JSON says.

        Raises:
            BadAnswer: it is no JSON.
            HttpError: the answer is an error.
            NoAnswer: none came, or not to its end.
        """
        client: Client = ctx.resource
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Idempotency-Key": key}
        if self.key is not None:
            headers["Authorization"] = self.key.render({}, self.variables)
        # Half a character can stand in JSON as its number, and in nothing else.
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
        price = self.price(str(body.get("model")))
        reserved = {} if price is None else {"usd": price.usd(lost(body))}
        spending = await Spending(ctx.till, {"calls": 1, "tokens": estimated_tokens(body)}, reserved=reserved)
        request = Request("POST", self.base_url + path, headers, data, frozenset({"authorization"}))
        try:
            answer = await client.send(request, ctx)
            told = answer.json()
        except BaseException as error:  # a timeout, too
            _settle(spending, lost(body) if _may_be_paid(error) else Usage(), price)
            raise
        usage = used(body, told)
        usd = _settle(spending, usage, price)
        if is_trial(ctx):
            ctx.log.info("used: %s%s", usage, "" if usd is None else f", {usd:.8f} usd")
        return answer, told


def _settle(spending: Spending, usage: Usage, price: Price | None) -> float | None:
    """Count what a call has used; the usd that it cost, None where that is not known."""
    if price is None:
        spending.settle(tokens=usage.total)
        return None
    usd = price.usd(usage)
    spending.settle(tokens=usage.total, usd=usd)
    return usd


def _may_be_paid(error: BaseException) -> bool:
    """Whether a call that ended so may have cost something: it was sent, and not refused."""
    from aiohttp import ClientConnectorError

    return not isinstance(error, (HttpError, BadRedirect)) and not isinstance(error.__context__, ClientConnectorError)


def needs_key(work: Mapping[str, Any]) -> bool:
    """Whether calls carry a key: where one is named or set, which counts for ever, and always at OpenAI's.

    A server on this machine mostly wants none.
    """
    return bool(work["key_needed"] or os.environ.get(work["key_env"]) or urlsplit(work["base_url"]).hostname == OPENAI)


def is_trial(ctx: Context) -> bool:
    """Whether somebody looks on, item by item."""
    return ctx.batch_id == TRY


def checked_url(url: str) -> str:
    """The address of an API, without a slash at its end; raises `UsageError` where it can be none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if "@" in url or "?" in url or "#" in url:  # before anything of it is shown
        raise UsageError("--base-url must not hold a password or a query", "A key comes from the environment alone.")
    if not usable:
        raise UsageError(f"--base-url {url!r} is no address", "Such as http://127.0.0.1:8000/v1.")
    url = url.rstrip("/")
    if url.endswith(PATH):
        raise UsageError(f"--base-url {url!r} ends with the path of a call", f"Say {url[: -len(PATH)]}")
    return url


Setup = Callable[[], Any]


def setup_of(provider: Provider) -> Setup:
    """Makes the client that a worker has for its calls."""

    def setup() -> Any:
        from batchq.ready.client import open_client

        is_secret = all(len(value) >= SHORTEST_KEY for value in provider.variables.values())
        hidden = provider.variables if is_secret else Variables({})
        return open_client(hidden, max_redirects=0)  # a redirect would be paid by somebody else

    return setup
