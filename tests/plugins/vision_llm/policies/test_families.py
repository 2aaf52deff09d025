"""What must hold for every family of image-text models."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from prefalign.functional.logprobs import gathered_logps
from prefalign.interfaces import PreferenceRecord

# PaliGemma's processor makes an array of a tensor the old way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def plain_logps(family: Any, model: Any, record: PreferenceRecord, index: int) -> Tensor:
    """(T,) log-probabilities of a response's tokens by the model alone: its own processor, pixels, and full logits."""
    prompt = family.codec().encode(record).rows[index]
    ids = torch.tensor([[*prompt.prompt, *prompt.completion]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    for name, value in prompt.side.items():
        if name == "token_type_ids" and family.name == "paligemma":
            inputs[name] = torch.cat([value, torch.ones(1, len(prompt.completion), dtype=torch.long)], 1)
        elif name == "mm_token_type_ids" or (name == "token_type_ids" and family.name == "gemma3"):
            inputs[name] = torch.cat([value, torch.zeros(1, len(prompt.completion), dtype=torch.long)], 1)
        elif name != "token_type_ids":
            inputs[name] = value
    logits = model(**inputs, use_cache=False).logits
    return gathered_logps(logits[:, :-1], ids[:, 1:])[0, len(prompt.prompt) - 1 :]


def test_scores_are_those_of_the_model_on_pixels(family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """Values and gradients with one vision pass per context equal those of a pass per row over all logits."""
    records = [make_record(1), make_record(2, 3, chosen="yes .", rejected="no ."), make_record(4, chosen="a dog .")]
    policy = family.policy(train_vision="all")
    scores = policy.scores(policy.collate([policy.encode(record) for record in records]))
    model = family.model()
    expected = torch.stack([plain_logps(family, model, record, i).sum() for record in records for i in range(2)])
    torch.testing.assert_close(scores.logps, expected, rtol=1e-5, atol=1e-5)
    weights = torch.tensor([1.0, -0.5, 0.7, 2.0, -1.0, 0.3])
    (scores.logps * weights).sum().backward()
    (expected * weights).sum().backward()
    for (name, mine), theirs in zip(policy.network.named_parameters(), model.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None), name
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_pickled_codec_encodes_alike(family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    codec, record = family.codec(), make_record(1)
    twin = pickle.loads(pickle.dumps(codec))
    assert [row.key for row in twin.encode(record).rows] == [row.key for row in codec.encode(record).rows]
    assert twin.fingerprint() == codec.fingerprint()
