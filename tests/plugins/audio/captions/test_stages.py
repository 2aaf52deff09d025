"""Records with a second caption: what is made, and what is left out and why, whatever the stream's order."""

from typing import Any

import pytest

from prefalign.data.build import run_stages
from prefalign.interfaces import (
    Message,
    PrefalignError,
    PreferenceRecord,
    Prompt,
    RecordError,
    Response,
    Stage,
    StageReport,
    Unary,
)
from prefalign_audio.captions.stages import PerturbCaption, RewriteCaption, perturbed_prompt

VOCABULARY = ("thunder", "rain", "a gun")


def record(text: str | None, name: str = "r", **fields: Any) -> PreferenceRecord:
    given: dict[str, Any] = {"prompt": Prompt(text=text), "responses": (Response(text="-"),)}
    return PreferenceRecord(id=name, verdict=Unary((True,)), **given | fields)


def ran(stage: Stage, *records: PreferenceRecord, seed: int = 0) -> tuple[list[PreferenceRecord], StageReport]:
    report = StageReport()
    return list(run_stages(records, [stage], seed, [report])), report


def captions(found: list[PreferenceRecord]) -> list[tuple[str, str, str]]:
    return [(r.id, str(r.provenance["perturbation"]), str(r.provenance["perturbed_caption"])) for r in found]


def test_one_record_a_kind() -> None:
    stage = PerturbCaption(("swap", "replace"), VOCABULARY)
    found, report = ran(stage, record("bird then bell", provenance={"from": "x"}))
    (swapped, replaced) = captions(found)
    assert swapped == ("r/swap", "swap", "bell then bird")
    assert replaced[2] in {f"{new} then bell" for new in VOCABULARY} | {f"bird then {new}" for new in VOCABULARY}
    assert [r.prompt.text for r in found] == ["bird then bell"] * 2
    assert found[0].provenance["from"] == "x"
    assert (report.seen, report.made, report.dropped) == (1, 2, {})
    assert stage.settings() == {"kinds": ["swap", "replace"], "vocabulary": list(VOCABULARY)}


def test_what_cannot_be_perturbed_is_counted() -> None:
    chat = record(None, "chat", prompt=Prompt(messages=(Message("user", ("bird then bell",)),)))
    records = (record("a bird sings", "one"), record("rain and a gun", "two"), chat, record("rain then hail", "three"))
    found, report = ran(PerturbCaption(("swap", "drop", "replace"), ["rain", "a gun"]), *records)
    assert [item.id for item in found] == ["two/drop", "three/swap", "three/drop", "three/replace"]
    assert report.dropped == {
        "the caption cannot be taken apart into events": 1,
        "swap: the caption states no order of two different events": 1,
        "replace: the vocabulary has no event that the caption lacks": 1,
        "the prompt is not a text": 1,
    }


def test_choices_hang_on_seed_and_id_alone() -> None:
    stage = PerturbCaption(("drop", "replace"), VOCABULARY)
    records = [record("bird, bell, and then a dog", f"r{i}") for i in range(12)]
    found, _ = ran(stage, *records)
    assert [made for r in reversed(records) for made in ran(stage, r)[0]] == [
        made for i in reversed(range(12)) for made in found[2 * i : 2 * i + 2]
    ]
    assert len({made[2] for made in captions(found) if made[1] == "drop"}) == 3
    assert ran(stage, *records, seed=1)[0] != found


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((("swop",),), "unknown perturbation 'swop'; did you mean 'swap'"),
        (((),), "at least one perturbation of swap, drop, replace"),
        ((("replace",),), "'replace' needs a vocabulary"),
    ],
)
def test_settings_that_make_no_sense(arguments: Any, problem: str) -> None:
    with pytest.raises(PrefalignError, match=problem):
        PerturbCaption(*arguments)


def test_a_function_rewrites() -> None:
    """Answers in the order of the records: another caption, the same but for a capital, nothing."""
    answers = {"rain": "hail", "a dog": "A dog.", "wind": " … "}
    found, report = ran(RewriteCaption(answers.__getitem__, "llm"), *(record(text, text) for text in answers))
    assert captions(found) == [("rain/llm", "llm", "hail")]
    assert report.dropped == {"the perturbed caption says the same": 1, "the perturbed caption is empty": 1}


def test_the_settings_name_the_function() -> None:
    class Model:
        def __call__(self, caption: str) -> str:
            return caption

        def settings(self) -> dict[str, Any]:
            return {"model": "some/model"}

    settings = RewriteCaption(Model(), "llm").settings()
    assert settings["kind"] == "llm"
    assert settings["rewrite"]["model"] == "some/model"
    assert settings["rewrite"]["class"].endswith(".Model")
    assert RewriteCaption(captions).settings()["rewrite"] == {"class": f"{__name__}.captions"}


def test_the_prompt_for_the_perturbed_caption_has_its_own_events() -> None:
    conditions = {"events": ["bird", "bell"], "task": "temporal"}
    given = record("bird then bell", prompt=Prompt(text="bird then bell", conditions=conditions))
    (made,), _ = ran(PerturbCaption(("swap",)), given)
    assert perturbed_prompt(made) == Prompt(
        text="bell then bird", conditions={"events": ["bell", "bird"], "task": "temporal"}
    )
    assert made.prompt == given.prompt
    with pytest.raises(RecordError, match=r"record 'r', field 'provenance.perturbed_caption': expected a perturbed"):
        perturbed_prompt(given)
