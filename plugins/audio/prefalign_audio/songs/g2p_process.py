"""A process that loads espeak-ng, says how words are spoken, and ends (`python -m prefalign_audio.songs.g2p_process`).

It keeps a GPL library out of the process that asks. Reads one JSON object from standard input,
`{"language": "de", "words": […]}`, and writes one: `{"phonemes": [[…], …]}`, without marks of stress, or
`{"error", "missing"}`. Imports the standard library only, so that it starts fast.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from typing import Any

# Constants of espeak-ng's speak_lib.h: output is not played, characters are UTF-8, phonemes are IPA with an underscore
# between them.
_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000
_UTF8 = 1
_IPA, _SEPARATOR = 0x02, ord("_") << 8
# Marks of stress, and of words for which it changes to another language's rules and back: `(en)`, `(de)`.
_MARKS = re.compile(r"[ˈˌ]|\([\w-]*\)")


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Phonemes of a request's words; see above."""
    try:
        import espeakng_loader
    except ImportError:
        return {"error": "espeakng_loader is not installed", "missing": True}
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    if library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DONT_EXIT) <= 0:
        return {"error": f"espeak-ng does not start with the data in {data.decode()}", "missing": False}
    if library.espeak_SetVoiceByName(request["language"].encode()) != 0:
        return {"error": f"espeak-ng has no voice {request['language']!r}", "missing": False}
    translate = library.espeak_TextToPhonemes
    translate.argtypes = (ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int)
    translate.restype = ctypes.c_char_p
    return {"phonemes": [_phonemes(translate, word) for word in request["words"]]}


def _phonemes(translate: Any, word: str) -> list[str]:
    text = ctypes.c_char_p(word.encode())
    found: list[str] = []
    # A call translates one clause, moves the pointer behind it, and sets it to null behind the last.
    while text.value:
        clause = (translate(ctypes.byref(text), _UTF8, _IPA | _SEPARATOR) or b"").decode("utf-8", "replace")
        found += [name for part in _MARKS.sub("", clause).split() for name in part.split("_") if name]
    return found


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
