"""A process that loads espeak-ng, speaks what it is asked for and ends (`python -m …songs.espeak_process`).

espeak-ng's wave generator goes on where the last utterance left it, and nothing but a fresh library resets it; so every
song is spoken by a process of its own, which makes its sound repeat. It also keeps a GPL library out of this one.

Reads one JSON object from standard input, `{"language": "de", "utterances": [{"text", "phonemes", "hertz", "speed"}]}`,
and writes one: `{"rate", "utterances": [{"samples": base64 of int16, "events": [[frame, name], …]}]}` or
`{"error", "missing"}`. Imports the standard library only, so that it starts fast.
"""

from __future__ import annotations

import base64
import ctypes
import json
import sys
from typing import Any

# Constants of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT = 2, 1, 0x8000
_CHARACTERS, _UTF8, _PHONEMES = 1, 1, 0x100
_RATE_PARAMETER = 1
_LIST_END, _PHONEME = 0, 7


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("pointer", ctypes.c_char_p), ("text", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("frame", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("name", _Name),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Speak a request; see above."""
    try:
        import espeakng_loader
    except ImportError:
        return {"error": "espeakng_loader is not installed", "missing": True}
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DONT_EXIT)
    if rate <= 0:
        return {"error": f"espeak-ng does not start with the data in {data.decode()}", "missing": False}
    samples, events = bytearray(), list[list[Any]]()

    def hear(wave: Any, count: int, event: Any) -> int:
        if wave and count > 0:
            samples.extend(ctypes.string_at(wave, 2 * count))
        index = 0
        while event[index].type != _LIST_END:
            if event[index].type == _PHONEME:
                events.append([event[index].frame, event[index].name.text.decode("utf-8", "replace")])
            index += 1
        return 0

    callback = _CALLBACK(hear)  # held here: the library keeps a bare pointer
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(request["language"].encode()) != 0:
        return {"error": f"espeak-ng has no voice {request['language']!r}", "missing": False}
    spoken = []
    for utterance in request["utterances"]:
        samples.clear()
        events.clear()
        library.espeak_SetParameter(_RATE_PARAMETER, utterance["speed"], 0)
        library.espeak_ng_SetConstF0(utterance["hertz"])
        text = utterance["text"].encode()
        flags = _UTF8 | (_PHONEMES if utterance["phonemes"] else 0)
        library.espeak_Synth(text, len(text) + 1, 0, _CHARACTERS, 0, flags, None, None)
        library.espeak_Synchronize()
        spoken.append({"samples": base64.b64encode(samples).decode(), "events": list(events)})
    library.espeak_Terminate()
    return {"rate": rate, "utterances": spoken}


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
