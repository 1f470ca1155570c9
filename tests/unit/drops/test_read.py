import csv
import hashlib
import io
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.drops import limits
from streamflow.drops.raw_file import FileError
from streamflow.drops.read import CsvReader, raw_records

FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
RECORDS = st.lists(st.lists(FIELD, min_size=2, max_size=3), min_size=1, max_size=12)


def quoted(field):
    """Quote a field as in RFC 4180. Before Python 3.13, csv.writer does not quote a lone carriage return."""
    return '"' + field.replace('"', '""') + '"' if set(field) & set(',"\r\n') else field


def read(path, rows=3):
    with CsvReader(path) as reader:
        header = reader.header()
        chunks = list(reader.chunks(rows))
        return header, chunks, reader


def write(folder, text, name="t.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, rows=st.integers(1, 5), end=st.sampled_from(["\n", "\r\n"]), mark=st.booleans())
def test_what_was_written_is_read_with_its_lines(tmp_path, records, rows, end, mark):
    text = "".join(",".join(map(quoted, record)) + end for record in [["a", "b"], *records])
    content = text.encode("utf-8-sig" if mark else "utf-8")
    path = write(tmp_path, content)
    header, chunks, reader = read(path, rows)
    assert header == ["a", "b"]
    assert [fields for chunk in chunks for fields in chunk.fields] == records
    assert all(len(chunk.fields) <= rows for chunk in chunks)
    # Parsing the raw text of a record alone yields the same record, and line numbers are consecutive.
    line = 2
    for chunk in chunks:
        for at, fields in enumerate(chunk.fields):
            assert chunk.starts[at] == line
            line = chunk.ends[at] + 1
            assert next(csv.reader(io.StringIO(chunk.raw(at), newline=""))) == fields
    assert reader.sha256 == hashlib.sha256(content).hexdigest()
    assert reader.bytes_read == len(content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), rows=st.integers(1, 5))
def test_any_bytes_are_read_or_refused_in_words(tmp_path, content, rows):
    path = write(tmp_path, content)
    try:
        header, chunks, _ = read(path, rows)
    except FileError as problem:
        assert str(problem).endswith(".")
    else:
        assert any(header)
        assert content.endswith((b"\n", b"\r"))
        assert all(len(c.fields) == len(c.starts) == len(c.ends) for c in chunks)


def test_broken_quoting_costs_one_record_and_not_the_next(tmp_path):
    path = write(tmp_path, 'a,b\n"x"y,1\nz,2\n')
    _, (chunk,), _ = read(path)
    assert chunk.fields == [None, ["z", "2"]]
    assert (chunk.starts, chunk.raw(0)) == ([2, 3], '"x"y,1')


def test_the_text_of_chosen_records_is_found_again(tmp_path):
    path = write(tmp_path, 'a,b\n1,"x\ny"\n2,z\n3,"w\n"\n')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(raw_records(path, path.stat().st_size, digest, {2, 5}, 1)) == [
        (2, '1,"x\ny"'),
        (5, '3,"w\n"'),
    ]


def test_the_text_of_a_file_that_changed_is_refused(tmp_path):
    path = write(tmp_path, "a,b\n1,2\n")
    with pytest.raises(FileError, match="changed while it was read"):
        list(raw_records(path, path.stat().st_size, "0" * 64, {2}, 10))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty."),
        (b"\n", "has an empty first line"),
        ("a,b\nü,1\n".encode("latin-1"), "line 2, byte 1 is 0xFC"),
        ("a,b\n".encode("utf-16"), "UTF-16"),
        (b"a;b\n1;2\n", "semicolons"),
        (b"a\tb\n1\t2\n", "tabs"),
        (b"a|b\n1|2\n", "vertical bars"),
        (b"a,b\n1,2\n3", "ends in the middle of line 3"),
        (b'a,b\n1,2\n"3,4\n5,6\n', "opened in or after line 3 and never closed"),
        (b"a,b\n1,\0\n", "zero byte (line 2, byte 3)"),
        (b'a,b\n"' + b"x" * 200_000 + b"\n1,2\n", "never closed"),
    ],
)
def test_a_file_that_is_no_whole_utf8_csv_is_refused(tmp_path, content, message):
    with pytest.raises(FileError) as caught:
        read(write(tmp_path, content))
    assert message in str(caught.value)


