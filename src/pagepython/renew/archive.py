"""Zip archives that come out the same at every run, deflated by zopfli."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final

#: The oldest date that zip has: 1 January 1980.
_DATE: Final = (1 << 5) + 1
_DEFLATED: Final = 8
_UTF8: Final = 1 << 11
_REGULAR_FILE: Final = 0o100644 << 16


def pack(files: Mapping[str, bytes], rounds: int = 1) -> bytes:
    """Return a zip archive of the files, sorted by name.

    Parameters
    ----------
    files
        Content by name.
    rounds
        How often zopfli tries to make a file smaller.
    """
    body = bytearray()
    directory = bytearray()
    for name, content in sorted(files.items()):
        raw = name.encode()
        small = _deflated(content, rounds)
        # What a file says of itself in both places: version, flags, method, time, date, ...
        common = struct.pack(
            "<5H3L2H",
            *(20, _UTF8, _DEFLATED, 0, _DATE),
            *(zlib.crc32(content), len(small), len(content)),
            *(len(raw), 0),
        )
        directory += b"PK\1\2" + struct.pack("<H", 3 << 8 | 20) + common
        directory += struct.pack("<3H2L", 0, 0, 0, _REGULAR_FILE, len(body)) + raw
        body += b"PK\3\4" + common + raw + small
    count = len(files)
    end = struct.pack("<4H2LH", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + b"PK\5\6" + end)


def _deflated(content: bytes, rounds: int) -> bytes:
    """Return the content as a bare deflate stream."""
    from zopfli.zlib import compress  # development only

    return bytes(compress(content, numiterations=rounds))[2:-4]  # without zlib's frame
