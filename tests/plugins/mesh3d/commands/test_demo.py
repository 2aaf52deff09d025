"""The demonstration's command: bad input is refused at once, and a rule that fails is an exit code of 1."""

import json
from dataclasses import asdict

import pytest

from prefalign.cli.main import main as prefalign
from prefalign_mesh3d.commands.demo import main
from prefalign_mesh3d.demo import preparation, runs
from prefalign_mesh3d.demo.preparation import Plan, Prepared

ARGUMENTS = ["--arms", "coin,rft"]
FIGURES = ("chamfer", "boundary", "closed", "ended", "length")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """The command sets these for torch; they are put back."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def seeds_run(monkeypatch):
    """`run_seed` without learning; the anchor-free arm raises its alarm at seed 0 alone. Returns the calls."""
    calls = []

    def run_seed(folder, seed, names, plan, log):
        folder.mkdir(parents=True, exist_ok=True)
        log("trained nothing")
        calls.append((folder.name, seed, list(names), plan))
        figures = {f"{name}@{t}": 0.5 for name in FIGURES for t in (1.0, 0.7)}
        rows = {name: {**figures, "alarm": float(seed == 0), "seconds": 1.0} for name in names}
        return Prepared(folder, None, {"pairs": 7}), {"base": figures, **rows}

    monkeypatch.setattr(runs, "run_seed", run_seed)
    return calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arms", "coin,dpoo"], "unknown arm 'dpoo'; did you mean 'dpo'"),
        (["--arms", "rft_2"], "rft_2 starts from rft"),
        (["--seeds", "0,two"], "--seeds: expected whole numbers from 0 up, such as 0,1,2; got 'two'"),
        (["--seeds", "-1"], "got '-1'"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_made(tmp_path, capsys, arguments, message):
    arguments = [f"{arguments[0]}={arguments[1]}", "--out", str(tmp_path / "runs")]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert prefalign(["mesh3d", "demo", *arguments]) == 2
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_another_plan_is_refused(tmp_path, capsys):
    """Its arms belong to another base, and would be taken for this one's."""
    (tmp_path / "seed0").mkdir()
    facts = {"plan": {"seed": 0, **asdict(Plan(steps=5))}}
    (tmp_path / "seed0" / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    assert main(["--out", str(tmp_path)]) == 2
    assert "choose another --out" in capsys.readouterr().err


def test_options_have_the_defaults_that_help_names(seeds_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("prefalign_mesh3d.commands.demo._picture", lambda *args: None)
    main(["--out", str(tmp_path)])
    assert seeds_run == [("seed0", 0, ["coin", "rft", "dpo"], Plan())]
    assert Plan().steps == 700
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "(default coin,rft,dpo)" in said
    assert "(default 700)" in said


def test_a_failed_rule_is_an_exit_code_of_1(seeds_run, tmp_path, capsys):
    arguments = ["--arms", "coin,unanchored", "--out", str(tmp_path), "--seeds"]
    rule = "the alarm is loud on DPO without one"
    assert main([*arguments, "0"]) == 0
    assert f"passed: {rule} (1 of 1 seeds)" in capsys.readouterr().out
    assert main([*arguments, "0,1,0"]) == 1
    out, err = capsys.readouterr()
    assert f"FAILED: {rule} (1 of 2 seeds)" in out
    assert "training never saw, 2 seeds:" in out
    assert "seed 1: trained nothing" in err
    # A seed that is given twice is run once.
    assert [call[1] for call in seeds_run] == [0, 0, 1]


def test_results_are_json_on_demand_and_files_always(seeds_run, tmp_path, capsys):
    assert main([*ARGUMENTS, "--json", "--steps", "5", "--out", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert (printed["seeds"], printed["rules"], printed["facts"]) == ([0], {}, {"0": {"pairs": 7}})
    assert list(printed["figures"]) == ["base", "coin", "rft"]
    assert printed["figures"]["rft"][0]["chamfer@1.0"] == 0.5
    tables = (tmp_path / "results.md").read_text("utf-8")
    assert tables.count("| temperature 1 |") == tables.count("| temperature 0.7 |") == 2
    assert seeds_run[0][3] == Plan(steps=5)


def test_all_arms_and_the_picture_of_the_first_seed(seeds_run, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("prefalign_mesh3d.commands.demo._picture", lambda out, prepared, seed: drawn.append(seed))
    main(["--arms", "all", "--seeds", "2,3", "--out", str(tmp_path)])
    assert len(seeds_run[0][2]) == 10
    assert drawn == [2]


def test_prepare_only_tunes_nothing(seeds_run, tmp_path, monkeypatch, capsys):
    prepared = []
    monkeypatch.setattr(preparation, "prepare", lambda folder, seed, plan, log: prepared.append((folder, seed)))
    assert main(["--prepare-only", "--seeds", "0, 4", "--out", str(tmp_path)]) == 0
    assert prepared == [(tmp_path / "seed0", 0), (tmp_path / "seed4", 4)]
    assert not seeds_run
    assert not capsys.readouterr().out
    assert not list(tmp_path.iterdir())
