"""The reward itself: its arithmetic, its encoders, and what it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prefalign.interfaces import Batch, Media, PrefalignError, PreferenceRecord, Prompt, Response, Unary
from prefalign.rewards.combine import Ensemble
from prefalign_audio.encoders.base import SoundEncoder, TextEncoder
from prefalign_audio.encoders.tiny import save_tiny_clap
from prefalign_audio.rewards.calibration import Calibration
from prefalign_audio.rewards.sound_text import SoundTextReward
from prefalign_audio.sound.errors import SoundError


class OneTwo(SoundEncoder):
    """The vector (1, 2) for any sound."""

    rate, width = 8_000, 2

    def embed(self, samples: Tensor) -> Tensor:
        return torch.tensor([1.0, 2.0])

    def settings(self) -> dict[str, Any]:
        return {}


class Three(TextEncoder):
    """The vector (3) for any caption."""

    width = 1

    def forward(self, texts: Any) -> Tensor:
        return torch.full((len(texts), 1), 3.0)

    def fingerprint(self) -> str:
        return "three"


def batch_of(reward: Any, captions: dict[str, list[Media]]) -> Batch:
    records = [
        PreferenceRecord(
            id=caption,
            prompt=Prompt(text=caption),
            responses=tuple(Response(media=(medium,)) for medium in media),
            verdict=Unary((True,) * len(media)),
        )
        for caption, media in captions.items()
    ]
    return reward.codec.collate([reward.codec.encode(record) for record in records])


def test_output_at_weights_set_by_hand(tone: Callable[..., Media]) -> None:
    """x = (1, 2, 3), sound before caption. Hidden: 1·1 + 1·3 = 4; −2 + 1 = −1, cut to 0. Output: 0.5·4 + 7·0 − 1 = 1,
    a probability of 0.7310586."""
    reward = SoundTextReward(OneTwo(), Three(), hidden=2)
    reward.configure_model()
    assert isinstance(reward.head, nn.Sequential)
    weights = {
        "0.weight": [[1.0, 0.0, 1.0], [0.0, -1.0, 0.0]],
        "0.bias": [0.0, 1.0],
        "2.weight": [[0.5, 7.0]],
        "2.bias": [-1.0],
    }
    reward.head.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    out = reward(batch_of(reward, {"a bell": [tone(0), tone(1)]}))
    assert out.mean.tolist() == [[1.0], [1.0]]
    assert out.mean.dtype == torch.float32
    assert out.valid.tolist() == [True, True]
    assert reward.probabilities([tone(0)], ["a bell"]).tolist() == pytest.approx([0.7310586])


def test_clap_gives_both_halves_and_is_loaded_once(clap: str, tone: Callable[..., Media]) -> None:
    """16 + 16 numbers into 512; only the head is trained and kept."""
    reward = SoundTextReward(f"clap:{clap}", resample=True)
    reward.configure_model()
    sounds, texts = reward.embeddings.caches
    assert sounds.encoder.network is texts.encoder.network
    assert {name: tuple(value.shape) for name, value in reward.state_dict().items()} == {
        "head.0.weight": (512, 32),
        "head.0.bias": (512,),
        "head.2.weight": (1, 512),
        "head.2.bias": (1,),
    }
    batch = batch_of(reward, {"a bell": [tone(0)], "a drum": [tone(0)]})
    rows: Any = batch.inputs["rows"]
    vectors = reward.embeddings.vectors(rows)
    assert torch.equal(vectors[0, :16], vectors[1, :16])
    assert not torch.equal(vectors[0, 16:], vectors[1, 16:])
    assert torch.allclose(vectors[:, :16].norm(dim=1), torch.ones(2))
    reward(batch).mean.sum().backward()
    assert all(parameter.grad is not None for parameter in reward.parameters())


def test_the_rate_that_batons_own_code_uses_is_refused(clap: str, tone: Callable[..., Media]) -> None:
    reward = SoundTextReward(f"clap:{clap}")
    with pytest.raises(PrefalignError, match=r"expected a sample rate of 48000 Hz, got 16000 Hz; set resample: true"):
        batch_of(reward, {"a bell": [tone(0, rate=16_000)]})
    reward.configure_model()
    with pytest.raises(SoundError, match="got 16000 Hz"):
        reward.probabilities([tone(0, rate=16_000)], ["a bell"])


def test_sounds_are_encoded_before_the_first_step_and_never_again(
    tone: Callable[..., Media], spectrum: Callable[..., Any], words: Callable[[], Any], tmp_path: Path
) -> None:
    encoder = spectrum()
    reward = SoundTextReward(encoder, words(), cache=str(tmp_path / "cache"))
    captions = {"a bell": [tone(0), tone(1)], "a drum": [tone(1), tone(2)]}
    batch = batch_of(reward, captions)
    assert encoder.heard == 0
    reward.configure_model()
    assert encoder.heard == 3
    for _ in range(3):
        reward(batch)
    reward.configure_model()
    assert encoder.heard == 3
    later = spectrum()
    again = SoundTextReward(later, words(), cache=str(tmp_path / "cache"))
    again.configure_model()
    assert torch.equal(again(batch_of(again, captions)).mean, reward(batch).mean)
    assert later.heard == 0


def test_what_was_not_seen_before_is_encoded_when_it_comes(
    tone: Callable[..., Media], spectrum: Callable[..., Any], words: Callable[[], Any]
) -> None:
    encoder = spectrum()
    reward = SoundTextReward(encoder, words())
    reward.configure_model()
    assert reward(batch_of(reward, {"a bell": [tone(0), tone(1)]})).mean.shape == (2, 1)
    assert encoder.heard == 2


def test_seeds_decide_the_head_and_nothing_else_is_drawn(
    spectrum: Callable[..., Any], words: Callable[[], Any]
) -> None:
    state = torch.random.get_rng_state()
    heads = []
    for seed in (0, 0, 1):
        reward = SoundTextReward(spectrum(), words(), init_seed=seed)
        reward.configure_model()
        heads.append(reward.state_dict()["head.0.weight"])
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_encoders_must_fit() -> None:
    with pytest.raises(PrefalignError, match="did you mean 'aisfx'"):
        SoundTextReward("aisfxx", "clap:x")
    with pytest.raises(PrefalignError, match="only clap:ID encodes captions too"):
        SoundTextReward("mel_statistics")
    with pytest.raises(PrefalignError, match="only clap:ID encodes captions too"):
        SoundTextReward(OneTwo())
    with pytest.raises(PrefalignError, match="settings of the encoder that is given"):
        SoundTextReward(OneTwo(), Three(), resample=True)
    with pytest.raises(PrefalignError, match="hidden layer of at least 1"):
        SoundTextReward(OneTwo(), Three(), hidden=0)
    with pytest.raises(PrefalignError, match="call configure_model first"):
        SoundTextReward(OneTwo(), Three()).fingerprint()


def test_an_encoder_that_converts_lets_other_rates_pass(
    tone: Callable[..., Media], spectrum: Callable[..., Any], words: Callable[[], Any]
) -> None:
    reward = SoundTextReward(spectrum(resample=True, downmix=True), words())
    reward.configure_model()
    assert reward(batch_of(reward, {"a bell": [tone(0, rate=16_000, channels=2)]})).mean.shape == (1, 1)


def test_what_is_saved_is_loaded_again(clap: str, tone: Callable[..., Media], tmp_path: Path) -> None:
    reward = SoundTextReward(f"clap:{clap}", hidden=8, resample=True, init_seed=3)
    reward.configure_model()
    reward.calibration = Calibration(0.5, -0.25)
    reward.save_pretrained(tmp_path / "saved")
    assert {file.name for file in (tmp_path / "saved").iterdir()} == {"sound_text_reward.json", "model.safetensors"}
    loaded = SoundTextReward.from_pretrained(tmp_path / "saved")
    media, captions = [tone(0), tone(1)], ["a bell", "a drum"]
    assert torch.equal(loaded.probabilities(media, captions), reward.probabilities(media, captions))
    assert loaded.calibration == Calibration(0.5, -0.25)
    assert loaded.fingerprint() == reward.fingerprint()


def test_fingerprints_follow_head_encoders_and_calibration(clap: str, tmp_path: Path) -> None:
    def made(folder: str, seed: int = 0) -> SoundTextReward:
        reward = SoundTextReward(f"clap:{folder}", init_seed=seed)
        reward.configure_model()
        return reward

    reward = made(clap)
    prints = {reward.fingerprint(), made(clap, 1).fingerprint()}
    prints.add(made(save_tiny_clap(tmp_path / "other", seed=1)).fingerprint())
    reward.calibration = Calibration(2.0)
    prints.add(reward.fingerprint())
    assert len(prints) == 4
    assert made(clap).fingerprint() in prints


def test_a_head_of_other_encoders_is_refused(clap: str, tmp_path: Path) -> None:
    reward = SoundTextReward(f"clap:{clap}")
    reward.configure_model()
    reward.save_pretrained(tmp_path / "saved")
    other = save_tiny_clap(tmp_path / "other", seed=1)
    with pytest.raises(PrefalignError, match=r"the head was trained on encoders [0-9a-f]{16}, and those given are"):
        SoundTextReward.from_pretrained(tmp_path / "saved", encoder=f"clap:{other}", text_encoder=f"clap:{other}")
    with pytest.raises(PrefalignError, match="the head has hidden: 512, not 8"):
        SoundTextReward.from_pretrained(tmp_path / "saved", hidden=8)
    with pytest.raises(PrefalignError, match=r"no sound_text_reward\.json"):
        SoundTextReward.from_pretrained(tmp_path)


def test_encoders_without_a_name_are_given_again(
    tone: Callable[..., Media], spectrum: Callable[..., Any], words: Callable[[], Any], tmp_path: Path
) -> None:
    reward = SoundTextReward(spectrum(resample=True), words())
    reward.configure_model()
    reward.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "sound_text_reward.json").read_text())["encoder"] is None
    with pytest.raises(PrefalignError, match="encoders that have no name; give them as encoder= and text_encoder="):
        SoundTextReward.from_pretrained(tmp_path)
    loaded = SoundTextReward.from_pretrained(tmp_path, encoder=spectrum(), text_encoder=words())
    assert torch.equal(loaded.probabilities([tone(0)], ["a bell"]), reward.probabilities([tone(0)], ["a bell"]))


def test_calibrates_itself_on_held_out_sounds(
    tone: Callable[..., Media], spectrum: Callable[..., Any], words: Callable[[], Any]
) -> None:
    """Shares of listeners given by sigmoid(2·logit − 1) are met exactly by slope 2 and intercept −1."""
    reward = SoundTextReward(spectrum(), words())
    reward.configure_model()
    media, captions = [tone(pitch) for pitch in range(8)], ["a bell", "a drum"] * 4
    logits = torch.logit(reward.probabilities(media, captions).double())
    reward.calibrate(media, captions, torch.sigmoid(2 * logits - 1))
    assert reward.calibration.slope == pytest.approx(2, abs=1e-3)
    assert reward.calibration.intercept == pytest.approx(-1, abs=1e-3)
    assert torch.allclose(reward.probabilities(media, captions).double(), torch.sigmoid(2 * logits - 1), atol=1e-5)
    with pytest.raises(PrefalignError, match="expected a caption for each of 8 sounds, got 1"):
        reward.probabilities(media, ["a bell"])


def test_members_of_an_ensemble_share_what_is_encoded(
    tone: Callable[..., Media], spectrum: Callable[..., Any], words: Callable[[], Any], tmp_path: Path
) -> None:
    encoders = [spectrum(), spectrum()]
    rewards = [
        SoundTextReward(encoder, words(), cache=str(tmp_path), init_seed=seed) for seed, encoder in enumerate(encoders)
    ]
    ensemble = Ensemble(rewards)
    batch = batch_of(ensemble, {"a bell": [tone(0), tone(1)]})
    ensemble.configure_model()
    out = ensemble(batch)
    first, second = (reward(batch_of(reward, {"a bell": [tone(0), tone(1)]})).mean for reward in rewards)
    assert torch.allclose(out.mean, (first + second) / 2)
    assert sum(encoder.heard for encoder in encoders) == 2
