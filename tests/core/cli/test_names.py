"""Short names in YAML trees and arguments, and the order of configs and flags."""

from pathlib import Path
from typing import Any

import pytest

from prefalign.cli.names import NameResolver, config_values, configs_first
from prefalign.hooks import PluginError, UnknownNameError


@pytest.fixture
def names(plugin_site: Any) -> NameResolver:
    plugin_site.add_good()
    plugin_site.add("bad", "1 / 0\n")
    return NameResolver(plugin_site.registry())


HINGE = "prefalign_good_package.parts.Hinge"
TABLE = "prefalign_good_package.parts.Table"


def test_a_tree_is_rewritten_wherever_a_class_may_stand(names: NameResolver) -> None:
    tree = {
        "model": {"class_path": "good/table", "init_args": {"objective": "good/hinge", "size": 1e-3, "on": True}},
        "trainer": {"callbacks": ["good/hinge", {"class_path": "good/table"}]},
        "path": "./good/hinge",
        "good/hinge": None,
    }
    assert names.tree(tree) == {
        "model": {"class_path": TABLE, "init_args": {"objective": HINGE, "size": 1e-3, "on": True}},
        "trainer": {"callbacks": [HINGE, {"class_path": TABLE}]},
        "path": "./good/hinge",
        "good/hinge": None,
    }


def test_strings_that_only_look_like_short_names_stay(names: NameResolver) -> None:
    """Hub models and folders have the same form; only a class position makes an unknown name an error."""
    for text in ("openai/clip", "good/hinges", "good/hinge/x", "audio/clips", "bad/folder", "a b", "good/"):
        assert names.tree({"path": text}) == {"path": text}


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("good/hing", UnknownNameError, "did you mean good/hinge"),
        ("openai/clip", UnknownNameError, "there is no plugin 'openai'"),
        ("audio/clap", UnknownNameError, "pip install prefalign-audio"),
        ("bad/thing", PluginError, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_class_path_must_resolve(names: NameResolver, name: str, kind: type[Exception], message: str) -> None:
    for attempt in (
        lambda: names.tree([{"class_path": name}]),
        lambda: names.arguments(["--model.class_path", name]),
        lambda: names.arguments([f"--model.init_args.loss.class_path={name}"]),
        lambda: names.arguments(["--model.help", name]),
    ):
        with pytest.raises(kind, match=message):
            attempt()


def test_arguments_are_rewritten_in_both_spellings(names: NameResolver) -> None:
    arguments = ["--model", "good/table", "--model.loss=good/hinge", "--trainer.callbacks+=good/hinge", "--x", "-1"]
    assert names.arguments(arguments) == [
        "--model",
        TABLE,
        f"--model.loss={HINGE}",
        f"--trainer.callbacks+={HINGE}",
        "--x",
        "-1",
    ]


def test_a_config_is_a_file_or_a_preset(names: NameResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    preset = names.config("good/small")
    assert preset.endswith("prefalign_good_package/presets/small.yaml")
    assert names.arguments(["--config", "good/small", "-c=good/small"]) == ["--config", preset, f"-c={preset}"]
    assert names.config("nowhere/at/all.yaml") == "nowhere/at/all.yaml"
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "small").write_text("{}")
    assert names.config("good/small") == "good/small", "an existing file comes first"
    with pytest.raises(UnknownNameError, match="did you mean good/small"):
        names.config("good/smol")
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        names.config("bad/small")


def test_a_parser_s_message_is_explained_by_the_name_it_quotes(names: NameResolver) -> None:
    names.tree({"a": "good/hing", "b": "bad/thing"})
    assert "did you mean good/hinge" in str(names.reason_for("Import path good/hing does not exist"))
    assert "ZeroDivisionError" in str(names.reason_for("value: 'bad/thing'"))
    assert names.reason_for("something else") is None


def test_components_of_a_resolved_config_are_found(names: NameResolver) -> None:
    config = {"model": {"class_path": TABLE}, "callbacks": [{"class_path": HINGE}], "x": HINGE + "x"}
    assert names.aliases_in(config) == ("good/hinge", "good/table")


def test_configs_first_keeps_their_own_order() -> None:
    typed = ["--a", "1", "--config", "x", "-c=y", "--b=2", "-c", "z"]
    ordered, moved = configs_first(typed)
    assert ordered == ["--config", "x", "-c=y", "-c", "z", "--a", "1", "--b=2"]
    assert moved
    assert configs_first(ordered) == (ordered, False)
    assert config_values(typed) == ["x", "y", "z"]
    assert configs_first(["--a", "--config"]) == (["--config", "--a"], True)
