"""LeLM: the contract, two decoders against Transformers' own, and what each stage trains."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaModel

from prefalign.interfaces import PrefalignError, Prompt
from prefalign.models.pretrained import LoraSettings
from prefalign_audio.streams.conditions.song import SongConditions
from prefalign_audio.streams.contract import StreamModelContract, batch_of, ready
from prefalign_audio.streams.lelm_network import LeLMConfig
from prefalign_audio.streams.models.lelm import LeLMModel
from prefalign_audio.streams.policy import StreamPolicy

PHONEMES = ["a", "n", "g", "oː"]


def song(*syllables, **tags):
    return Prompt(conditions={"syllables": [{"phonemes": list(phonemes)} for phonemes in syllables], **tags})


SONGS = (song("na"), song("gn", "a", "na", mode="minor", register="low"), song("a", quality="high"))


class Songs(LeLMModel):
    """With the conditioner of these tests."""

    def __init__(self, model):
        super().__init__(model, SongConditions(PHONEMES))


@pytest.fixture
def make():
    return lambda: Songs({"delays": [0, 1, 2]})


def policy_of(make, **settings):
    policy = StreamPolicy(ready(make), **settings)
    policy.configure_model()
    return policy


class TestLeLM(StreamModelContract):
    prompts = SONGS

    def plain(self, folder, prompt, ids):
        """Both decoders as Transformers builds them, every step a sum over the saved tables."""
        told, held = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")

        def run(name, inputs):
            wanted = {"vocab_size": 1, "bos_token_id": None, "eos_token_id": None, **told[name]}
            decoder = LlamaModel(LlamaConfig(**wanted)).eval()
            own = {key[len(name) + 1 :]: value for key, value in held.items() if key.startswith(f"{name}.")}
            assert decoder.load_state_dict(own, strict=False).missing_keys == ["embed_tokens.weight"]
            return decoder(inputs_embeds=inputs[None]).last_hidden_state[0]

        places = SongConditions(PHONEMES).encode(prompt)["ids"]
        read = ids[:, :-1]
        prefix = torch.stack([held["mixed_condition.weight"][place[place != 0]].sum(0) for place in places])
        mixed = run("mixed", torch.cat([prefix, held["mixed_embedding.weight"][read[0]]]))
        streams = sum(held[f"part_embeddings.{k}.weight"][read[k + 1]] for k in range(len(read) - 1))
        prefix = torch.stack([held["part_condition.weight"][place[place != 0]].sum(0) for place in places])
        fused = torch.cat([torch.cat([prefix, streams]), mixed], dim=-1)
        fused = torch.nn.functional.gelu(fused @ held["fusion.0.weight"].T + held["fusion.0.bias"])
        parts = run("parts", fused @ held["fusion.2.weight"].T + held["fusion.2.bias"])
        heads = [held["mixed_head.weight"], *[held[f"part_heads.{k}.weight"] for k in range(len(read) - 1)]]
        states = [mixed, *[parts] * (len(read) - 1)]
        return [(state @ head.T)[len(places) :] for state, head in zip(states, heads, strict=True)]


def test_special_ids_stand_behind_the_codes(make):
    layout = make().layout
    assert layout.end == (32, 24, 16)
    assert layout.start == layout.fill == (33, 25, 17)
    assert LeLMModel({"codes": [4, 4], "delays": [0, 9]}, SongConditions([])).layout.end == (4, 4)


def test_the_published_sizes():
    """End 16384, blank 16385; bases of both rotations and the norm's epsilon as coded."""
    config = LeLMConfig()
    assert (config.codes, config.delays) == ([16384] * 3, [0, 250, 250])
    for decoder, layers, base in ((config.mixed, 28, 1e5), (config.parts, 12, 5e5)):
        assert (decoder["num_hidden_layers"], decoder["rope_parameters"]["rope_theta"]) == (layers, base)
        assert decoder["rms_norm_eps"] == 1e-5


