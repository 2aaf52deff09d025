"""Weights of corrected answers. In the vectors gamma is 5, the last number is the end token's."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefalign.interfaces import (
    Group,
    Media,
    Pair,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    RecordError,
    Response,
    Segment,
    StageReport,
    Unary,
)
from prefalign.objectives.dpo import DPO
from prefalign.policies.reference import Frozen
from prefalign.training.tuning import PreferenceTuning
from prefalign_vision_llm.corrections.builder import MarkCorrections, correction, marked, segments, verified

TEXTS = st.lists(st.sampled_from(["a", "and", "cup", "pan", "."]), min_size=1, max_size=12).map(" ".join)
IMAGE = Media(kind="image", path="1.png")

#: Rejected, chosen, and for each scheme the weights of chosen and rejected.
CASES = {
    "deletion": (
        ("a cup and a pan and a plate .", "a cup and a plate ."),
        {
            "decision": ([1, 1, 1, 1, 5, 1, 1], [1, 1, 1, 1, 5, 5, 5, 1, 1, 1]),
            "spans": ([1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 5, 5, 5, 1, 1, 1]),
            "released": ([1] * 7, [1] * 10),
            "none": ([1] * 7, [1] * 10),
        },
    ),
    "replacement": (
        ("a cup and a dog .", "a cup and a tree ."),
        {
            "decision": ([1, 1, 1, 1, 5, 1, 1], [1, 1, 1, 1, 5, 1, 1]),
            "spans": ([1, 1, 1, 1, 5, 1, 1], [1, 1, 1, 1, 5, 1, 1]),
            # The full stop and the end are a run of two: too short to count as equal.
            "released": ([1, 1, 1, 1, 5, 5, 5], [1, 1, 1, 1, 5, 5, 5]),
        },
    ),
    "insertion": (
        ("a cup .", "a cup and a plate ."),
        {
            "decision": ([1, 1, 5, 5, 5, 1, 1], [1, 1, 5, 1]),
            "spans": ([1, 1, 5, 5, 5, 1, 1], [1, 1, 1, 1]),
            # Without the short run `. end` both sides have something: `and a plate . end` for `. end`.
            "released": ([1, 1, 5, 5, 5, 5, 5], [1, 1, 5, 5]),
        },
    ),
    "deletion at the end": (
        ("a cup . a pan .", "a cup ."),
        {
            "decision": ([1, 1, 1, 5], [1, 1, 1, 5, 5, 5, 1]),
            "spans": ([1, 1, 1, 1], [1, 1, 1, 5, 5, 5, 1]),
            "released": ([1, 1, 1, 5], [1, 1, 1, 5, 5, 5, 5]),
        },
    ),
    "one word for another": (("yes", "no"), {"decision": ([5, 1], [5, 1]), "released": ([5, 5], [5, 5])}),
}


def weights(family: Any, record: PreferenceRecord) -> tuple[list[float], list[float]]:
    chosen, rejected = family.codec().encode(record).rows
    return chosen.weights, rejected.weights


@pytest.mark.parametrize(
    ("case", "scheme"), [(case, scheme) for case, (_, schemes) in CASES.items() for scheme in schemes]
)
def test_weights_by_hand(
    llava_family: Any, make_record: Callable[..., PreferenceRecord], case: str, scheme: Any
) -> None:
    (rejected, chosen), expected = CASES[case]
    record = make_record(1, chosen=chosen, rejected=rejected)
    tokenizer = llava_family.processor.tokenizer
    assert weights(llava_family, marked(record, 5.0, scheme, tokenizer)) == expected[scheme]
    if scheme != "released":
        assert weights(llava_family, marked(record, 5.0, scheme)) == expected[scheme]


def test_annotated_spans_replace_the_comparison(
    llava_family: Any, make_record: Callable[..., PreferenceRecord]
) -> None:
    """The annotator calls `cup and a pan` wrong as a whole, of which a comparison would see but `pan`."""
    places = {"chosen_spans": [[2, 15]], "rejected_spans": [[2, 15]]}
    record = make_record(1, chosen="a cup and a dog .", rejected="a cup and a pan .", provenance=places)
    assert weights(llava_family, marked(record, 5.0)) == ([1, 5, 5, 5, 5, 1, 1], [1, 5, 5, 5, 5, 1, 1])


def test_annotated_deletions_are_moved_too(llava_family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """`and a pan` was crossed out, between `cup` and `and`; the texts part at `plate`, not at `and`."""
    places = {"chosen_spans": [[5, 5]], "rejected_spans": [[6, 15]]}
    (rejected, chosen), expected = CASES["deletion"]
    record = make_record(1, chosen=chosen, rejected=rejected, provenance=places)
    for scheme in ("decision", "spans"):
        assert weights(llava_family, marked(record, 5.0, scheme)) == expected[scheme]


@given(TEXTS, TEXTS)
def test_marks_stay_inside_and_identical_texts_have_none(chosen: str, rejected: str) -> None:
    for scheme in ("none", "spans", "decision"):
        for text, found in zip((chosen, rejected), segments(chosen, rejected, 3.0, scheme), strict=True):
            assert all(0 <= s.start < s.stop <= len(text) + 1 and s.weight == 3.0 for s in found)
            assert all(a.stop <= b.start for a, b in itertools.pairwise(found))
            if chosen == rejected or scheme == "none":
                assert not found


@given(TEXTS, TEXTS)
def test_decisions_add_to_spans_and_mark_both_sides(chosen: str, rejected: str) -> None:
    """Every place that differs has a mark in both answers; those of `spans` are among them."""
    more, fewer = segments(chosen, rejected, 2.0), segments(chosen, rejected, 2.0, "spans")
    assert len(more[0]) == len(more[1])
    assert all(set(some) <= set(all_) for some, all_ in zip(fewer, more, strict=True))


def test_gamma_one_is_plain_dpo(llava_family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """Weights of 1 leave the loss as it is, summed or averaged; weights of 5 do not, and sum up as they should."""
    plain = make_record(1, chosen="a cup and a plate .", rejected="a cup and a pan and a plate .")
    policy = llava_family.policy()
    reference = Frozen()
    reference.configure(policy)
    with torch.no_grad():
        policy.network.lm_head.weight.mul_(1.2)
    for average in (False, True):
        tuning = PreferenceTuning(policy, DPO(beta=0.5, average=average), reference)
        losses = {}
        for name, record in {"plain": plain, "one": marked(plain, 1.0), "five": marked(plain, 5.0)}.items():
            losses[name] = tuning.evaluate_batch(policy.collate([policy.encode(record)])).loss
        assert torch.equal(losses["plain"], losses["one"])
        assert (losses["plain"] - losses["five"]).abs() > 1e-3
    scores = policy.scores(policy.collate([policy.encode(marked(plain, 5.0))]))
    expected = scores.token_logps.sum(-1) + 4 * torch.stack(
        [scores.token_logps[0][scores.mask[0]][4], scores.token_logps[1][scores.mask[1]][4:7].sum()]
    )
    torch.testing.assert_close(scores.logps, expected)


def run(stage: MarkCorrections, *records: PreferenceRecord) -> tuple[list[PreferenceRecord], StageReport]:
    report = StageReport()
    return list(stage(iter(records), 0, report)), report


def test_the_stage_marks_pairs_and_passes_the_rest(make_record: Callable[..., PreferenceRecord]) -> None:
    """The chosen answer may stand second; segments of an earlier marking go."""
    old = Response(text="a cup .", segments=(Segment(0, 1, 9.0),))
    pair = PreferenceRecord(
        id="turned", prompt=Prompt(text="?"), responses=(Response(text="a pan ."), old), verdict=Pair(1, 0)
    )
    others = [
        verified("v", IMAGE, "?", "a cup ."),
        PreferenceRecord(id="g", prompt=Prompt(), responses=(old, Response(text="b")), verdict=Group((1.0, 0.0))),
        PreferenceRecord(
            id="ids", prompt=Prompt(), responses=(Response(token_ids=(1,)), Response(token_ids=(2,))), verdict=Pair()
        ),
    ]
    (first, *rest), report = run(MarkCorrections(), pair, *others)
    assert [response.segments for response in first.responses] == [(Segment(2, 5, 5.0),), (Segment(2, 5, 5.0),)]
    assert rest == others
    assert (report.seen, report.made, report.dropped) == (4, 4, {})
    assert run(MarkCorrections(scheme="none"), first)[0][0].responses[0].segments == ()
    assert run(MarkCorrections(gamma=2.0), first)[0][0].responses[0].segments == (Segment(2, 5, 2.0),)


def test_the_stage_reads_its_tokenizer(llava_family: Any, tmp_path: Any, make_record: Any) -> None:
    llava_family.processor.tokenizer.save_pretrained(tmp_path)
    stage = MarkCorrections(1.1, "released", str(tmp_path))
    (record,), _ = run(stage, make_record(1, chosen="a cup .", rejected="a dog ."))
    assert record.responses[0].segments == (Segment(2, 8, 1.1),)
    assert json.loads(json.dumps(stage.settings())) == {"gamma": 1.1, "scheme": "released", "tokenizer": str(tmp_path)}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"scheme": "decisions"}, "unknown scheme 'decisions'; did you mean 'decision'"),
        ({"scheme": "released"}, "compares tokens: give it the policy's tokenizer"),
        ({"gamma": float("nan")}, "expected a finite gamma, got nan"),
    ],
)
def test_bad_settings_are_refused_at_once(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(PrefalignError, match=problem):
        MarkCorrections(**arguments)


@pytest.mark.parametrize(
    ("places", "problem"),
    [
        ({"chosen_spans": [[0, 1]]}, "both lists of"),
        ({"chosen_spans": [[0, 1]], "rejected_spans": [["0", 1]]}, "both lists of"),
        ({"chosen_spans": [[0, 1]], "rejected_spans": [[0, 999]]}, r"annotated span \[0, 999\)"),
    ],
)
def test_bad_annotations_name_their_record(
    make_record: Callable[..., PreferenceRecord], places: dict[str, Any], problem: str
) -> None:
    with pytest.raises(RecordError, match=problem) as error:
        marked(make_record(1, provenance=places), 5.0)
    assert (error.value.record_id, error.value.field) == ("images (1,)", "provenance")


def test_corrections_from_their_parts() -> None:
    """Annotated spans are kept with the pair, so that it can be marked anew by another scheme."""
    record = correction(
        "c", IMAGE, "describe", "a cup .", "a cup and a pan .", annotated=([(5, 5)], [(6, 15)]), source="me"
    )
    assert record.prompt.media == (IMAGE,)
    assert record.prompt.messages[0].text == "describe"
    assert [r.segments for r in record.responses] == [(Segment(6, 7, 5.0),), (Segment(6, 15, 5.0),)]
    assert record.provenance == {"chosen_spans": [[5, 5]], "rejected_spans": [[6, 15]]}
    assert [r.segments for r in marked(record, 5.0, "spans").responses] == [(), (Segment(6, 15, 5.0),)]
    assert record.source == "me"


def test_verified_answers_are_desirable() -> None:
    record = verified("v", IMAGE, "is there a cup ?", "yes", weight=0.5)
    assert record.verdict == Unary((True,))
    assert (record.responses[0].text, record.weight) == ("yes", 0.5)
