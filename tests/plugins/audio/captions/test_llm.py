"""The language model's side: what it is asked, that it is greedy, and what is taken of its answer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from prefalign.interfaces import PrefalignError
from prefalign.testing.tiny import LLAMA, save_tokenizer
from prefalign_audio.captions.llm import CaptionRewriter, first_line


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random Llama over characters whose own settings say to sample."""
    folder = tmp_path_factory.mktemp("llama")
    save_tokenizer(folder)
    torch.manual_seed(0)
    settings = {name: value for name, value in LLAMA.items() if name != "model_type"}
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **settings))
    network.generation_config = GenerationConfig(do_sample=True, temperature=5.0, eos_token_id=2, pad_token_id=0)
    network.save_pretrained(folder)
    return str(folder)


def test_answers_are_greedy_and_repeatable(model: str) -> None:
    """The same answer, whatever the generator's state; equal to the most likely token after token."""
    rewrite = CaptionRewriter(model, instruction="Change.", max_new_tokens=12)
    torch.manual_seed(1)
    first = rewrite("rain then hail")
    torch.manual_seed(2)
    assert rewrite("rain then hail") == CaptionRewriter(model, "Change.", 12)("rain then hail") == first

    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    chat = [{"role": "user", "content": "Change.\n\nrain then hail"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    start = ids.shape[1]
    for _ in range(12):
        with torch.no_grad():
            following = network(ids).logits[0, -1].argmax()
        ids = torch.cat([ids, following.view(1, 1)], 1)
        if following == 2:
            break
    assert first == first_line(tokenizer.decode(ids[0, start:], skip_special_tokens=True))


def test_nothing_is_loaded_before_the_first_caption(tmp_path: Path) -> None:
    rewrite = CaptionRewriter(str(tmp_path / "nowhere"))
    assert rewrite.settings()["model"] == str(tmp_path / "nowhere")
    with pytest.raises(PrefalignError, match="there is no model folder"):
        rewrite("rain")
    with pytest.raises(PrefalignError, match="max_new_tokens of at least 1, got 0"):
        CaptionRewriter("some/model", max_new_tokens=0)


class Scripted:
    """Stands for tokenizer and network: notes what it was asked."""

    pad_token_id, eos_token_id, device = None, 2, "cpu"

    def __init__(self, template: str | None) -> None:
        self.chat_template = template
        self.asked: list[tuple[str, bool]] = []
        self.options: dict[str, Any] = {}

    def apply_chat_template(self, chat: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool) -> str:
        assert not tokenize
        assert add_generation_prompt
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in chat)

    def __call__(self, text: str, add_special_tokens: bool = True, return_tensors: str = "") -> dict[str, torch.Tensor]:
        self.asked.append((text, add_special_tokens))
        ids = torch.tensor([[5, 6, 7]])
        return {"input_ids": ids, "attention_mask": ids.clamp(max=1), "token_type_ids": ids}

    def generate(self, **options: Any) -> torch.Tensor:
        self.options = options
        return torch.tensor([[5, 6, 7, 8, 9]])

    def decode(self, ids: torch.Tensor, skip_special_tokens: bool) -> str:
        assert ids.tolist() == [8, 9]
        return '\n Caption: "hail, then rain"\nIt is another order.'


@pytest.mark.parametrize(("template", "asked"), [("x", ("<user>Do.\n\nrain", False)), (None, ("Do.\n\nrain\n", True))])
def test_what_the_model_is_asked(template: str | None, asked: tuple[str, bool]) -> None:
    scripted = Scripted(template)
    rewrite = CaptionRewriter("some/model", "Do.", 7)
    rewrite._loaded = scripted, scripted
    assert rewrite("rain") == "hail, then rain"
    assert scripted.asked == [asked]
    options = {name: value for name, value in scripted.options.items() if not isinstance(value, torch.Tensor)}
    assert options == {"do_sample": False, "num_beams": 1, "max_new_tokens": 7, "pad_token_id": 2}
    assert {"input_ids", "attention_mask"} == scripted.options.keys() - options.keys()


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("hail", "hail"),
        ("\n\n- hail\nrain", "hail"),
        ("New description: “hail”", "hail"),
        ("a dog's 'bow-wow'", "a dog's 'bow-wow'"),
        ("1. hail", "hail"),
        ("  \n", ""),
        ("", ""),
        ('"', '"'),
    ],
)
def test_the_first_line_counts(answer: str, line: str) -> None:
    assert first_line(answer) == line
