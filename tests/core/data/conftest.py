"""Records for the data tests: a strategy for arbitrary ones, and a cache of the test's own."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from prefalign.interfaces.record import Media, Message, PreferenceRecord, Prompt, Response, Segment, Slot
from prefalign.interfaces.verdict import Group, Pair, Ranking, Unary

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
SAID = TEXT.filter(lambda text: bool(text.strip()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
FREE = st.dictionaries(TEXT, JSON, max_size=2)
MEDIUM = st.builds(Media, kind=NAME, path=NAME) | st.builds(Media, kind=NAME, data=st.binary(min_size=1, max_size=8))
DTYPES = st.sampled_from(["<f4", "<f8", "<f2", ">f4", "<i8", "<i4", "|u1", "|b1", "<c8"]).map(np.dtype)
ARRAY = DTYPES.flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
SEGMENT = st.builds(
    lambda start, length, weight, axis: Segment(start, start + length, weight, axis),
    st.integers(0, 99),
    st.integers(1, 99),
    FINITE,
    st.sampled_from(["char", "token", "step"]),
)


@st.composite
def messages(draw: st.DrawFn, slots: bool = False) -> tuple[Message, ...]:
    part = SAID | (st.builds(Slot, NAME) if slots else st.nothing())
    content = st.lists(part, min_size=1, max_size=3).map(tuple)
    return tuple(draw(st.lists(st.builds(Message, NAME, content), min_size=1, max_size=2)))


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    conditions = draw(FREE)
    if draw(st.booleans()):
        return Prompt(
            text=draw(st.none() | TEXT), media=tuple(draw(st.lists(MEDIUM, max_size=2))), conditions=conditions
        )
    turns = draw(messages(slots=True))
    kinds = [part.kind for turn in turns for part in turn.content if isinstance(part, Slot)]
    media = tuple(draw(MEDIUM.map(lambda m, kind=kind: Media(kind=kind, path=m.path, data=m.data))) for kind in kinds)
    return Prompt(messages=turns, media=media, conditions=conditions)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    said: dict[str, Any] = draw(
        st.fixed_dictionaries({"text": SAID}) | st.builds(lambda m: {"messages": m}, messages(True))
    )
    more: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "token_ids": st.lists(st.integers(0, 2**31), max_size=4).map(tuple),
                "media": st.lists(MEDIUM, max_size=2).map(tuple),
                "arrays": st.dictionaries(NAME, ARRAY, max_size=2),
                "segments": st.lists(SEGMENT, max_size=2).map(tuple),
                "context": prompts(),
                "scores": st.dictionaries(NAME, FINITE, max_size=2),
                "ref_logp": FINITE,
                "source": TEXT,
            },
        )
    )
    if draw(st.booleans()) and any(more.get(name) for name in ("token_ids", "media", "arrays")):
        said = {}
    return Response(**said, **more)


def verdicts(count: int) -> st.SearchStrategy[Any]:
    """Verdicts that fit `count` responses."""
    kinds: list[st.SearchStrategy[Any]] = [
        st.builds(Ranking, st.tuples(*[st.integers(0, 5)] * count)),
        st.builds(Unary, st.tuples(*[st.booleans()] * count)),
        st.builds(Group, st.tuples(*[FINITE] * count)),
    ]
    if count > 1:
        ends = st.permutations(range(count)).map(lambda order: order[:2])
        kinds.append(st.builds(lambda e, p: Pair(*e, probability=p), ends, st.floats(0, 1)))
        kinds.append(st.builds(lambda e, p: Pair(*e, probability=p, tie=True), ends, st.sampled_from([0.5, 1.0])))
    return st.one_of(kinds)


@st.composite
def records(draw: st.DrawFn) -> PreferenceRecord:
    answers = [draw(responses()) for _ in range(draw(st.integers(1, 3)))]
    for i, answer in enumerate(answers):  # a plain pair of equal responses is refused
        answers[i] = Response(**{n: getattr(answer, n) for n in Response.__slots__} | {"token_ids": (i,)})
    return PreferenceRecord(
        id=draw(NAME),
        prompt=draw(prompts()),
        responses=tuple(answers),
        verdict=draw(verdicts(len(answers))),
        criteria=draw(st.dictionaries(NAME, verdicts(len(answers)), max_size=2)),
        margin=draw(st.none() | st.floats(0, 1e9)),
        weight=draw(st.just(1.0) | st.floats(0, 1e9)),
        annotator=draw(st.none() | TEXT),
        source=draw(st.none() | TEXT),
        reference_answer=draw(st.none() | responses()),
        goal=draw(st.none() | st.lists(FINITE, max_size=3).map(tuple)),
        provenance=draw(FREE),
    )


@pytest.fixture(scope="session")
def any_record() -> st.SearchStrategy[PreferenceRecord]:
    """Arbitrary records: every field, every verdict, every payload."""
    return records()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that starts empty."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PREFALIGN_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """`png(color, size)`: the bytes of a picture of one colour."""

    def make(color: tuple[int, int, int] = (10, 20, 30), size: tuple[int, int] = (4, 3)) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", size, color).save(out, "PNG")
        return out.getvalue()

    return make


@pytest.fixture(scope="session")
def bomb() -> bytes:
    """A PNG of a few kilobytes that claims 50,000 × 50,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    packed = zlib.compress(b"\0" * 2**20)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