def test_every_parameter_is_in_one_group(make):
    model = ready(make)
    for name, _ in model.network.named_parameters():
        assert sum(name.startswith(beginnings) for beginnings in model.groups().values()) == 1, name


STAGES = [
    (["mixed"], [1.0, 0.0, 0.0], {"mixed"}),
    (["parts"], [0.0, 1.0, 1.0], {"parts"}),
    (None, None, {"mixed", "parts"}),
]


@pytest.mark.parametrize(("trained", "weights", "moved"), STAGES)
def test_a_stage_changes_its_own_parameters_and_no_others(make, trained, weights, moved):
    """Those of LeVo: bit for bit after a step of Adam."""
    policy = policy_of(make, trained=trained, stream_weights=weights)
    network, groups = policy.family.network, policy.family.groups()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    expected = {name for name in before if any(name.startswith(groups[group]) for group in moved)}
    assert {name for name, p in network.named_parameters() if p.requires_grad} == expected
    optimizer = torch.optim.Adam([p for p in policy.parameters() if p.requires_grad], lr=1e-2)
    (-policy.scores(batch_of(policy.family, SONGS, (5, 3, 7))).logps.sum()).backward()
    optimizer.step()
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert changed == expected


def test_the_parts_decoder_runs_only_where_it_is_needed(make):
    policy = policy_of(make, stream_weights=[2.0, 0.0, 0.0])
    calls = []
    policy.family.network.parts.register_forward_hook(lambda *_: calls.append(1))
    policy.scores(batch_of(policy.family, SONGS, (5, 3, 7)))
    assert not calls
    whole = policy_of(make)
    whole.family.network.parts.register_forward_hook(lambda *_: calls.append(1))
    whole.scores(batch_of(whole.family, SONGS, (5, 3, 7)))
    assert len(calls) == 1


def test_groups_that_are_none(make):
    with pytest.raises(PrefalignError, match=r"unknown group of trained parts 'part'.*parts"):
        policy_of(make, trained=["part"])
    with pytest.raises(PrefalignError, match="names no group"):
        StreamPolicy(make(), trained=[])
    with pytest.raises(PrefalignError, match="lora trains an adapter only"):
        StreamPolicy(make(), trained=["mixed"], lora=LoraSettings())


def test_bfloat16_is_near_float32(make):
    batch = batch_of(make(), SONGS, (5, 3, 7))
    found = []
    for dtype in ("float32", "bfloat16"):
        policy = StreamPolicy(LeLMModel({"delays": [0, 1, 2]}, SongConditions(PHONEMES), dtype=dtype))
        policy.configure_model()
        assert {p.dtype for p in policy.parameters()} == {getattr(torch, dtype)}
        scores = policy.scores(batch)
        scores.logps.sum().backward()
        assert scores.logps.dtype == torch.float32
        found.append(scores.logps.detach() / scores.lengths)
    assert torch.allclose(*found, atol=0.03)


def test_a_saved_policy_comes_back_and_refuses_other_prompts(make, tmp_path):
    policy = policy_of(make)
    policy.save_pretrained(tmp_path)
    batch = batch_of(policy.family, SONGS, (5, 3, 7))
    again = StreamPolicy(LeLMModel(str(tmp_path), SongConditions(str(tmp_path))))
    again.configure_model()
    assert torch.equal(again.scores(batch).logps, policy.scores(batch).logps)
    other = StreamPolicy(LeLMModel(str(tmp_path), SongConditions(PHONEMES[::-1])))
    with pytest.raises(PrefalignError, match="prompts in another encoding"):
        other.configure_model()


def test_more_ids_than_the_network_embeds():
    with pytest.raises(PrefalignError, match=r"the conditions have 16 ids, and the network embeds 3"):
        LeLMModel({"condition_ids": 3}, SongConditions(PHONEMES))


def test_a_mix_without_parts():
    with pytest.raises(PrefalignError, match="at least one part"):
        policy_of(lambda: LeLMModel({"codes": [8], "delays": [0]}, SongConditions([])))
