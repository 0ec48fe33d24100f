"""The kind ``http``: a request for each item; its result is what the answer says.

item ─▶ address, headers, body ─▶ Client.send ─▶ status from 400: HttpError ─▶ retried, held back or failed
                                             └─▶ below: JSON, a text, or null
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batchq.context import Context
from batchq.errors import ConfigError, TemplateFailed, UsageError
from batchq.handlers import Handler
from batchq.inputs.files import near_file
from batchq.ready import Work
from batchq.ready.address import Address, method_and_address
from batchq.ready.bodies import Body
from batchq.ready.messages import Request
from batchq.ready.secrecy import refuse_secrets, says_secret
from batchq.ready.templates import ANY_NAME, Template
from batchq.ready.variables import Variables
from batchq.units import bytes_of
from batchq.urls import shown

if TYPE_CHECKING:
    from batchq.ready.client import Client

MAX_RESPONSE: Final = "16M"
MAX_REDIRECTS: Final = 5
MOST_REDIRECTS: Final = 20
LARGEST_TEMPLATE: Final = 2**20
"""Bytes of a body's template: it is stored, and sent for each item."""
SHOWN_BYTES: Final = 10_000
"""Of a body so much is shown before it is sent."""
WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods that send the item where nothing else is said."""
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, and can be repeated without an idempotency key."""

_HEADER: Final = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*(.*?)\s*", re.DOTALL)
_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OWN: Final = frozenset({"content-length", "transfer-encoding", "connection", "host"})
"""Headers that follow from the request."""


@dataclass(frozen=True)
class _Plan:
    """What is sent for an item, as options or the stored work say it."""

    method: str
    address: Address
    headers: tuple[tuple[str, Template], ...]
    body: Body | None

    @property
    def templates(self) -> Iterator[Template]:
        """Those that may want variables of the environment."""
        yield self.address.rest
        yield from (template for _, template in self.headers)
        if self.body is not None and self.body.template is not None:
            yield self.body.template

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """The headers that are given, in small letters."""
        return frozenset(name.lower() for name, _ in self.headers)

    @functools.cached_property
    def secret(self) -> frozenset[str]:
        """Those of them that no other host may get: with a variable in them, or by their names."""
        return frozenset(name.lower() for name, value in self.headers if value.variables or says_secret(name))

    def request(self, item: Any, key: str, url: str, variables: Mapping[str, str]) -> Request:
        """The request for `item`; raises `TemplateFailed` where none can be made of it."""
        headers = {name: _sendable(template.render(item, variables), name) for name, template in self.headers}
        body = None
        if self.body is not None:
            body, kind = self.body.render(item, variables)
            if "content-type" not in self.names:
                headers["Content-Type"] = kind
        if self.method not in READS and "idempotency-key" not in self.names:
            headers["Idempotency-Key"] = key
        secret_body = self.body is not None and self.body.has_secrets
        return Request(self.method, url, headers, body, self.secret, secret_body)


