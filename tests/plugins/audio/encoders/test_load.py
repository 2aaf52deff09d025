"""Encoders by name."""

from collections.abc import Callable

import pytest
import torch

from prefalign.interfaces import Media, PrefalignError
from prefalign_audio.encoders import aisfx, distillmos, dnsmos, load, musicnn
from prefalign_audio.encoders.load import encoder_rate, load_encoder, load_text_encoder


def test_loads_the_encoder_without_weights(noise: Callable[..., Media]) -> None:
    encoder = load_encoder("mel_statistics", resample=True)
    assert (encoder.rate, encoder.width) == (16_000, 128)
    assert encoder([noise(0, rate=8_000)]).shape == (1, 128)
    assert load_encoder("mel_statistics:8000").rate == 8_000


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("aisfxx", "did you mean 'aisfx'"),
        ("mel_statistic", "did you mean 'mel_statistics'"),
        ("distilmos", "did you mean 'distillmos'"),
        ("clap", r"expected the id or folder of a model, as in clap:ID"),
        ("clap:", r"as in clap:ID"),
        ("aisfx:big", "takes nothing behind a colon"),
        ("mel_statistics:fast", "expected a sample rate from 1000 to 384000 Hz"),
        ("mel_statistics:0", "expected a sample rate from 1000"),
        ("", "known: "),
    ],
)
def test_unknown_names_say_what_was_meant(name: str, said: str) -> None:
    for ask in (load_encoder, encoder_rate):
        with pytest.raises(PrefalignError, match=said):
            ask(name)


def test_text_encoders_are_models_only() -> None:
    with pytest.raises(PrefalignError, match="unknown text encoder 'aisfx'"):
        load_text_encoder("aisfx")
    with pytest.raises(PrefalignError, match="as in transformers:ID"):
        load_text_encoder("transformers:")


def test_a_model_that_is_not_there_is_named(tmp_path: object) -> None:
    with pytest.raises(PrefalignError, match="there is no model folder '/no/such/clap'"):
        load_encoder("clap:/no/such/clap")


@pytest.mark.parametrize(
    ("name", "module", "requirement"),
    [
        ("aisfx", aisfx, r"aisfx==0\.1\.2"),
        ("musicnn", musicnn, r"musicnn==0\.1\.0"),
        ("distillmos", distillmos, r"distillmos==0\.9\.1"),
        ("dnsmos", dnsmos, r"speechmos==0\.0\.1\.1"),
    ],
)
def test_packages_that_are_not_installed_are_named(
    name: str, module: object, requirement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(PrefalignError, match=f"pip install --no-deps {requirement}"):
        load_encoder(name)


def test_rates_are_known_without_weights(clap: str) -> None:
    rates = {name: encoder_rate(name) for name in ("mel_statistics", "aisfx", "musicnn", "distillmos", "dnsmos")}
    assert rates == {
        "mel_statistics": 16_000,
        "aisfx": 44_100,
        "musicnn": 16_000,
        "distillmos": 16_000,
        "dnsmos": 16_000,
    }
    assert encoder_rate("mel_statistics:8000") == 8_000
    assert encoder_rate(f"clap:{clap}") == 48_000


def test_every_name_of_the_table_is_a_name() -> None:
    assert all(f"`{name}`" in (load.__doc__ or "") for name in load.NAMES)


def test_loading_a_name_draws_nothing_at_random(clap: str) -> None:
    before = torch.random.get_rng_state()
    load_encoder("mel_statistics")
    assert torch.equal(torch.random.get_rng_state(), before)
