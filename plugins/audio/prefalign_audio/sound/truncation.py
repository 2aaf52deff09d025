"""Whether a sound file was cut off: libsndfile reads what is left of WAV, AIFF and OGG files without a word."""

from __future__ import annotations

from typing import Literal

_ENDLESS = 0x7FFFF000  # sizes from here on, and 0, are written by programs that stream and cannot go back (sox, ffmpeg)
_OGG_HEADER = 27  # bytes of a page before its table of segment lengths (RFC 3533, section 6)
_OGG_END_OF_STREAM = 0x04


def missing(data: bytes) -> str:
    """Say what a file's own headers promise that it does not hold; the empty text where nothing is found missing.

    FLAC is left to the decoder, which notices by itself, and MP3 to the caller, who compares the frames.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _missing_chunk(data, b"data", "little")
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return _missing_chunk(data, b"SSND", "big")
    if data[:4] == b"OggS":
        return _missing_page(data)
    return ""


def _missing_chunk(data: bytes, wanted: bytes, order: Literal["little", "big"]) -> str:
    position = 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], order)
        position += 8
        if name == wanted:
            if size == 0 or size >= _ENDLESS or position + size <= len(data):
                return ""
            return f"{len(data) - position} of {size} bytes of sound are there"
        position += size + size % 2  # chunks are padded to even lengths
    return ""


def _missing_page(data: bytes) -> str:
    position, flags = 0, 0
    while data.startswith(b"OggS", position):
        table = position + _OGG_HEADER
        if table > len(data):
            return "its last page is not whole"
        flags = data[position + 5]
        segments = data[table : table + data[table - 1]]
        if len(segments) < data[table - 1] or table + len(segments) + sum(segments) > len(data):
            return "its last page is not whole"
        position = table + len(segments) + sum(segments)
    return "" if flags & _OGG_END_OF_STREAM else "the page that ends the stream is not there"