def test_an_undecodable_byte_far_into_the_file_is_located(tmp_path):
    path = write(tmp_path, b"a,b\n" + b"1,2\n" * 500_000 + b"\xe9,2\n" + b"1,2\n" * 10)
    with pytest.raises(FileError, match=r"line 500002, byte 1 is 0xE9"):
        read(path, 50_000)


RECORD = b"x," * (limits.COLUMNS - 1) + b"x\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a" * (limits.HEADER_BYTES + 1) + b"\n", "has a header of more than 65,536 bytes (line 1)"),
        (b"a," * limits.HEADER_BYTES, "has a header of more than 65,536 bytes (line 1)"),
        (b'"a\n",' * (limits.HEADER_BYTES // 4) + b"b\n", "has a record of more than 65,536 characters"),
        (b"a," * limits.COLUMNS + b"b\n", "has 1,601 fields on line 1; at most 1,600"),
        (b"a,b\r\n1,2\r\n" + b"," * limits.COLUMNS + b"\n", "has 1,601 fields on line 3; at most 1,600"),
        (b"a,b\n1,2\n" + b"x" * (limits.RECORD_BYTES + 1) + b"\n", "more than 1,048,576 bytes (line 3)"),
        (b"a,b\r1,2\r" + b"x" * (limits.RECORD_BYTES + 1), "more than 1,048,576 bytes (line 3)"),
        (b"a,b\n1,2\n" + b'"y\n",' * 300_000 + b"\n", "characters, which begins on line 3."),
        (b'a,b\n"' + b"y" * limits.FIELD_CHARACTERS + b'z",1\n', "a field of more than 131,072 characters"),
    ],
)
def test_a_file_beyond_the_limits_is_refused(tmp_path, content, message):
    with pytest.raises(FileError) as caught:
        read(write(tmp_path, content))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_file_at_the_limits_is_read(tmp_path):
    name = b"a" * (limits.HEADER_BYTES - 2)
    header, chunks, _ = read(
        write(tmp_path, name + b",b\n" + RECORD + b"x" * limits.FIELD_CHARACTERS + b",1\n")
    )
    assert header == [name.decode(), "b"]
    ((wide, (long, _)),) = [chunk.fields for chunk in chunks]
    assert (len(wide), len(long)) == (limits.COLUMNS, limits.FIELD_CHARACTERS)
    record = b"x" * (limits.FIELD_CHARACTERS - 1) + b","
    longest = record * 8
    assert len(longest) == limits.RECORD_BYTES
    assert len(read(write(tmp_path, b"a\n" + longest + b"\n"))[1]) == 1


def test_the_longest_field_is_the_one_that_python_reads():
    assert csv.field_size_limit() == limits.FIELD_CHARACTERS


@pytest.mark.parametrize(
    ("line", "rows"),
    [(b"," * 999 + b"\n", 2_000), (b"x" * 100_000 + b",1\n", 400), (b'"' + b"x" * 100_000 + b'"y\n', 400)],
)
def test_wide_or_long_rows_are_read_fewer_at_a_time(tmp_path, line, rows):
    _, chunks, _ = read(write(tmp_path, b"a,b\n" + line * rows), rows)
    assert sum(len(chunk.fields) for chunk in chunks) == rows
    assert len(chunks) > 1
    for chunk in chunks:
        assert sum(len(fields or ()) for fields in chunk.fields) <= limits.CHUNK_CELLS + limits.COLUMNS
        assert sum(map(len, chunk.text)) <= limits.CHUNK_CHARACTERS + limits.RECORD_BYTES


def test_the_documentation_states_the_limits():
    page = (Path(__file__).parents[3] / "docs" / "how-to.md").read_text(encoding="utf-8")
    section = page.partition("What may be in a drop")[2].partition("## ")[0]
    stated = sorted(
        int(number.replace(",", "")) for number in re.findall(r"\d+,[\d,]*\d|\b80\b|\b400\b", section)
    )
    assert stated == sorted(
        [
            limits.ENTRIES,
            limits.HEADER_BYTES,
            limits.RECORD_BYTES,
            limits.FIELD_CHARACTERS,
            limits.COLUMNS,
            limits.CHECKSUM_BYTES,
            limits.SHOWN_CHARACTERS,
            limits.SHOWN_PATH_CHARACTERS,
        ]
    )


def test_a_file_that_grew_since_it_was_fingerprinted_is_read_no_further(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"user_id\na\n")
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"b\n" * 1_000)
    with CsvReader(path, size) as reader:
        reader.header()
        with pytest.raises(FileError, match="changed while it was read"):
            list(reader.chunks(10))
        assert reader.bytes_read == size + 1
