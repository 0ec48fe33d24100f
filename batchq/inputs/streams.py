"""The bytes of an input: a file, unpacked where it is compressed, as UTF-8 where it has another encoding.

file ─▶ Unpacked (gz, bz2, zst) ─▶ Recoded (--encoding) ─▶ reader
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Final, Protocol

from batchq.errors import InputError
from batchq.inputs.encoding import Recoded, is_utf8
from batchq.inputs.within import open_within
from batchq.spec import STDIN, SourceSpec

PACKED_BLOCK: Final = 64 * 1024


class ByteStream(Protocol):
    """What a reader needs of a stream."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""

    def seek(self, offset: int, /) -> int:
        """Go to the beginning (0), the only place that every stream knows."""

    def close(self) -> None:
        """Close it."""


def open_stream(source: SourceSpec, stdin: BinaryIO | None) -> ByteStream:
    """The bytes of one input, as UTF-8; raises `InputError`, or `OSError` where the file cannot be opened."""
    stream: ByteStream
    if source.path == STDIN:
        if stdin is None:
            raise InputError(STDIN, "standard input cannot be read a second time")
        stream = stdin
    else:
        compression = source.format.partition(".")[2]
        make = _unpacker(source.name, compression) if compression else None
        stream = open_file(source)  # the reader closes it
        if make is not None:
            stream = Unpacked(stream, source.name, compression, make)
    return stream if is_utf8(source.encoding) else Recoded(stream, source.name, source.encoding)


def open_file(source: SourceSpec) -> BinaryIO:
    """The file as it is; raises `InputError` and `NotAllowed` where it may not be opened, and `OSError`."""
    if source.within is None:
        return open(source.path, "rb")
    return os.fdopen(open_within(source.path, source.within, source.name), "rb")


class Unpacker(Protocol):
    """Unpacks one member of a compressed file; `bz2.BZ2Decompressor` is one."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without further data."""

    @property
    def unused_data(self) -> bytes:
        """What follows the member."""

    def decompress(self, data: memoryview, max_length: int, /) -> bytes:
        """At most `max_length` bytes out of all data that was given."""


