"""Text in other encodings than UTF-8, and bytes that are no text in theirs."""

from __future__ import annotations

import codecs
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batchq.errors import InputError
from batchq.spec import STDIN

if TYPE_CHECKING:
    from batchq.inputs.streams import ByteStream

PIECE: Final = 1024
"""Bytes that are decoded at once where some are flawed: each flaw costs a copy of what follows it in its piece."""
_MARK: Final = re.compile(rb"\xff<([0-9a-f]{2})@([0-9]+)>")
"""Stands for a byte that its encoding does not know; no UTF-8 holds it, so readers refuse the record that does."""
_SIGNS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_ZEROS: Final[dict[tuple[bool, ...], str]] = {
    (False, True, True, True): "UTF-32LE",
    (True, True, True, False): "UTF-32BE",
    (False, True, False, True): "UTF-16LE",
    (True, False, True, False): "UTF-16BE",
}
"""Where the first four bytes are zero when there is no mark and the text begins with ASCII."""
_PACKED: Final = ((b"\x1f\x8b", "gz"), (b"\x28\xb5\x2f\xfd", "zst"))
"""Beginnings of compressed files that are never the beginning of text."""


_NOT_OF_FILES: Final = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})
"""Encodings of names and of source text, of which a part cannot be decoded."""


def is_utf8(encoding: str) -> bool:
    """Whether this is UTF-8, which is read as it stands."""
    return _codec(encoding).name in ("utf-8", "utf-8-sig")


def check_encoding(encoding: str) -> None:
    """Raise `LookupError` where there is no such encoding of text.

    Example:
        >>> check_encoding("latin-1")
    """
    _codec(encoding)


def _codec(encoding: str) -> codecs.CodecInfo:
    try:
        found = codecs.lookup(encoding)
    except ValueError as error:  # a NUL in the name
        raise LookupError(encoding) from error
    if not found._is_text_encoding or found.incrementaldecoder is None or found.name in _NOT_OF_FILES:
        raise LookupError(encoding)
    return found


class Recoded:
    """A stream in another encoding, as UTF-8; what is flawed in it is marked, and refused by the reader.

    Args:
        stream: the bytes.
        name: the input, for messages.
        encoding: theirs.
    """

    def __init__(self, stream: ByteStream, name: str, encoding: str) -> None:
        self._stream = stream
        self._name = name
        self._encoding = encoding
        self._begin()

    def _begin(self) -> None:
        self._decoder: Any = _codec(self._encoding).incrementaldecoder("strict")
        self._taken = 0
        self._ended = False
        self._ready = b""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes of UTF-8."""
        read = self._stream.read1 if hasattr(self._stream, "read1") else self._stream.read
        while not self._ready and not self._ended:
            block = read(size)
            self._ended = not block
            self._ready = self._recode(block)
        found, self._ready = self._ready[:size], self._ready[size:]
        return found

    read1 = read

    def seek(self, offset: int, /) -> int:
        """Start again at the beginning, the only `offset` there is."""
        self._stream.seek(0)
        self._begin()
        return offset

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def _recode(self, block: bytes) -> bytes:
        state = self._decoder.getstate()
        try:
            text = self._decoder.decode(block, self._ended)
        except UnicodeError:
            self._decoder.setstate(state)
        else:
            self._taken += len(block)
            return _utf8(text)
        pieces = [block[at : at + PIECE] for at in range(0, len(block), PIECE)] or [b""]
        last = len(pieces) - 1
        return b"".join(self._recode_flawed(piece, self._ended and at == last) for at, piece in enumerate(pieces))

    def _recode_flawed(self, data: bytes, final: bool) -> bytes:
        found = []
        while data or final:
            state = self._decoder.getstate()
            try:
                found.append(_utf8(self._decoder.decode(data, final)))
                self._taken += len(data)
                break
            except UnicodeDecodeError as error:
                # The bytes that the decoder had kept from the data before, and then the data.
                known, start, end = error.object, error.start, max(error.end, error.start + 1)
            except UnicodeError as error:
                hint = "--encoding names another encoding, such as utf-16-le."
                raise InputError(self._name, f"is not {self._encoding}: {error}", hint=hint) from error
            kept = len(known) - len(data)
            first = self._taken - kept
            self._decoder.setstate(state)
            if start > kept:
                found.append(_utf8(self._decoder.decode(data[: start - kept])))
            self._decoder.setstate((b"", self._decoder.getstate()[1]))
            found.append(b"\xff<%02x@%d>" % (known[start], first + start))
            data, self._taken = known[end:], first + end
        return b"".join(found)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # half a surrogate pair, which some encodings can hold


def refuse_foreign(name: str, head: bytes) -> None:
    """Raise when the first four bytes are not those of UTF-8."""
    packed = next((suffix for sign, suffix in _PACKED if head.startswith(sign)), None)
    if packed is not None:
        hint = f"Let its name end in .{packed}, or unpack it." if name != STDIN else "Unpack it: zcat, or zstdcat."
        raise InputError(name, f"is compressed ({packed}), not text", hint=hint)
    marked = next((encoding for mark, encoding in _SIGNS if head.startswith(mark)), None)
    encoding = marked or _ZEROS.get(tuple(byte == 0 for byte in head))
    if encoding is not None:
        command = f"iconv -f {encoding} -t UTF-8"
        if name != STDIN:
            command += f" {shlex.quote(name)} > {shlex.quote(f'utf8-{Path(name).name}')}"
        hint = f"Say --encoding {encoding.lower()}, or convert it: {command}"
        raise InputError(name, f"is {encoding}, not UTF-8", hint=hint)


def not_text(raw: bytes, what: str, encoding: str = "utf-8") -> str | None:
    """Why bytes are no text, or None when they are.

    Args:
        raw: the bytes, as readers find them.
        what: they are, for the message: ``line``.
        encoding: of the input.

    Example:
        >>> not_text(b"caf\\xe9", "line")
        'not UTF-8: byte 0xe9 at offset 3 of the line (--encoding names another encoding)'
    """
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        mark = _MARK.match(raw, error.start)
        if mark:
            place = f"not {encoding}: byte 0x{mark[1].decode()} at offset {int(mark[2])} of the input"
        else:
            place = f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start} of the {what}"
        return f"{place} (--encoding names another encoding)"
    return None
