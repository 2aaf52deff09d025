"""Loading by folder or id: what is not there is said in one line."""

import pytest
from transformers import AutoConfig, AutoTokenizer

from prefalign.interfaces import PrefalignError
from prefalign.models.pretrained import from_pretrained
from prefalign.testing.tiny import save_tokenizer


def test_a_missing_folder_and_an_empty_one(tmp_path):
    with pytest.raises(PrefalignError, match="there is no model folder"):
        from_pretrained(AutoConfig, str(tmp_path / "nowhere"))
    with pytest.raises(PrefalignError, match="AutoConfig cannot load"):
        from_pretrained(AutoConfig, str(tmp_path))


def test_a_hub_id_without_a_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PrefalignError, match=r"AutoConfig cannot load 'prefalign/no-such-model'") as caught:
        from_pretrained(AutoConfig, "prefalign/no-such-model")
    assert "\n" not in str(caught.value)


def test_what_is_there_is_loaded(tmp_path):
    assert from_pretrained(AutoTokenizer, save_tokenizer(tmp_path)).eos_token == "<eos>"
