"""The tiny things that other tests are built from."""

from transformers import AutoTokenizer

from prefalign.testing.tiny import LLAMA, character_tokenizer, save_tokenizer, word_pairs


def test_the_tokenizer_reads_back_and_has_one_token_a_character(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tokenizer(tmp_path))
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert tokenizer.decode(tokenizer("a b!")["input_ids"]) == "<bos>a b!"
    assert len(tokenizer) == len(character_tokenizer()) == LLAMA["vocab_size"]


def test_pairs_are_learnable_and_reproducible():
    first, second = word_pairs(20, seed=3), word_pairs(20, seed=3)
    assert first == second
    for record in first:
        letter = record.prompt.text[4]
        assert set(record.responses[0].text) == {letter}
        assert letter not in record.responses[1].text


def test_chat_pairs_ask_the_same_in_a_turn():
    record = word_pairs(1, chat=True)[0]
    assert record.prompt.messages[0].text == word_pairs(1)[0].prompt.text.removesuffix(": ")
