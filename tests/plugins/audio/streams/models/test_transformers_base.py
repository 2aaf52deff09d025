"""What decides how songs become rows is read off configs, without weights; and the sizes are those of real models."""

import pytest
import torch
from transformers import CsmConfig, DiaConfig, DiaTokenizer, MusicgenConfig, MusicgenMelodyConfig

from prefalign.interfaces import PrefalignError
from prefalign.testing.tiny import character_tokenizer
from prefalign_audio.denoisers.mel_tiny import tiny_t5_tokenizer
from prefalign_audio.streams.models.csm import Csm
from prefalign_audio.streams.models.dia import Dia
from prefalign_audio.streams.models.musicgen import MusicGen
from prefalign_audio.streams.models.musicgen_melody import MusicGenMelody
from prefalign_audio.streams.models.transformers_base import at_places, packed


@pytest.mark.parametrize(
    ("kind", "config", "tokenizer", "delays", "codes", "special"),
    [
        (MusicGen, MusicgenConfig(), tiny_t5_tokenizer, (0, 1, 2, 3), 2048, (2048, 2048, None)),
        (MusicGenMelody, MusicgenMelodyConfig(), tiny_t5_tokenizer, (0, 1, 2, 3), 2048, (2048, 2048, None)),
        (Dia, DiaConfig(), DiaTokenizer, (0, 8, 9, 10, 11, 12, 13, 14, 15), 1024, (1026, 1025, 1024)),
        (Csm, CsmConfig(), character_tokenizer, (0,) * 32, 2048, (2050, 2050, None)),
    ],
    ids=["musicgen", "musicgen_melody", "dia", "csm"],
)
def test_the_layout_of_a_real_model_is_read_off_its_config(
    kind, config, tokenizer, delays, codes, special, tmp_path, monkeypatch
):
    """Transformers' default configs are those of the published models; the folder has no weights."""
    config.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    monkeypatch.setattr(torch.nn, "Linear", None)
    model = kind(str(tmp_path))
    count = len(delays)
    assert model.layout.pattern.delays == delays
    assert model.layout.codes == (codes,) * count
    start, fill, end = special
    assert (model.layout.start, model.layout.fill) == ((start,) * count, (fill,) * count)
    assert model.layout.end == (None if end is None else (end,) * count)


def test_a_folder_without_weights_is_refused_when_they_are_needed(tmp_path):
    MusicgenConfig().save_pretrained(tmp_path)
    tiny_t5_tokenizer().save_pretrained(tmp_path)
    model = MusicGen(str(tmp_path))
    with pytest.raises(PrefalignError, match="MusicgenForConditionalGeneration cannot load"):
        model.configure_model()
    assert model.network is None


def test_rows_stand_directly_behind_their_prefixes():
    """Prefixes of 1 and 3 places, rows of 2."""
    prefix = torch.tensor([[1.0, 9.0, 9.0], [1.0, 2.0, 3.0]])[..., None]
    rows = torch.tensor([[5.0, 6.0], [7.0, 8.0]])[..., None]
    room, places = packed(prefix, torch.tensor([1, 3]), rows)
    assert room[..., 0].tolist() == [[1.0, 5.0, 6.0, 0.0, 0.0], [1.0, 2.0, 3.0, 7.0, 8.0]]
    assert places.tolist() == [[1, 2], [3, 4]]
    assert torch.equal(at_places(room, places), rows)
