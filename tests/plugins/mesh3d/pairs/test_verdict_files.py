"""People's verdicts as files: both formats, and whatever a stranger's file may hold."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefalign.interfaces import PrefalignError, RecordError
from prefalign_mesh3d.pairs.verdict_files import MAX_LINE, HumanVerdict, read_verdict_file

HEADER = "record,a,b,verdict,annotator\n"


@pytest.fixture
def read(tmp_path):
    """Reads a file of the given content."""

    def read(content, name="people.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_verdict_file(path))

    return read


def line(**changes):
    row = {"record": "r1", "a": 0, "b": 1, "verdict": "a", "annotator": "ann"} | changes
    return json.dumps({key: value for key, value in row.items() if value is not ...}) + "\n"


def test_both_formats_say_the_same(read):
    """A byte order mark, quoted fields, blank lines, columns in another order, and columns of no interest."""
    table = '\ufeffverdict,record,comment,a,b,annotator\n\na,"r,1","good, I think",0,1,ann\nneither,r2,,3,2,\r\n'
    lines = (
        "\n"
        + line(record="r,1", comment={"x": 1})
        + "\n"
        + line(record="r2", a=3, b=2, verdict="neither", annotator=...)
    )
    found = read(table)
    assert found == [
        HumanVerdict("r,1", 0, 1, "a", "ann", "people.csv, line 3"),
        HumanVerdict("r2", 3, 2, "neither", None, "people.csv, line 4"),
    ]
    assert [(v.record, v.a, v.b, v.verdict, v.annotator) for v in read(lines, "people.jsonl")] == [
        (v.record, v.a, v.b, v.verdict, v.annotator) for v in found
    ]
    assert read(lines, "people.jsonl")[1].place == "people.jsonl, line 4"


def test_the_annotator_may_be_left_out(read):
    assert read("record,a,b,verdict\nr,0,1,tie\n")[0].annotator is None


def test_a_quoted_line_break_belongs_to_the_field_and_lines_are_counted_on(read):
    found = read(HEADER + '"r\n1",0,1,a,x\nr2,0,1,b,x\n')
    assert [v.record for v in found] == ["r\n1", "r2"]
    assert found[1].place == "people.csv, line 4"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"people.csv, field 'header': expected a header with record, a, b, verdict"),
        ("record,a,b\nr,0,1\n", r"line 1, field 'verdict': the column is missing; found 'record', 'a', 'b'"),
        ("record,a,b,verdit\nr,0,1,a\n", "line 1, field 'verdit': unknown column 'verdit'; did you mean 'verdict'"),
        ("record,a,b,verdict,anotator\n", "unknown column 'anotator'; did you mean 'annotator'"),
        ("record,a,a,b,verdict\n", "line 1, field 'a': the column stands twice"),
        (HEADER + "r,0,1,a\n", "line 2, field 'row': expected 5 fields, as the header has, got 4"),
        (HEADER + "r,0,1,a,x,y\n", "expected 5 fields, as the header has, got 6"),
        (HEADER + "r,0,1,A,x\n", "line 2, record 'r', field 'verdict': unknown verdict 'A'"),
        (HEADER + "\nr,0,1,niether,x\n", "line 3, .*unknown verdict 'niether'; did you mean 'neither'"),
        (HEADER + "r,0,0,a,x\n", "field 'b': expected two different responses, got 0 twice"),
        (HEADER + ",0,1,a,x\n", "field 'record': expected the id of a record"),
        *(
            (HEADER + f"r,{bad},1,a,x\n", "record 'r', field 'a': expected the index of a response, from 0, got")
            for bad in ("-1", "+2", "1.0", "1e3", "1_0", "", " 2", "٣", "9" * 10, "0x1")
        ),
        (HEADER + 'r,0,1,"a,x\n', "line 2, field 'row': expected CSV: unexpected end of data"),
        (HEADER + 'r,0,1,"a"b,x\n', "line 2, field 'row': expected CSV"),
        (HEADER.encode() + b"r\xff,0,1,a,x\n", "line 2, field 'row': expected UTF-8, got byte 0xff at 1"),
        (HEADER + "r" * (MAX_LINE + 1), f"line 2, field 'row': the line is longer than {MAX_LINE} bytes"),
        (b"\x00" * (MAX_LINE + 1), f"line 1, field 'row': the line is longer than {MAX_LINE} bytes"),
    ],
)
def test_broken_tables(read, content, message):
    with pytest.raises(RecordError, match=message):
        read(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (line() + "{", "line 2, field 'row': expected JSON"),
        (line() + "[1]\n", "line 2, .*expected an object"),
        (line(verdict=...), "line 1, record 'r1', field 'verdict': the column is missing"),
        (line(verdict=..., verdct="a"), "unknown column 'verdct'; did you mean 'verdict'"),
        (line(verdict=1), "field 'verdict': expected text, got 1"),
        (line(verdict=["a"]), "field 'verdict': expected text, got a list of 1"),
        (line(record=7), "line 1, field 'record': expected text, got 7"),
        (line(a=True), "field 'a': expected the index of a response, from 0, got True"),
        (line(a=-1), "field 'a': expected the index"),
        (line(a=1.0), "field 'a': expected the index"),
        (line(a=10**9), "field 'a': expected the index"),
        (line(annotator=[]), "field 'annotator': expected text"),
        (line()[:-2] + ', "a": 2}\n', "line 1, field 'a': the key stands twice"),
        ('{"record": "\\ud800", "a": 0, "b": 1, "verdict": "a"}', "field 'record': expected valid Unicode"),
        ("[" * 50_000, "line 1, .*nested too deeply"),
        (b"\xff\n", "line 1, .*expected UTF-8"),
        (b"{" + b" " * MAX_LINE + b"}", "line 1, .*longer than"),
    ],
)
def test_broken_lines(read, content, message):
    with pytest.raises(RecordError, match=message):
        read(content, "people.jsonl")


def test_a_jsonl_file_without_lines_has_no_verdicts(read):
    assert read("\n\n", "people.jsonl") == []


def test_files_that_are_none(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(PrefalignError, match=r"'people.txt': expected a file of verdicts that ends in .csv or .jsonl"):
        list(read_verdict_file(tmp_path / "people.txt"))
    for name in ("folder.csv", "missing.jsonl"):
        with pytest.raises(PrefalignError, match=f"{name}' is not a file; expected people's verdicts"):
            list(read_verdict_file(tmp_path / name))


@settings(deadline=None)
@given(content=st.binary(max_size=300), name=st.sampled_from(["people.csv", "people.jsonl"]), headed=st.booleans())
def test_any_bytes_are_verdicts_or_an_error_of_ours(tmp_path_factory, content, name, headed):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(HEADER.encode() * headed + content)
    found, problem = [], name
    try:
        found = list(read_verdict_file(path))
    except PrefalignError as error:
        problem = str(error)
    assert name in problem
    assert all(verdict.a != verdict.b for verdict in found)
