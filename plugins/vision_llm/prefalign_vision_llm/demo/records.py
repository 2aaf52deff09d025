"""The annotator's judgements as preference records: corrections with weighted segments, verified answers as labels."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from prefalign.data.store import write_jsonl
from prefalign.interfaces.record import Media, Message, PreferenceRecord, Prompt, Response, Segment, Slot
from prefalign.interfaces.verdict import Pair, Unary
from prefalign_vision_llm.demo.annotator import Annotations, Correction, Span, Verified


def _prompt(image: str, text: str) -> Prompt:
    message = Message("user", (Slot("image"), text))
    return Prompt(messages=(message,), media=(Media(kind="image", path=image),))


def _response(text: str, spans: Sequence[Span], gamma: float) -> Response:
    segments = () if gamma == 1.0 else tuple(Segment(start, stop, gamma) for start, stop in spans)
    return Response(text=text, segments=segments)


def correction_record(item: Correction, number: int, image: str, gamma: float) -> PreferenceRecord:
    """A correction as a pair whose changed segments weigh `gamma` (RLHF-V, arXiv 2312.00849 eq. 5); 1 gives plain DPO.

    A deletion is marked on the chosen side by the word that follows it, where the two texts part.
    """
    return PreferenceRecord(
        id=f"{item.kind}-pair-{number:05d}",
        prompt=_prompt(image, item.prompt),
        responses=(
            _response(item.chosen, item.chosen_spans, gamma),
            _response(item.rejected, item.rejected_spans, gamma),
        ),
        verdict=Pair(),
        source="scripted annotator",
    )


def verified_record(item: Verified, number: int, image: str) -> PreferenceRecord:
    """An answer in which nothing was wrong, as a desirable response without a counterpart."""
    return PreferenceRecord(
        id=f"{item.kind}-verified-{number:05d}",
        prompt=_prompt(image, item.prompt),
        responses=(Response(text=item.response),),
        verdict=Unary((True,)),
        source="scripted annotator",
    )


def write_annotations(annotations: Annotations, images: Sequence[str], folder: Path, gamma: float = 5.0) -> None:
    """Write `pairs.jsonl`, the same pairs unweighted as `pairs-plain.jsonl`, and `verified.jsonl`.

    Args:
        annotations: what the annotator said.
        images: path of each correction image, relative to `folder`.
        folder: where to write.
        gamma: weight of changed segments in `pairs.jsonl`.
    """

    def pairs(weight: float) -> Iterable[PreferenceRecord]:
        for number, item in enumerate(annotations.corrections):
            yield correction_record(item, number, images[item.image], weight)

    write_jsonl(pairs(gamma), folder / "pairs.jsonl")
    write_jsonl(pairs(1.0), folder / "pairs-plain.jsonl")
    verified = (verified_record(item, n, images[item.image]) for n, item in enumerate(annotations.verified))
    write_jsonl(verified, folder / "verified.jsonl")
