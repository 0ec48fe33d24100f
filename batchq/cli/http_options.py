"""The options of `start` that say which request is sent for each item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

HTTP_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    click.option(
        "--http",
        metavar="'METHOD URL'",
        help="Instead of a function: send this request for each item, 'POST https://host/notes/{id}', with fields of "
        "the item in the path and the query. The result is the answer: JSON where it says so, else its text.",
    ),
    click.option(
        "--header",
        multiple=True,
        metavar="'NAME: VALUE'",
        help="Send this header, 'X-Author: {author.name}'. 'Authorization: Bearer ${KEY}', in single quotes, is filled "
        "in by each worker from its environment, and never stored. May be repeated.",
    ),
    click.option(
        "--body",
        metavar="TEXT",
        help='Send this instead of the item: \'{"q": "About {text}", "n": {n}}\'. ${KEY}, in capitals, is as for '
        "--header.  [default: the item as JSON, with POST, PUT and PATCH]",
    ),
    click.option("--body-file", metavar="FILE", help="Send what this file has: a text as for --body."),
    click.option(
        "--max-response", metavar="SIZE", help="Fail an item whose answer is larger, decompressed.  [default: 16M]"
    ),
    click.option(
        "--max-redirects",
        type=int,
        metavar="N",
        help="Follow so many redirects of one request; another host gets no secret.  [default: 5]",
    ),
)
HTTP_NAMES: Final = ("http", "header", "body", "body_file", "max_response", "max_redirects")
"""Their names, that of the kind first."""