def check(options: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of ``--http`` and the options that go with it.

    Args:
        options: ``http`` itself, ``header`` (several), ``body`` or ``body_file``, ``max_response``, ``max_redirects``.

    Raises:
        UsageError: one of them cannot be used, or aiohttp is not installed.

    Example:
        >>> check({"http": "PUT https://example.org/notes/{id}", "header": ["X-Of: {author}"]})["title"]
        'PUT https://example.org/notes/{id}'
    """
    _need_library()
    body, option = _body_given(options)
    redirects = options.get("max_redirects")
    if redirects is not None and not 0 <= redirects <= MOST_REDIRECTS:
        raise ConfigError("--max-redirects", redirects, f"a whole number from 0 to {MOST_REDIRECTS}")
    method, address = method_and_address(options["http"])
    refuse_secrets("--http", address.rest.text)
    work = {
        "title": f"{method} {shown(address.host + address.rest.text)}",
        "method": method,
        "url": address.host + address.rest.text,
        "headers": [list(_header(text)) for text in options.get("header") or ()],
        "body": body,
        "body_option": option,
        "max_response": bytes_of("--max-response", options.get("max_response") or MAX_RESPONSE),
        "max_redirects": MAX_REDIRECTS if redirects is None else redirects,
    }
    plan = _plan(work)
    if plan.body is not None:
        plan.body.refuse_secrets()
    return work


def make(work: Mapping[str, Any]) -> Work:
    """The handler that sends a request for each item.

    Args:
        work: what `check` returned.

    Raises:
        UsageError: aiohttp is not installed, or a variable of the environment is not set.
    """
    _need_library()
    plan = _plan(work)
    variables = Variables.wanted(plan.templates)

    async def http(item: Any, ctx: Context) -> Any:
        client: Client = ctx.resource
        request = plan.request(item, ctx.idempotency_key, plan.address.render(item, variables), variables)
        return (await client.send(request, ctx)).value()

    def preview(item: Any, ctx: Context) -> str:
        url = plan.address.shown(item, variables)
        return _told(plan.request(item, ctx.idempotency_key, url, variables.names))

    return Work(Handler.of(http, work["title"], stays=True), _opener(work, variables), preview)


def _opener(work: Mapping[str, Any], variables: Variables) -> Callable[[], AbstractAsyncContextManager[Client]]:
    def client() -> AbstractAsyncContextManager[Client]:
        from batchq.ready.client import open_client  # here, in a worker: it takes long

        return open_client(variables, work["max_response"], work["max_redirects"])

    return client


def _plan(work: Mapping[str, Any]) -> _Plan:
    method, address = method_and_address(f"{work['method']} {work['url']}")
    headers = tuple((name, _header_template(name, value)) for name, value in work["headers"])
    names = [name.lower() for name, _ in headers]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--header: {name} is given twice", "Give its values in one, with commas between them.")
    given = next((value for name, value in work["headers"] if name.lower() == "content-type"), "")
    body: Body | None = None
    if work["body"] is not None:
        body = Body.of(work["body"], work["body_option"], given)
    elif method in WITH_BODY:
        body = Body()
    if body is not None and method == "HEAD":
        raise UsageError(f"{work['body_option']}: a HEAD request has no body", "Use GET.")
    return _Plan(method, address, headers, body)


def _body_given(options: Mapping[str, Any]) -> tuple[str | None, str]:
    """The template of the body, None for none, and the option that gave it."""
    text, file = options.get("body"), options.get("body_file")
    if file is None:
        return text, "--body"
    if text is not None:
        raise UsageError("--body and --body-file exclude each other")
    try:
        content = Path(file).read_bytes()
        if len(content) > LARGEST_TEMPLATE:
            raise UsageError(f"--body-file: {file} has more than {LARGEST_TEMPLATE:,} bytes", "It is a template.")
        return content.decode("utf-8"), "--body-file"
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"--body-file: {file} cannot be read: {reason}", near_file(file)) from None


def _header(text: str) -> Sequence[str]:
    """The name and the template of a header."""
    found = _HEADER.fullmatch(text)
    if found is None:
        raise UsageError(
            f"--header: {text.partition(':')[0][:40]!r} names no header", "Write it as 'Name: value', in quotes."
        )
    name, value = found[1], found[2]
    if name.lower() in _OWN:
        raise UsageError(f"--header: {name} follows from the request", "Leave it out.")
    return name, value


def _header_template(name: str, value: str) -> Template:
    template = Template.of(value, f"--header {name}", variables=ANY_NAME)
    _sendable(value, name, UsageError)
    if says_secret(name) and template.jinja is None and all(isinstance(each, str) for each in template.pieces):
        raise UsageError(
            f"--header: the value of {name} would be stored",
            f"Write the name of a variable of the environment, in single quotes: --header '{name}: ${{KEY}}'.",
        )
    return template


def _sendable(value: str, name: str, error: type[Exception] | None = None) -> str:
    """The value of a header, which has no line break or the like in it."""
    if _UNSENDABLE.search(value):
        reason = "its value has a line break, or another character that no header can have"
        raise UsageError(f"--header {name}: {reason}") if error else TemplateFailed(f"--header {name}", reason)
    return value


def _told(request: Request) -> str:
    """A request in words, for `batchq try`."""
    lines = [f"{request.method} {request.url}", *(f"{name}: {value}" for name, value in request.headers.items())]
    if request.body is not None:
        lines += ["", request.body[:SHOWN_BYTES].decode("utf-8", "replace")]
        if (more := len(request.body) - SHOWN_BYTES) > 0:
            lines.append(f"… and {more:,} bytes more")
    return "\n".join(lines)


def _need_library() -> None:
    if importlib.util.find_spec("aiohttp") is None:
        raise UsageError("--http needs aiohttp, which is not installed", "Install it with: pip install 'batchq[http]'")
