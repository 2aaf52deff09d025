"""What every stream model must do, as a class of tests: derive from it and give a fixture `make`, and a method `plain`
where Transformers knows the family as well.

Axes: N rows, K streams, S steps, V_k ids of stream k.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prefalign.interfaces import Batch, Media, PrefalignError, PreferenceRecord, Prompt, Ranking, Response
from prefalign.models.pretrained import LoraSettings
from prefalign_audio.streams.codec import StreamCodec, condition_inputs
from prefalign_audio.streams.model import Condition, StreamModel
from prefalign_audio.streams.policy import StreamPolicy

Make = Callable[[], StreamModel]

#: Prompts of several lengths.
PROMPTS = (Prompt(text="rain"), Prompt(text="a slow waltz for two guitars"), Prompt(text="a sad song"))


def ready(make: Make, size: float = 0.05) -> StreamModel:
    """A model with weights, all of them moved, so that no zeros or equal values of the start hide a mistake."""
    model = make()
    model.configure_model()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return model


def batch_of(model: StreamModel, prompts: Sequence[Prompt], frames: Sequence[int]) -> Batch:
    """One song of random codes for each prompt, of so many frames."""
    codec = StreamCodec(model.layout, model.conditioner)
    examples = []
    for number, (prompt, length) in enumerate(zip(prompts, frames, strict=True)):
        generator = torch.Generator().manual_seed(number)
        codes = torch.stack([torch.randint(count, (length,), generator=generator) for count in model.layout.codes])
        song = Response(arrays={"codes": codes.numpy()})
        record = PreferenceRecord(id=str(number), prompt=prompt, responses=(song,), verdict=Ranking((0,)))
        examples.append(codec.encode(record))
    return codec.collate(examples)


def rows_of(model: StreamModel, prompts: Sequence[Prompt], frames: Sequence[int]) -> dict[str, Any]:
    """The inputs of such a batch."""
    inputs: dict[str, Any] = batch_of(model, prompts, frames).inputs
    return inputs


def condition_of(model: StreamModel, inputs: dict[str, Any]) -> Condition:
    """The condition of the batch's rows."""
    return {name: value[inputs["prompt"]] for name, value in model.condition(condition_inputs(inputs)).items()}


def logits_of(model: StreamModel, inputs: dict[str, Any], streams: Sequence[int] | None = None) -> dict[int, Tensor]:
    """(N, S, V_k) logits of each stream."""
    wanted = range(model.layout.pattern.streams) if streams is None else streams
    found = model.hidden(inputs["ids"], inputs["present"], condition_of(model, inputs), list(wanted))
    return {k: head(states) for k, (states, head) in found.items()}


def save(model: StreamModel, folder: Path) -> None:
    """Write the weights, and what their prompts are read with, as the policy does."""
    model.save_pretrained(folder)
    for name, text in model.conditioner.files().items():
        (folder / name).write_text(text, encoding="utf-8")


