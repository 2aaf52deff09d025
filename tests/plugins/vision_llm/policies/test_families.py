"""What must hold for every family of image-text models."""

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from prefalign.functional.logprobs import gathered_logps
from prefalign.interfaces import ObjectiveOutput, PreferenceRecord, Prompt
from prefalign.objectives.dpo import DPO
from prefalign.policies.cached import Cached
from prefalign.policies.reference import Frozen
from prefalign.training.tuning import PreferenceTuning
from prefalign_vision_llm.policies.chat_vlm import ChatVLM

# PaliGemma's processor makes an array of a tensor the old way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def forward(family: Any, model: Any, prompt: list[int], answer: list[int], side: Any) -> Tensor:
    """(1, T, V) logits by the model alone, on the pixels; how each family marks a response is spelled out here."""
    ids = torch.tensor([[*prompt, *answer]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    for name, value in side.items():
        if name == "token_type_ids" and family.name == "paligemma":
            inputs[name] = torch.cat([value, torch.ones(1, len(answer), dtype=torch.long)], 1)
        elif name == "mm_token_type_ids" or (name == "token_type_ids" and family.name == "gemma3"):
            inputs[name] = torch.cat([value, torch.zeros(1, len(answer), dtype=torch.long)], 1)
        elif name != "token_type_ids":
            inputs[name] = value
    return model(**inputs, use_cache=False).logits


def plain_logps(family: Any, model: Any, record: PreferenceRecord, index: int) -> Tensor:
    """(T,) log-probabilities of a response's tokens from full logits."""
    row = family.codec().encode(record).rows[index]
    logits = forward(family, model, row.prompt, row.completion, row.side)[:, len(row.prompt) - 1 : -1]
    return gathered_logps(logits, torch.tensor([row.completion]))[0]


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


def test_repeated_pixels_give_the_same(family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """The path of models that cannot take encoder outputs: pixels per row."""
    policy, plain = family.policy(), family.policy(share_vision=False)
    examples = [policy.encode(make_record(1)), policy.encode(make_record(2, 3))]
    assert policy.share_vision
    shared = policy.scores(policy.collate(examples)).token_logps
    torch.testing.assert_close(plain.scores(plain.collate(examples)).token_logps, shared, rtol=1e-5, atol=1e-5)


def test_the_image_is_seen(family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    policy = family.policy()
    first, second = (policy.scores(policy.collate([policy.encode(make_record(seed))])).logps for seed in (1, 2))
    assert (first - second).abs().max() > 1e-3


def count_passes(policy: Any) -> list[int]:
    """A list that grows by the number of images (or patches) at every pass of the vision tower."""
    (tower,) = policy._vision.tower.values()
    passes: list[int] = []

    def note(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        passes.append(len(args[0] if args else kwargs["pixel_values"]))

    tower.register_forward_pre_hook(note, with_kwargs=True)
    return passes


def evaluate(policy: Any, reference: Any, batch: Any) -> ObjectiveOutput:
    return PreferenceTuning(policy, DPO(beta=0.1), reference).evaluate_batch(batch)


def test_one_vision_pass_serves_rows_and_reference(family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """Two contexts of one image each, four rows, policy and frozen copy: one pass over two images."""
    policy = family.policy()
    reference = Frozen()
    reference.configure(policy)
    passes = count_passes(policy)
    batch = policy.collate([policy.encode(make_record(1)), policy.encode(make_record(2))])
    loss = evaluate(policy, reference, batch).loss
    assert len(passes) == 1
    # Where a copy shared nothing, it would make a pass of its own; and four rows would show twice as many images.
    (pixels,) = (value for name, value in batch.inputs.items() if name == "image/pixel_values")
    assert passes[0] <= pixels.shape[0] * (pixels.shape[1] if pixels.dim() == 5 else 1)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)


def test_a_trained_tower_is_run_again(family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """The reference's tower is another one as soon as the policy's is trained: nothing may be shared."""
    policy = family.policy(train_vision="all")
    reference = Frozen()
    reference.configure(policy)
    mine, theirs = count_passes(policy), count_passes(reference.copy)
    batch = policy.collate([policy.encode(make_record(1))])
    out = evaluate(policy, reference, batch)
    assert len(mine) == len(theirs) == 1
    assert out.loss.item() == pytest.approx(math.log(2), abs=1e-6)
    with torch.no_grad():
        for parameter in policy._vision.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    assert evaluate(policy, reference, batch).margins.abs().max() > 1e-4


def test_rows_know_nothing_of_their_neighbours(family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    """Order of records, images and lengths of others (hence padding) leave each row's numbers as they are."""
    policy = family.policy()
    records = [make_record(1), make_record(2, 3, chosen="yes ."), make_record(4, chosen="a dog and a cup and a tree .")]
    examples = [policy.encode(record) for record in records]
    alone = [policy.scores(policy.collate([example])).logps for example in examples]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        together = policy.scores(policy.collate([examples[i] for i in order])).logps
        torch.testing.assert_close(together, torch.cat([alone[i] for i in order]), rtol=1e-5, atol=1e-5)


def test_cached_reference_equals_a_live_one(
    family: Any, make_record: Callable[..., PreferenceRecord], tmp_path: Path
) -> None:
    policy = family.policy()
    batch = policy.collate([policy.encode(make_record(1)), policy.encode(make_record(2, 3))])
    live, cached = Frozen(), Cached(str(tmp_path))
    for reference in (live, cached):
        reference.configure(policy)
    cached.prepare(policy, [[batch]], None)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1)
    batch = policy.collate([policy.encode(make_record(1)), policy.encode(make_record(2, 3))])
    expected = live.scores(policy, batch)
    torch.testing.assert_close(cached.scores(policy, batch).logps, expected.logps, rtol=0, atol=0)
    assert (policy.scores(batch).logps - expected.logps).abs().max() > 1e-3


def test_sampling_follows_the_model(family: Any, make_prompt: Callable[..., Prompt]) -> None:
    """Greedy answers to two prompts of unequal length, padded on the left, are those of the model step by step."""
    policy, model, steps = family.policy(), family.model(), 4
    prompts = [make_prompt(1), make_prompt(2, 3, text="what differs ?")]
    answers = policy.sample(prompts, max_new_tokens=steps)
    codec, tokenizer = policy.codec, policy.codec.tokenizer
    for prompt, (answer,) in zip(prompts, answers, strict=True):
        ids: list[int] = []
        while len(ids) < steps and ids[-1:] != [tokenizer.eos_token_id]:
            side = codec.context(prompt)
            logits = forward(family, model, side.ids, ids, side.side)[0, -1]
            logits[[codec.image_token_id, codec.placeholder_id]] = -math.inf
            if (video := getattr(model.config, "video_token_id", None)) is not None:
                logits[video] = -math.inf
            ids.append(int(logits.argmax()))
        assert answer.text == tokenizer.decode(ids, skip_special_tokens=True)


def test_samples_have_no_image_tokens(family: Any, make_prompt: Callable[..., Prompt]) -> None:
    """At a temperature at which every token is as likely as any, none of 200 is an image's."""
    policy = family.policy()
    codec = policy.codec
    kept: list[Tensor] = []
    decode = codec.tokenizer.batch_decode
    with mock.patch.object(codec.tokenizer, "batch_decode", lambda ids, **kw: (kept.append(ids), decode(ids, **kw))[1]):
        answers = policy.sample(
            [make_prompt(1), make_prompt(2, 3)],
            10,
            generator=torch.Generator().manual_seed(0),
            max_new_tokens=10,
            temperature=1e3,
        )
    assert [len(found) for found in answers] == [10, 10]
    assert len(set(kept[0].flatten().tolist())) > 20
    assert not {codec.image_token_id, codec.placeholder_id} & set(kept[0].flatten().tolist())


def test_saved_folder_loads_without_us(
    family: Any, make_record: Callable[..., PreferenceRecord], tmp_path: Path
) -> None:
    policy, record = family.policy(), make_record(1)
    policy.model.save_pretrained(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    scores = policy.scores(policy.collate([policy.encode(record)]))
    torch.testing.assert_close(plain_logps(family, model, record, 0).sum(), scores.logps[0], rtol=1e-5, atol=1e-5)
    if family.loads:
        policy.save_pretrained(tmp_path)
        again = ChatVLM(str(tmp_path))
        again.configure_model()
        assert type(AutoProcessor.from_pretrained(tmp_path)) is type(family.processor)
        assert again.codec.fingerprint() == policy.codec.fingerprint()
        torch.testing.assert_close(again.scores(again.collate([again.encode(record)])).logps, scores.logps)


def test_pickled_codec_encodes_alike(family: Any, make_record: Callable[..., PreferenceRecord]) -> None:
    codec, record = family.codec(), make_record(1)
    twin = pickle.loads(pickle.dumps(codec))
    assert [row.key for row in twin.encode(record).rows] == [row.key for row in codec.encode(record).rows]
    assert twin.fingerprint() == codec.fingerprint()
