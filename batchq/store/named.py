"""Batches as users name them: by an id, or by the path of a folder, which may be in another home or a copy."""

from __future__ import annotations

import os
from pathlib import Path

from batchq.store.home import BatchFolder, Home


def is_path(named: str) -> bool:
    """Whether a batch is named by the path of its folder, rather than by its id.

    Example:
        >>> is_path("batch-20261125-001"), is_path("./other/batch-20261125-001")
        (False, True)
    """
    return os.sep in named


def named_folder(home: Home, named: str) -> BatchFolder:
    """The folder of an existing batch: of that id in `home`, or at that path; raises as `Home.find`."""
    if not is_path(named):
        return home.find(named)
    return Home(home_of(named)).find(id_of(named))


def home_of(named: str) -> Path:
    """The home in which the batch at a path is."""
    return _path(named).parent


def id_of(named: str) -> str:
    """The id of the batch at a path, which is the name of its folder.

    Example:
        >>> id_of("/other/batch-20261125-001/")
        'batch-20261125-001'
    """
    return _path(named).name


def _path(named: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(named)))