class StreamModelContract:
    """The contract. The fixture `make` gives tiny models, the same one at each call."""

    prompts: Sequence[Prompt] = PROMPTS
    frames: Sequence[int] = (5, 3, 7)
    #: Far from what rounding does, and far below what a mistake does.
    tolerance: float = 1e-4

    def plain(self, folder: Path, prompt: Prompt, ids: Tensor) -> list[Tensor]:
        """(S, V_k) logits of each stream for one row of ids (K, S + 1), by Transformers alone from a saved folder."""
        pytest.skip("there is no other implementation of this family")

    def loaded(self, model: StreamModel, folder: Path) -> StreamModel:
        """A model like this one, from a saved folder."""
        kind: Any = type(model)
        found: StreamModel = kind(str(folder))
        return found

    def close(self, one: Tensor, other: Tensor) -> bool:
        """Whether two tensors agree, beyond what rounding does."""
        return one.shape == other.shape and torch.allclose(one, other, atol=self.tolerance, rtol=self.tolerance)

    def test_the_layout_is_known_before_the_weights(self, make: Make) -> None:
        """A policy needs layout and conditioner to encode records, in workers that never see the weights."""
        model = make()
        assert model.network is None
        assert list(model.parameters()) == []
        conditioner = pickle.loads(pickle.dumps(model.conditioner))
        assert conditioner.fingerprint() == model.conditioner.fingerprint()
        one, two = (kind.encode(self.prompts[1]) for kind in (conditioner, model.conditioner))
        assert all(torch.equal(value, two[name]) for name, value in one.items())
        counts = {len(part) for part in (model.layout.codes, model.layout.start, model.layout.fill)}
        assert counts == {model.layout.pattern.streams}

    def test_configuring_twice_changes_nothing(self, make: Make) -> None:
        """And two models of one seed are equal."""
        first, second = make(), make()
        first.configure_model()
        network = first.network
        first.configure_model()
        second.configure_model()
        assert first.network is network
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))

    @torch.no_grad()
    def test_step_by_step_gives_what_whole_rows_give(self, make: Make) -> None:
        """Prompts and songs of unequal length, written together with caches."""
        model = ready(make)
        inputs = rows_of(model, self.prompts, self.frames)
        expected, ids = logits_of(model, inputs), inputs["ids"]
        state = model.begin(condition_of(model, inputs), ids.shape[-1] - 1)
        for step in range(ids.shape[-1] - 1):
            order: list[int] = []

            def choose(stream: int, logits: Tensor, step: int = step, order: list[int] = order) -> Tensor:
                order.append(stream)
                scored = inputs["mask"][:, stream, step]
                assert self.close(logits[scored], expected[stream][:, step][scored])
                taken: Tensor = ids[:, stream, step + 1]
                return taken

            found = model.step(state, ids[:, :, step], choose)
            assert order == list(range(ids.shape[1]))
            assert torch.equal(found, ids[:, :, step + 1])

    @torch.no_grad()
    def test_log_probabilities_are_the_familys_own(self, make: Make, tmp_path: Path) -> None:
        """The saved folder is read by Transformers alone, and each row is computed by itself."""
        model = ready(make)
        save(model, tmp_path)
        inputs = rows_of(model, self.prompts, self.frames)
        found = logits_of(model, inputs)
        for row, prompt in enumerate(self.prompts):
            mask = inputs["mask"][row]
            steps = int(mask.any(0).nonzero().max()) + 1
            plain = self.plain(tmp_path, prompt, inputs["ids"][row, :, : steps + 1])
            for k, logits in enumerate(plain):
                chosen = mask[k, :steps]
                one, two = (value.log_softmax(-1)[chosen] for value in (found[k][row, :steps], logits))
                assert self.close(one, two)

    @torch.no_grad()
    def test_nothing_looks_ahead(self, make: Make) -> None:
        """A stream is predicted from earlier steps, and from earlier streams of its step."""
        model = ready(make)
        inputs = rows_of(model, self.prompts[:1], self.frames[-1:])
        before, changed = logits_of(model, inputs), 0
        for k, at in ((k, at) for k in range(inputs["ids"].shape[1]) for at in range(1, inputs["ids"].shape[-1])):
            ids = inputs["ids"].clone()
            ids[:, k:, at:] = (ids[:, k:, at:] + 1) % min(model.layout.codes)
            after = logits_of(model, {**inputs, "ids": ids}, [k])[k]
            assert self.close(after[:, :at], before[k][:, :at])
            changed += not self.close(after[:, at:], before[k][:, at:])
        assert changed

    @torch.no_grad()
    def test_padding_changes_nothing(self, make: Make) -> None:
        """A row alone, and beside longer songs and longer prompts."""
        model = ready(make)
        inputs = rows_of(model, self.prompts, self.frames)
        together = logits_of(model, inputs)
        for row, (prompt, length) in enumerate(zip(self.prompts, self.frames, strict=True)):
            alone = rows_of(model, [prompt], [length])
            steps = alone["ids"].shape[-1] - 1
            alone["ids"] = inputs["ids"][row : row + 1, :, : steps + 1]
            for k, value in logits_of(model, alone).items():
                scored = alone["mask"][0, k]
                assert self.close(value[0][scored], together[k][row, :steps][scored])

    @torch.no_grad()
    def test_the_prompt_matters_and_its_negative_does_not_say_it(self, make: Make) -> None:
        """Else guidance would lead nowhere."""
        model = ready(make, 0.3)
        asked, other = self.prompts[:2]
        one, two, three = (
            logits_of(model, rows_of(model, [prompt], self.frames[-1:]), [0])[0]
            for prompt in (asked, other, model.conditioner.negative(asked))
        )
        assert not torch.allclose(one, two, atol=1e-3)
        assert not torch.allclose(one, three, atol=1e-3)

    def test_the_gradient_reaches_the_network_and_nothing_else(self, make: Make) -> None:
        """All of the network, and no frozen part."""
        model = ready(make)
        inputs = rows_of(model, self.prompts, self.frames)
        total = sum(value.log_softmax(-1)[..., 0].sum() for value in logits_of(model, inputs).values())
        assert isinstance(total, Tensor)
        total.backward()
        network: Any = model.network
        missed = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert missed == []
        assert {id(p) for p in model.parameters()} == {id(p) for p in network.parameters()}
        for part in getattr(model, "beside", {}).values():
            inner = [p for p in part.parameters() if all(p is not own for own in network.parameters())]
            assert all(p.grad is None and not p.requires_grad for p in inner)

    @torch.no_grad()
    def test_a_saved_folder_comes_back(self, make: Make, tmp_path: Path) -> None:
        """By the adapter, with conditioner and layout."""
        model = ready(make)
        save(model, tmp_path)
        loaded = self.loaded(model, tmp_path)
        assert loaded.layout == model.layout
        assert loaded.conditioner.fingerprint() == model.conditioner.fingerprint()
        loaded.configure_model()
        inputs = rows_of(model, self.prompts, self.frames)
        for one, two in zip(logits_of(model, inputs).values(), logits_of(loaded, inputs).values(), strict=True):
            assert torch.equal(one, two)

    def test_only_the_wanted_streams_are_given(self, make: Make) -> None:
        """And they are what they are beside the others."""
        model = ready(make)
        inputs = rows_of(model, self.prompts, self.frames)
        every, last = logits_of(model, inputs), model.layout.pattern.streams - 1
        for wanted in ([0], [last]):
            found = logits_of(model, inputs, wanted)
            assert list(found) == wanted
            scored = inputs["mask"][:, wanted[0]]
            assert self.close(found[wanted[0]][scored], every[wanted[0]][scored])

    def test_a_copy_shares_what_is_frozen(self, make: Make) -> None:
        """A reference costs the network once more, and not the text encoder and the codec."""
        model = ready(make)
        made = copy.deepcopy(model)
        assert all(one is not two for one, two in zip(made.parameters(), model.parameters(), strict=True))
        for name, part in getattr(model, "beside", {}).items():
            assert getattr(made, "beside", {})[name] is part

    def test_an_adapter_is_all_that_is_trained_and_off_is_the_base(self, make: Make, tmp_path: Path) -> None:
        """All of the adapter is reached; the saved adapter is peft's, and comes back."""
        import peft

        bare = StreamPolicy(make())
        policies = [StreamPolicy(make(), lora=LoraSettings(r=2, alpha=4), init_seed=seed) for seed in (0, 1)]
        for one in (bare, *policies):
            one.configure_model()
        policy, other = policies
        trained = {name: p for name, p in policy.named_parameters() if p.requires_grad}
        assert trained
        assert all("lora_" in name for name in trained)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in trained.values():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        inputs = rows_of(bare.family, self.prompts, self.frames)
        base, found = logits_of(bare.family, inputs), logits_of(policy.family, inputs)
        with policy.adapter_disabled():
            off = logits_of(policy.family, inputs)
        assert all(self.close(off[k], value) for k, value in base.items())
        assert all(not self.close(found[k], value) for k, value in base.items())
        torch.stack([value.log_softmax(-1)[..., 0].sum() for value in found.values()]).sum().backward()
        assert [name for name, p in trained.items() if p.grad is None or not p.grad.abs().sum() > 0] == []
        assert all(p.grad is None for name, p in policy.named_parameters() if name not in trained)
        policy.save_pretrained(tmp_path)
        kept = peft.load_peft_weights(str(tmp_path))
        peft.set_peft_model_state_dict(other.family.network, kept)
        for k, value in logits_of(other.family, inputs).items():
            assert self.close(value, found[k])

    def test_recomputing_activations_changes_nothing(self, make: Make) -> None:
        """With it, as without: the same gradients."""
        found = []
        for wanted in (False, True):
            policy = StreamPolicy(ready(make), gradient_checkpointing=wanted)
            policy.configure_model()
            policy.scores(batch_of(policy.family, self.prompts, self.frames)).logps.sum().backward()
            found.append({name: p.grad for name, p in policy.named_parameters() if p.grad is not None})
        assert list(found[0]) == list(found[1])
        assert all(self.close(gradient, found[1][name]) for name, gradient in found[0].items())

    def test_a_policy_writes_songs(self, make: Make) -> None:
        """With guidance, for prompts of unequal length, as the same songs that are written one by one."""
        policy = StreamPolicy(ready(make))
        policy.configure_model()
        settings: dict[str, Any] = {"max_frames": 4, "min_frames": 4, "guidance": 3.0}
        together = policy.sample(self.prompts, 1, **settings)
        for prompt, (song,) in zip(self.prompts, together, strict=True):
            ((alone,),) = policy.sample([prompt], 1, **settings)
            assert song.arrays["codes"].shape == (policy.family.layout.pattern.streams, 4)
            assert (song.arrays["codes"] == alone.arrays["codes"]).all()

    def test_what_the_family_does_not_read_is_refused_by_name(self, make: Make) -> None:
        """Conditions and media that would be passed over in silence."""
        conditioner = make().conditioner
        with pytest.raises(PrefalignError, match="unknown condition 'tempo_of_the_song'"):
            conditioner.encode(Prompt(text="rain", conditions={"tempo_of_the_song": 120}))
        with pytest.raises(PrefalignError, match="media"):
            conditioner.encode(Prompt(text="rain", media=(Media(kind="image", data=b"png"),)))
