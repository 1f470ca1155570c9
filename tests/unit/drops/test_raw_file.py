import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.drops import limits, raw_file
from streamflow.drops.raw_file import FileError, Meter, names, open_file

PIECES = st.lists(
    st.sampled_from(
        [b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xc3", "ü".encode(), "𝄞".encode(), b"a,", b"1" * 9]
    ),
    max_size=40,
).map(b"".join)


def read(path):
    with Meter(path, open_file(path)) as meter:
        while meter.read(raw_file.BLOCK):
            pass
        return meter


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("hunter2,password\n")
    return path


@pytest.fixture
def drop(tmp_path):
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


def test_a_symbolic_link_is_refused(drop, secret):
    (drop / "labels.csv").symlink_to(secret)
    with pytest.raises(FileError, match=r"^is a symbolic link and not a regular file"):
        open_file(drop / "labels.csv")


def test_a_link_in_place_of_the_folder_is_refused(drop, secret):
    (drop.parent / "2024-01-31").symlink_to(secret.parent)
    with pytest.raises(OSError, match="2024-01-31"):
        open_file(drop.parent / "2024-01-31" / "secret")
    with pytest.raises(OSError, match="2024-01-31"):
        names(drop.parent / "2024-01-31")


@pytest.mark.parametrize("kind", ["FIFO", "socket", "folder", "device"])
def test_whatever_is_no_file_is_refused_and_not_waited_for(drop, kind, monkeypatch):
    path = drop / "labels.csv"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        # Relative, because the path of a socket may have 107 bytes only.
        monkeypatch.chdir(drop)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("labels.csv")
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path("/dev/zero")
    with pytest.raises(FileError, match=f"^is a {kind} and not a regular file"):
        open_file(path)


@pytest.mark.parametrize("kind", ["symbolic link", "FIFO"])
def test_a_file_that_is_replaced_just_before_it_is_opened_is_refused(drop, secret, kind, monkeypatch):
    path = drop / "labels.csv"
    path.touch()
    before = os.stat

    def replace(*arguments, **options):
        status = before(*arguments, **options)
        path.unlink()
        path.symlink_to(secret) if kind == "symbolic link" else os.mkfifo(path)
        return status

    monkeypatch.setattr(raw_file.os, "stat", replace)
    with pytest.raises((FileError, OSError)):
        open_file(path)


def test_no_file_stays_open_after_a_refusal(drop):
    os.mkfifo(drop / "fifo")
    before = len(list(Path("/dev/fd").iterdir()))
    for name in ("fifo", "nothing"):
        with pytest.raises((FileError, OSError)):
            open_file(drop / name)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_folder_of_too_many_files_is_refused(drop, monkeypatch):
    monkeypatch.setattr(limits, "ENTRIES", 3)
    for name in "cab":
        (drop / name).touch()
    assert names(drop) == ["a", "b", "c"]
    (drop / "d").touch()
    with pytest.raises(FileError, match="holds more than 3 files"):
        names(drop)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=PIECES, header=st.integers(1, 20), record=st.integers(1, 40))
def test_a_line_is_refused_exactly_when_it_is_too_long(tmp_path, content, header, record):
    content = content.replace(b"\0", b"")
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    first, *others = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "HEADER_BYTES", header)
        # Also the size of a block: lines are put together from several.
        patch.setattr(limits, "RECORD_BYTES", record)
        if len(first) <= header and all(len(line) <= record for line in others):
            assert read(path).count == len(content)
        else:
            with pytest.raises(FileError, match="of more than"):
                read(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=PIECES, block=st.integers(1, 16))
def test_the_first_fault_is_located_whatever_the_blocks(tmp_path, content, block):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    try:
        content.decode()
        broken = len(content)
    except UnicodeDecodeError as error:
        broken = error.start
    fault = min(at for at in (broken, content.find(b"\0")) if at >= 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_file, "BLOCK", block)
        message = raw_file.undecodable(path)
    if fault == len(content):
        assert message == "is not UTF-8; save the file as UTF-8."
        return
    before = content[:fault].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    line, byte = re.search(r"line (\d+), byte (\d+)", message).groups()
    assert (int(line), int(byte)) == (before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))


HOSTILE = """
import re, sys, time
from pathlib import Path
from types import SimpleNamespace
from streamflow.drops import files
from streamflow.drops.read import CsvReader

def peak():
    # Not ru_maxrss, which a process inherits from the one that started it.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

before, start = peak(), time.process_time()
found, problems = files.find([SimpleNamespace(name="labels")], Path(sys.argv[1]), 1 << 41)
for file in found:
    with CsvReader(file.path) as reader:
        reader.header()
        list(reader.chunks(50_000))
print(peak() - before, time.process_time() - start, *problems)
"""


@pytest.mark.parametrize("kind", ["one line of 210 MB", "a million columns", "a terabyte of nothing"])
def test_a_hostile_file_costs_neither_memory_nor_time(drop, kind):
    path = drop / "labels.csv"
    if kind == "one line of 210 MB":
        path.write_bytes(b"user_id,churn_label\n" + b"x" * 210_000_000)
    elif kind == "a million columns":
        path.write_bytes(b",".join(b"c%d" % number for number in range(1_000_000)) + b"\n1\n")
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    answer = subprocess.run(
        [sys.executable, "-c", HOSTILE, str(drop)], capture_output=True, text=True, check=True
    ).stdout
    kibibytes, seconds, problem = answer.split(maxsplit=2)
    assert problem.startswith("labels.csv has a ")
    assert int(kibibytes) < 50 * 1024
    # Processor time, which does not depend on what else the machine does.
    assert float(seconds) < 1
