"""How the user's function reaches a machine that may not have it: its file is sent along.

A worker of a cluster lives longer than a batch: a module that it has imported once stays as it was.  So what was sent
counts, and not what such a process happens to know by that name.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from batchq.engine.work import load_work
from batchq.ready import Work
from batchq.spec import BatchSpec

MARK: Final = "__batchq_digest__"
"""What a module bears that was loaded by this: the digest of its file at that time."""


@dataclass(frozen=True)
class Shipment:
    """What is sent along with a batch's specification.

    Attributes:
        pickled: the function by value, where it is stored so.
        files: by its path, each file that TARGET and the setup name.
    """

    pickled: bytes | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: BatchSpec, pickled: bytes | None) -> Shipment:
        """All that a batch needs, as far as it is a single file; a package has to be installed where it runs."""
        named = [(target, spec.cwd) for target in spec.stages]
        if spec.setup is not None:
            named.append((spec.setup, spec.folder))
        if spec.work is None and spec.pickled_by is None:
            named.append((spec.target, spec.folder))
        paths = {path for target, folder in named if (path := _file_of(target, folder)) is not None}
        return cls(pickled, {str(path): path.read_bytes() for path in paths})

    def load(self, spec: BatchSpec) -> Work:
        """What the batch runs, loaded here; raises as `load_work`."""
        named = replace(
            spec,
            target=spec.target if spec.work or spec.pickled_by else self._arrange(spec.target, spec.folder),
            stages=tuple(self._arrange(target, spec.cwd) for target in spec.stages),
            setup=self._arrange(spec.setup, spec.folder) if spec.setup else None,
        )
        fresh = {path for path in self.files if Path(path).stem not in sys.modules}
        work = load_work(named, self.pickled)
        for path in fresh:
            module = sys.modules.get(Path(path).stem)
            if getattr(module, "__file__", None) == path:
                setattr(module, MARK, _digest(self.files[path]))
        return work

    def _arrange(self, target: str, folder: str) -> str:
        """`target` as it can be loaded here: as it stands where that is what was sent, else by the file sent."""
        path = _path_of(target, folder)
        content = self.files.get(str(path))
        if path is None or content is None:
            return target
        digest = _digest(content)
        known = sys.modules.get(path.stem)
        is_stale = known is not None and getattr(known, MARK, None) != digest
        if not is_stale and _reads(path, content):
            return target
        place = Path(tempfile.gettempdir(), f"batchq-{os.getuid()}-{digest}", path.name)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        if place.parent.stat().st_uid != os.getuid():
            raise PermissionError(f"{place.parent} is somebody else's")
        if not _reads(place, content):
            unfinished = place.with_name(f"{os.getpid()}-{path.name}")
            unfinished.write_bytes(content)
            unfinished.replace(place)
        return f"{place}:{target.rpartition(':')[2]}"


def _path_of(target: str, folder: str) -> Path | None:
    place = target.rpartition(":")[0]
    if place.endswith(".py"):
        return Path(place)
    return None if "." in place else Path(folder, f"{place}.py")


def _file_of(target: str, folder: str) -> Path | None:
    """The file that TARGET names, where it names a single one that exists."""
    path = _path_of(target, folder)
    return path if path is not None and path.is_file() else None


def _reads(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
