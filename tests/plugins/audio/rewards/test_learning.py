"""The reward learns from labels and from pairs, through the core's training."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from prefalign.cli.main import main
from prefalign.data.module import PreferenceDataModule
from prefalign.data.store import write_jsonl
from prefalign.interfaces import Media, Pair, PreferenceRecord, Prompt, Response, Unary
from prefalign.objectives.reward_modelling import BradleyTerry, Pointwise
from prefalign.training.reward_learning import RewardLearning
from prefalign_audio.rewards.sound_text import SoundTextReward

CLASSES = 6


def labelled(tone: Callable[..., Media], count: int, seed: int) -> list[PreferenceRecord]:
    """Captions name a pitch; of four clips two have it (label 1) and two another (label 0)."""
    records = []
    for index in range(count):
        named = index % CLASSES
        other = (named + 1 + index // CLASSES % (CLASSES - 1)) % CLASSES
        clips = [tone(pitch, seed + 4 * index + place) for place, pitch in enumerate((named, other, named, other))]
        records.append(
            PreferenceRecord(
                id=f"{seed}-{index}",
                prompt=Prompt(text=f"pitch {'abcdef'[named]}"),
                responses=tuple(Response(media=(Media(kind="audio", path=Path(str(c.path)).name),)) for c in clips),
                verdict=Unary((True, False, True, False)),
            )
        )
    return records


def paired(records: Sequence[PreferenceRecord]) -> list[PreferenceRecord]:
    return [
        PreferenceRecord(id=record.id, prompt=record.prompt, responses=record.responses[:2], verdict=Pair())
        for record in records
    ]


@pytest.fixture
def sets(tone: Callable[..., Media], tmp_path: Path) -> dict[str, str]:
    """60 prompts to learn from and 30 held out, as labels and as pairs."""
    found = {}
    for name, count, seed in (("train", 60, 0), ("val", 30, 10_000)):
        records = labelled(tone, count, seed)
        for kind, rows in (("labels", records), ("pairs", paired(records))):
            found[f"{name}-{kind}"] = str(tmp_path / f"{name}-{kind}.jsonl")
            write_jsonl(rows, Path(found[f"{name}-{kind}"]))
    return found


def learn(module: RewardLearning, data: PreferenceDataModule, epochs: int, tmp_path: Path) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        check_val_every_n_epoch=epochs,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data)
    return trainer


@pytest.mark.parametrize(
    ("kind", "objective", "rate"), [("labels", Pointwise(), 1e-2), ("pairs", BradleyTerry(), 1e-3)]
)
def test_learns_to_judge_held_out_clips(
    sets: dict[str, str],
    spectrum: Callable[..., Any],
    words: Callable[[], Any],
    tmp_path: Path,
    kind: str,
    objective: Any,
    rate: float,
) -> None:
    """From chance to 95 of 100, with the paper's optimiser; which pitch is right depends on the caption, so no linear
    function of the two vectors could. Each clip is encoded once, whatever the number of epochs."""
    encoder = spectrum()
    reward = SoundTextReward(encoder, words())
    module = RewardLearning(reward, objective, optimizer=lambda p: torch.optim.Adam(p, lr=rate, weight_decay=1e-5))
    data = PreferenceDataModule(train=sets[f"train-{kind}"], val=sets[f"val-{kind}"], batch_size=8)
    trainer = learn(module, data, 25, tmp_path)
    assert trainer.callback_metrics["val/accuracy"] >= 0.95
    assert encoder.heard == (360 if kind == "labels" else 180)


def test_a_run_of_the_command_trains_validates_and_exports(
    clap: str, sets: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a config alone; the exported folder scores clips in another process."""
    monkeypatch.chdir(tmp_path)
    config = {
        "model": {
            "class_path": "core/reward_learning",
            "init_args": {
                "reward": {
                    "class_path": "prefalign_audio.rewards.sound_text.SoundTextReward",
                    "init_args": {"encoder": f"clap:{clap}", "resample": True, "cache": str(tmp_path / "cache")},
                },
                "objective": {"class_path": "core/pointwise"},
                "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01, "weight_decay": 1.0e-5}},
            },
        },
        "data": {
            "class_path": "core/preferences",
            "init_args": {"train": sets["train-labels"], "val": sets["val-labels"], "batch_size": 8},
        },
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": 2,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": [{"class_path": "core/export", "init_args": {"folder": str(tmp_path / "export")}}],
        },
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", "run.yaml"]) == 0
    settings = json.loads((tmp_path / "export" / "sound_text_reward.json").read_text())
    assert settings["encoder"] == f"clap:{clap}"
    reward = SoundTextReward.from_pretrained(tmp_path / "export", cache=str(tmp_path / "cache"))
    clip = next(tmp_path.glob("tone-*.wav"))
    (score,) = reward.probabilities([Media(kind="audio", path=str(clip))], ["pitch a"]).tolist()
    assert 0 < score < 1


def test_bad_clips_are_left_out_with_their_reasons_and_the_run_goes_on(
    sets: dict[str, str], spectrum: Callable[..., Any], words: Callable[[], Any], tmp_path: Path
) -> None:
    (tmp_path / "tone-0-0-8000-1.wav").write_bytes(b"RIFF")
    module = RewardLearning(
        SoundTextReward(spectrum(), words()), Pointwise(), optimizer=lambda p: torch.optim.Adam(p, lr=1e-2)
    )
    data = PreferenceDataModule(
        train=sets["train-labels"], on_bad_record="skip", quarantine=str(tmp_path / "quarantine"), batch_size=8
    )
    with pytest.warns(UserWarning, match="left out 1 of 60 records"):
        learn(module, data, 1, tmp_path)
    written = "".join(file.read_text() for file in (tmp_path / "quarantine").rglob("*") if file.is_file())
    assert "no readable sound" in written
    assert "0-0" in written
