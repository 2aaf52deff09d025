"""`prefalign vision_llm chair` from files to what it prints."""

import gzip
import json
from pathlib import Path

import pytest

from prefalign_vision_llm.commands.chair import main

OBJECTS = {"1": ["dog"], "2": ["cat", "bed"], "000003": ["dog"]}
CAPTIONS = [
    {"image_id": 1, "caption": "A dog chases another dog and a frisbee.", "prompt": "Describe."},
    {"image_id": "2", "caption": "A quiet room with a bus"},
    {"image_id": 3, "caption": "cats and cats and cats"},
]


class Folder:
    """Writes the two files and runs the command on them."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.captions, self.objects, self.vocabulary = (
            path / "captions.jsonl",
            path / "objects.json",
            path / "words.json",
        )
        self.capsys = capsys

    def run(self, *flags: str, captions: object = CAPTIONS, objects: object = OBJECTS) -> tuple[int, str, str]:
        lines = captions if isinstance(captions, str) else "\n".join(map(json.dumps, captions))  # type: ignore[call-overload]
        self.captions.write_text(lines, encoding="utf-8")
        self.objects.write_text(objects if isinstance(objects, str) else json.dumps(objects), encoding="utf-8")
        code = main([str(self.captions), "--objects", str(self.objects), *flags])
        out, err = self.capsys.readouterr()
        return code, out, err


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    return Folder(tmp_path, capsys)


def test_json(folder: Folder) -> None:
    """Mentions dog dog frisbee | - | cat cat cat: 4 of 6 wrong, in 2 of 3 captions; recalls 1 of 4; `bus` is lost."""
    code, out, err = folder.run("--json", "--per-object")
    report = json.loads(out)
    assert (code, err) == (0, "")
    rates = {name: report.pop(name) for name in ("chair_i", "chair_s", "recall")}
    assert rates == pytest.approx({"chair_i": 400 / 6, "chair_s": 200 / 3, "recall": 25})
    rows = report.pop("per_object")
    assert list(rows) == ["cat", "frisbee", "dog", "bed"]
    assert rows["cat"] == {"mentions": 3, "hallucinated": 3, "present": 1, "recalled": 0}
    assert rows["dog"] == {"mentions": 2, "hallucinated": 0, "present": 2, "recalled": 1}
    assert report == {
        "unit": "percent",
        "captions": 3,
        "captions_hallucinated": 2,
        "mentions": 6,
        "hallucinated": 4,
        "objects_present": 4,
        "objects_recalled": 1,
        "words_not_counted": {"bus": 1},
    }


def test_text(folder: Folder) -> None:
    """The same for people, with a word on what was not counted."""
    code, out, _ = folder.run("--per-object")
    assert code == 0
    assert out.splitlines()[:5] == [
        "CHAIRi    66.67 %   4 of 6 object mentions",
        "CHAIRs    66.67 %   2 of 3 captions",
        "recall    25.00 %   1 of 4 objects present",
        "",
        "Not counted, as in published figures: bus (1). --known-first counts them.",
    ]
    assert out.splitlines()[6:8] == [
        "object   mentions  hallucinated       %  present  recalled",
        "cat             3             3   100.0        1         0",
    ]


def test_known_first_and_strict(folder: Folder) -> None:
    """`bus` counts under --known-first; `motor bike` is dead under --strict."""
    assert json.loads(folder.run("--json", "--known-first")[1])["mentions"] == 7
    assert json.loads(folder.run("--json", "--known-first")[1])["words_not_counted"] == {}
    captions = [{"image_id": 1, "caption": "a motor bike"}]
    assert json.loads(folder.run("--json", captions=captions)[1])["mentions"] == 1
    assert json.loads(folder.run("--json", "--strict", captions=captions)[1])["mentions"] == 0


@pytest.mark.parametrize("words", ['["circle", "bus"]', '{"circle": ["disc"], "bus": []}', '"circle"\n"bus"'])
def test_vocabulary(folder: Folder, words: str) -> None:
    """Other objects, known words first: circle, bus and not dog; 1 of 2 hallucinated."""
    folder.vocabulary.write_text(words)
    captions, objects = [{"image_id": 1, "caption": "circles, a bus and a dog"}], {"1": ["circle"]}
    code, out, _ = folder.run("--json", "--vocabulary", str(folder.vocabulary), captions=captions, objects=objects)
    assert (code, json.loads(out)["chair_i"], json.loads(out)["recall"]) == (0, 50, 100)


@pytest.mark.parametrize(
    "words", ['[["circle"]]', '["circle", 3]', '{"circle": "disc"}', "[]", '{"a": ["b"], "c": ["b"]}']
)
def test_vocabulary_refused(folder: Folder, words: str) -> None:
    """A vocabulary of another layout is refused with its file."""
    folder.vocabulary.write_text(words)
    code, out, err = folder.run("--vocabulary", str(folder.vocabulary))
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {folder.vocabulary}: ")


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ("", "{captions}: the file is empty"),
        ('{"image_id": 1, "caption": "a dog"}\n{"image_id": 2, "cap', "{captions}:2: broken or half a JSON record"),
        ([{"image_id": 1, "capton": "a dog"}], "{captions}:1, field 'caption': missing; did you mean 'capton'?"),
        ([{"caption": "a dog"}], "{captions}:1, field 'image_id': missing; there is 'caption'"),
        ([{"image_id": 1, "caption": None}], "{captions}:1, field 'caption': expected a text, found null"),
        (
            [{"image_id": 1.5, "caption": "a dog"}],
            "{captions}:1, field 'image_id': expected a whole number or a text, found 1.5",
        ),
        (
            [{"image_id": True, "caption": "a dog"}],
            "{captions}:1, field 'image_id': expected a whole number or a text, found true",
        ),
        (["a dog"], '{captions}:1: expected a JSON object, found "a dog"'),
        (
            [*CAPTIONS, {"image_id": "01", "caption": ""}],
            "{captions}:4, field 'image_id': image 1 has a caption at {captions}:1",
        ),
        (
            [{"image_id": 8, "caption": ""}, *CAPTIONS, {"image_id": "x.jpg", "caption": ""}],
            "{objects} has no objects for 2 of the 5 images of {captions}; its image ids look like '1'\n"
            "  {captions}:1: image 8\n  {captions}:5: image x.jpg\n",
        ),
        ([{"image_id": i, "caption": ""} for i in range(10, 30)], "  {captions}:10: image 19\n  and 10 more\n"),
    ],
)
def test_bad_captions(folder: Folder, captions: object, message: str) -> None:
    """File, line, field, what was found and what was expected; nothing on the output."""
    code, out, err = folder.run("--json", captions=captions)
    assert (code, out) == (1, "")
    assert message.format(captions=folder.captions, objects=folder.objects) in err


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ("", "{objects}: the file is empty"),
        ({}, "{objects}: no images in it"),
        ('{"1": ["dog"], "1": ["cat"]}', "{objects}:1: key '1' stands twice"),
        ({"1": ["dog"], "01": ["dog"]}, "{objects}, image '01': stands twice"),
        ({"1": "dog"}, "{objects}, image '1': expected a list of names, found \"dog\""),
        ({"1": {"dog": 1}}, "{objects}, image '1': expected a list of names, found {{\"dog\": 1}}"),
        ({"1": ["dog", 3]}, "{objects}, image '1': expected a list of names, found [\"dog\", 3]"),
        ({"1": ["dgo"]}, "{objects}, image '1': unknown object 'dgo'; did you mean 'dog'"),
        ({"1": ["puppy"]}, "{objects}, image '1': unknown object 'puppy'; its object is 'dog'"),
        ([{"1": ["dog"]}, {"2": ["dog"]}], "{objects}:1: a second JSON value"),
        (["dog"], '{objects}:1: expected a JSON object, found "dog"'),
        ('{"1": ["dog"]', "{objects}:1: broken or half a JSON record"),
    ],
)
def test_bad_objects(folder: Folder, objects: object, message: str) -> None:
    """The file, the image and the object are named."""
    code, out, err = folder.run(objects=objects)
    assert (code, out) == (1, "")
    assert message.format(objects=folder.objects) in err


def test_images_without_objects_and_empty_captions_count(folder: Folder) -> None:
    """An image may hold nothing, and a model may say nothing: 1 of 1 mention is wrong, in 1 of 2 captions."""
    captions = [{"image_id": 1, "caption": "a dog"}, {"image_id": 2, "caption": ""}]
    report = json.loads(folder.run("--json", captions=captions, objects={"1": [], "2": []})[1])
    assert (report["chair_i"], report["chair_s"], report["recall"]) == (100, 50, 0)


def test_flags_that_exclude_each_other(folder: Folder) -> None:
    """--strict is about the COCO table as released; argparse refuses it beside the others."""
    with pytest.raises(SystemExit):
        folder.run("--strict", "--known-first")


@pytest.mark.parametrize(
    ("name", "chair_i", "chair_s", "recall"),
    [
        ("Instruction1_llava", 18.76, 62.70, 76.7),
        ("Instruction1_minigpt-4", 9.19, 31.50, 60.9),
        ("Instruction2_mplug", 14.83, 25.40, 46.8),
        ("Instruction2_instructblip", 2.63, 3.70, 42.2),
    ],
)
def test_real_captions(
    shared_data: Path, capsys: pytest.CaptureFixture[str], name: str, chair_i: float, chair_s: float, recall: float
) -> None:
    """The published figures of four models, by the command with its defaults."""
    captions, objects = shared_data / f"pope_captions_{name}.jsonl.gz", shared_data / "coco_val2014_objects.json.gz"
    assert main([str(captions), "--objects", str(objects), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["chair_i"] == pytest.approx(chair_i, abs=0.02)
    assert report["chair_s"] == pytest.approx(chair_s, abs=0.02)
    assert report["recall"] == pytest.approx(recall, abs=0.07)
    assert report["captions"] == 2000


def test_published_layout_of_concatenated_objects(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records one behind the other without a line break, as POPE's own files have them, score the same."""
    source, objects = (
        shared_data / "pope_captions_Instruction2_instructblip.jsonl.gz",
        str(shared_data / "coco_val2014_objects.json.gz"),
    )
    joined = tmp_path / "captions.json"
    joined.write_bytes(gzip.decompress(source.read_bytes()).replace(b"\n", b""))
    assert main([str(source), "--objects", objects, "--json"]) == 0
    expected = capsys.readouterr().out
    assert main([str(joined), "--objects", objects, "--json"]) == 0
    assert capsys.readouterr().out == expected
