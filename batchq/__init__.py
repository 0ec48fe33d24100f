"""batchq: run a function over many items, lose nothing, and learn what happened to each of them.

The command line is ``batchq``; ``batchq --help`` teaches it.  Public names are imported on first use, so that
importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchq.config import ProcessingMode, RetryConfig
    from batchq.engine.retry import RetryHandler
    from batchq.errors import BatchqError, Permanent
    from batchq.handlers import Context

__version__ = "0.1.0"

_HOMES = {
    "BatchqError": "errors",
    "Context": "handlers",
    "Permanent": "errors",
    "ProcessingMode": "config",
    "RetryConfig": "config",
    "RetryHandler": "engine.retry",
}

__all__ = [
    "BatchqError",
    "Context",
    "Permanent",
    "ProcessingMode",
    "RetryConfig",
    "RetryHandler",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'batchq' has no attribute {name!r}")
    return getattr(import_module(f"batchq.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