class Unpacked:
    """The content of a compressed file, of one member or several.

    All that comes before a flaw is yielded before the flaw is raised.

    Args:
        file: the compressed bytes.
        name: the file, for messages.
        compression: ``gz``, ``bz2`` or ``zst``.
        make: makes what unpacks the next member.
    """

    def __init__(self, file: BinaryIO, name: str, compression: str, make: Callable[[], Unpacker]) -> None:
        self._file = file
        self._name = name
        self._compression = compression
        self._make = make
        self._begin()

    def _begin(self) -> None:
        self._member = self._make()
        self._packed = memoryview(b"")
        self._members = 0
        self._given = 0
        self._exact = False

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes of the content; raises `InputError` where the file is damaged."""
        before = self._given
        try:
            return self._read(1 if self._exact else size)
        except (EOFError, InputError):
            raise self._broken("is cut off") from None
        except Exception as error:  # each library has errors of its own
            if not self._exact and self._rewind(before, size):
                return self._read_exactly(size)
            raise self._broken(f"is damaged ({error})") from error

    read1 = read

    def seek(self, offset: int, /) -> int:
        """Start again at the beginning, the only `offset` there is."""
        self._file.seek(0)
        self._begin()
        return offset

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, size: int) -> bytes:
        while True:
            if self._member.eof and not self._next_member():
                return b""
            data = self._packed[:0]
            if self._member.needs_input:
                self._packed = self._packed or memoryview(self._file.read(PACKED_BLOCK))
                if not self._packed:
                    raise EOFError
                cut = 1 if self._exact else len(self._packed)
                data, self._packed = self._packed[:cut], self._packed[cut:]
            found = self._member.decompress(data, size)
            if found:
                self._given += len(found)
                return found

    def _next_member(self) -> bool:
        """Go on behind a member that has ended; zeros there fill up the block of a tape."""
        self._members += 1
        rest = (self._member.unused_data + bytes(self._packed)).lstrip(b"\0")
        while not rest:
            block = self._file.read(PACKED_BLOCK)
            if not block:
                return False
            rest = block.lstrip(b"\0")
        self._packed = memoryview(rest)
        self._member = self._make()
        return True

    def _rewind(self, offset: int, size: int) -> bool:
        """Go back to `offset` of the content: what was unpacked in the call that failed is lost otherwise."""
        try:
            self.seek(0)
        except OSError:
            return False  # a pipe
        while self._given < offset:
            self._read(min(size, offset - self._given))
        self._exact = True
        return True

    def _read_exactly(self, size: int) -> bytes:
        """What can still be read, byte by byte, of the call that failed."""
        found = bytearray()
        while len(found) < size:
            try:
                byte = self._read(1)
            except Exception as error:
                if found:
                    break  # told in the next call, which fails at once
                raise self._broken(f"is damaged ({error})") from error
            found += byte
        return bytes(found)

    def _broken(self, how: str) -> InputError:
        if not self._given and not self._members:
            how += f", or no {self._compression} file"
        hint = "Mend the file and resume; or go on with what is stored: --input-ended."
        return InputError(self._name, f"{how} at byte {self._given:,} of its unpacked content", hint=hint)


class Gzip:
    """`zlib` with the face of `Unpacker`."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(wbits=31)
        self._packed = memoryview(b"")
        self._is_full = False

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        return self._unpacker.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without further data."""
        return not self._packed and not self._is_full

    @property
    def unused_data(self) -> bytes:
        """What follows the member."""
        return bytes(self._packed)

    def decompress(self, data: memoryview, max_length: int, /) -> bytes:
        """At most `max_length` bytes out of all data that was given."""
        if data:
            self._packed = memoryview(bytes(self._packed) + bytes(data))
        cut = 1 if max_length == 1 else len(self._packed)
        found = self._unpacker.decompress(self._packed[:cut], max_length)
        left = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
        self._packed = self._packed[cut - len(left) :]
        self._is_full = len(found) == max_length  # more may come of what it has taken already
        return found


class Zstandard:
    """The package `zstandard` with the face of `Unpacker`."""

    FED: Final = 1024
    """Bytes given at once: a kilobyte can unpack to 32 MB, and there is no other bound."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._unpacker = make()
        self._packed = self._ready = memoryview(b"")

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        return bool(self._unpacker.eof) and not self._ready

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without further data."""
        return not self._packed and not self._ready

    @property
    def unused_data(self) -> bytes:
        """What follows the member."""
        return bytes(self._unpacker.unused_data) + bytes(self._packed)

    def decompress(self, data: memoryview, max_length: int, /) -> bytes:
        """At most `max_length` bytes out of all data that was given."""
        if data:
            self._packed = memoryview(bytes(self._packed) + bytes(data))
        fed = 1 if max_length == 1 else self.FED
        while not self._ready and self._packed and not self._unpacker.eof:
            piece, self._packed = self._packed[:fed], self._packed[fed:]
            self._ready = memoryview(self._unpacker.decompress(piece))
        found, self._ready = bytes(self._ready[:max_length]), self._ready[max_length:]
        return found


def _unpacker(name: str, compression: str) -> Callable[[], Unpacker]:
    """What makes an unpacker; each library is loaded when it is needed."""
    if compression == "gz":
        return Gzip
    if compression == "bz2":
        from bz2 import BZ2Decompressor

        return BZ2Decompressor
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # since Python 3.14

        return zstd.ZstdDecompressor  # type: ignore[no-any-return,unused-ignore]
    except ImportError:
        pass
    try:
        import zstandard
    except ImportError:
        hint = "Install it: pip install 'batchq[zst]'"
        raise InputError(name, "zst needs the package zstandard, which is not installed", hint=hint) from None
    return lambda: Zstandard(zstandard.ZstdDecompressor().decompressobj)
