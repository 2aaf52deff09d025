"""Conditions left out at random, so that a model meets the emptier prompts which guidance leads away from.

LeVo's first stage leaves out the audio prompt and the description half of the time each (arXiv 2506.07520).
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping
from typing import Any

from prefalign.data.build import derive_seed
from prefalign.interfaces import PrefalignError, PreferenceRecord, Prompt, Stage, StageReport, unknown_name

#: Stands for the prompt's text among the names.
TEXT = "text"


class DropConditions(Stage):
    """Each record once, without those of its conditions that its draws leave out.

    A draw depends on seed, record id and name alone, so that neither order nor other records change it. Prompts that
    responses bring as their own `context` lose the same.

    Args:
        probabilities: in [0, 1] by the condition's name; `text` is the prompt's text. What is not named stays.

    Raises:
        PrefalignError: for no names, and probabilities out of range.
    """

    def __init__(self, probabilities: Mapping[str, float]) -> None:
        if not probabilities or not all(0 <= value <= 1 for value in probabilities.values()):
            raise PrefalignError(
                f"expected probabilities in [0, 1] by the conditions' names, got {dict(probabilities)}"
            )
        self.probabilities = dict(probabilities)

    def __call__(
        self, records: Iterator[PreferenceRecord], seed: int, report: StageReport
    ) -> Iterator[PreferenceRecord]:
        """The records, with their ids.

        Raises:
            PrefalignError: at the end, for a condition that no record had.
        """
        met: set[str] = set()
        for record in records:
            report.seen += 1
            prompts = [record.prompt, *(response.context for response in record.responses if response.context)]
            for prompt in prompts:
                met |= prompt.conditions.keys() | ({TEXT} if prompt.text else set())
            dropped = {
                name
                for name, probability in self.probabilities.items()
                if random.Random(derive_seed(seed, record.id, name)).random() < probability
            }
            responses = tuple(
                dataclasses.replace(response, context=_without(response.context, dropped))
                if response.context
                else response
                for response in record.responses
            )
            report.made += 1
            yield dataclasses.replace(record, prompt=_without(record.prompt, dropped), responses=responses)
        for name in self.probabilities:
            if report.seen and name not in met:
                raise unknown_name("condition", name, met)

    def settings(self) -> dict[str, Any]:
        """What decides the output."""
        return {"probabilities": self.probabilities}


def _without(prompt: Prompt, dropped: set[str]) -> Prompt:
    conditions = {name: value for name, value in prompt.conditions.items() if name not in dropped}
    return dataclasses.replace(prompt, text=None if TEXT in dropped else prompt.text, conditions=conditions)
