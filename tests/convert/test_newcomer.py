# SPDX-License-Identifier: MIT
"""What an integrator asked for in prose, made with the manual alone, over public sample messages.

newcomer/NAME.hl7t has the prose in front of the template. The samples are not part of this project,
so what must come out is told by its fields.
"""
import re

import pytest

from tool import CR, HERE, SAMPLES, convert, no_samples

NEWCOMER = HERE / "newcomer"


def results(name, sample):
    """The segments of each message that the template makes of a sample."""
    if not (SAMPLES / sample).exists():
        no_samples(f"there is no sample {sample} (HL7_SAMPLES)")
    done = convert("--framed", f"--tables={NEWCOMER}/tables", NEWCOMER / f"{name}.hl7t",
                   SAMPLES / sample)
    assert (done.status, done.told) == (0, "")
    return [m.strip(b"\x0b\r").decode("latin-1").split("\r") for m in done.out.split(b"\x1c")[:-1]]


@pytest.mark.parametrize("path", sorted(NEWCOMER.glob("*.hl7t")), ids=lambda p: p.stem)
def test_it_compiles_without_a_word(tmp_path, path):
    for name in re.findall(r"^\{to (\w+)\}", path.read_text(encoding="utf-8"), re.M):
        (tmp_path / f"{name}.conf").touch()
    done = convert("--check", f"--tables={NEWCOMER}/tables", f"--destinations={tmp_path}", path)
    assert (done.status, done.told) == (0, "")


def lipid_panel():
    folder = SAMPLES / "simhospital"
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in files:
        if b"^LIPID^" in path.read_bytes() and b"NHSNMBR" in path.read_bytes():
            return f"simhospital/{path.name}"
    return "simhospital/none"


def test_lipid_board():
    message, = results("lipid-board", lipid_panel())
    kinds = [s[:3] for s in message]
    assert kinds[:4] == ["MSH", "PID", "ZPD", "OBR"] and kinds.count("OBX") == 4
    pid = message[1].split("|")
    assert re.fullmatch(r"\d{10}", pid[3]) and re.fullmatch(r"[A-Z]\w+ [A-Z]\w+", pid[5])
    assert re.fullmatch(r"ZPD\|\d\d/\d\d/\d{4}", message[2])
    values = [s.split("|") for s in message if s.startswith("OBX|")]
    assert sorted(v[3] for v in values) == ["1", "2", "3", "4"]
    assert all(re.fullmatch(r"[<>] [\d.]+", v[7]) for v in values)


def test_lipid_board_without_the_number():
    path = SAMPLES / lipid_panel()
    if not path.exists():
        no_samples()
    data = path.read_bytes().replace(b"NHSNMBR", b"OTHER")
    done = convert(f"--tables={NEWCOMER}/tables", NEWCOMER / "lipid-board.hl7t", data=data)
    assert done.status == 1 and done.out == b""


def test_document_index():
    message, = results("document-index", "fhir-converter/0081.hl7")
    assert [s[:3] for s in message] == ["MSH", "PID", "PV1", "ZOR", "ZOR", "ZDC"]
    assert re.fullmatch(r"PV1\|1\|I\|\w+/\w+/\w+", message[2])
    assert [s.split("|")[1:3] for s in message[3:5]] == [["1", "00012345"], ["2", "00012367"]]
    assert message[3].split("|")[4].count("~") == 2 and "^" not in message[3]
    assert message[5].endswith("|2008-01-31")


def test_statistics():
    message, = results("statistics", "prime-reportstream/0020.hl7")
    assert [s[:3] for s in message] == ["MSH", "ZST", "ZSP"], "the age is no result"
    assert message[1] == "ZST|VA|M|94558-4|NEG|2024-04"
    assert CR.decode() not in "".join(message)
