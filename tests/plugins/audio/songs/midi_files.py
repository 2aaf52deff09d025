"""Small MIDI files for tests."""

from collections.abc import Sequence

Event = tuple[int, bytes]
"""(ticks since the one before, message)."""


def number(value: int) -> bytes:
    """A number of variable length."""
    found = [value & 0x7F]
    while value := value >> 7:
        found.append(value & 0x7F | 0x80)
    return bytes(reversed(found))


def on(pitch: int, channel: int = 0) -> bytes:
    """A note begins."""
    return bytes([0x90 | channel, pitch, 64])


def off(pitch: int, channel: int = 0) -> bytes:
    """A note ends."""
    return bytes([0x80 | channel, pitch, 0])


def meta(kind: int, content: bytes) -> bytes:
    """A meta event."""
    return bytes([0xFF, kind]) + number(len(content)) + content


def lyric(text: str) -> bytes:
    """A lyric event."""
    return meta(0x05, text.encode())


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk."""
    return kind + len(body).to_bytes(4, "big") + body


def midi(*tracks: Sequence[Event], division: int = 4, layout: int = 1) -> bytes:
    """A file of tracks, by default of four ticks a quarter."""
    header = b"".join(value.to_bytes(2, "big") for value in (layout, len(tracks), division))
    bodies = (b"".join(number(delta) + message for delta, message in track) for track in tracks)
    return chunk(b"MThd", header) + b"".join(chunk(b"MTrk", body + b"\0\xff\x2f\0") for body in bodies)


def tune(*texts: str) -> list[Event]:
    """Quarters from middle C upwards, one for each text; none is sung where the text is empty."""
    events: list[Event] = []
    for step, text in enumerate(texts):
        events += [(0, lyric(text))] if text else []
        events += [(0, on(60 + step)), (4, off(60 + step))]
    return events
