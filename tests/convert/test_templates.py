# SPDX-License-Identifier: MIT
"""The shipped templates: each makes of tests/templates/NAME/input.hl7 what expected.hl7 says."""
import re

import pytest

from tool import (CR, LF, RECEIVE, SOURCE, TEMPLATES, check_golden, convert, frame, masked, run,
                  sample_files, sample_name, split_messages, no_samples)

CASES = SOURCE / "tests" / "templates"
NAMES = sorted(p.stem for p in TEMPLATES.glob("*.hl7t"))
CONVERSIONS = [n for n in NAMES if not n.startswith("ack")]
TABLES = f"--tables={TEMPLATES}/tables"


def text_of(name):
    return (TEMPLATES / f"{name}.hl7t").read_text(encoding="utf-8")


def test_each_has_a_case():
    assert NAMES == sorted(p.name for p in CASES.iterdir() if p.is_dir())


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversion(name):
    done = convert("--lines", TABLES, TEMPLATES / f"{name}.hl7t", CASES / name / "input.hl7")
    assert (done.status, done.told) == (0, "")
    check_golden(CASES / name / "expected.hl7", masked(done.out))


@pytest.mark.skipif(not RECEIVE.exists(), reason="hl7-receive is not built")
@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("ack")])
def test_acknowledgement(tmp_path, name):
    (tmp_path / "ack.d").mkdir()
    (tmp_path / "ack.d/t.hl7t").write_text(text_of(name), encoding="utf-8")
    message = (CASES / name / "input.hl7").read_bytes().replace(LF, CR)
    done = run([RECEIVE, "--no-store", f"--ack-templates={tmp_path}/ack.d", "--log=stderr",
                f"--convert-templates={tmp_path}/none", f"--tables={tmp_path}/none"],
               frame(message))
    check_golden(CASES / name / "expected.hl7", masked(done.out[1:-2]).replace(CR, LF))


@pytest.mark.parametrize("name", NAMES)
def test_it_compiles_without_a_word(tmp_path, name):
    for destination in re.findall(r"^\{to (\w+)\}", text_of(name), re.M):
        (tmp_path / f"{destination}.conf").touch()
    done = convert("--check", TABLES, f"--destinations={tmp_path}", TEMPLATES / f"{name}.hl7t")
    assert (done.status, done.told) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_it_explains_itself(name):
    lines = text_of(name).splitlines()
    assert lines[0].startswith("# ") and lines[1].startswith("#")
    assert all(len(line) <= 106 for line in lines if line.lstrip().startswith("#"))


@pytest.mark.parametrize("name", CONVERSIONS)
def test_every_field_stands_where_it_is_read(name):
    """A separator too many is seen by nobody: {OBR-7} in a line OBR must be its field 7."""
    for line in (line.strip() for line in text_of(name).splitlines()):
        match = re.match(r"([A-Z][A-Z0-9]{2})\|", line)
        for number, part in enumerate(re.split(r"\|(?![^{}]*\})", line) if match else []):
            read = [int(n) for n in re.findall(rf"{match[1]}(?:\[\d+\])?-(\d+)", part)]
            assert not read or number + (match[1] == "MSH") in read, f"{line}: {part}"


def test_pass_through_is_byte_for_byte():
    data = (CASES / "pass-through/input.hl7").read_bytes().replace(LF, CR)
    assert convert(TEMPLATES / "pass-through.hl7t", data=frame(data)).out == data


def test_results_of_no_patient_are_refused():
    message = b"MSH|^~\\&|LAB||||||ORU^R01|M1|P|2.5\rOBR|1|||CT\r"
    done = convert(TEMPLATES / "oru-to-ris.hl7t", data=message)
    assert done.status == 1 and "at PID^1^3^1^1" in done.told


# --- the anonymiser over messages it was not made for ---------------------------------------------

# Where a person's data stand: components of these fields are looked for in the result.
PERSONAL = {"PID": (2, 3, 4, 5, 6, 9, 11, 13, 14, 19, 20, 21, 23), "NK1": (2, 4, 5),
            "GT1": (3, 5, 6), "IN1": (16, 19, 36), "PV1": (7, 8, 9, 17, 19),
            "MRG": (1, 7), "PD1": (4,)}

# Words that stand in these fields, and elsewhere with another meaning.
NOT_PERSONAL = re.compile(r"Namespace|[A-Z]{1,5}|\d{1,4}|\W*|x|[A-Z]+[A-Z_ ]*|[A-Za-z]{1,4}")


def identifying(message):
    """Birth dates, and what is long enough in a personal field to be told from a code."""
    sep, component = message[3:4], message[4:5]
    for segment in re.split(rb"[\r\n]+", message):
        fields = segment.split(sep)
        name = fields[0].decode("latin-1")
        for number in PERSONAL.get(name, ()):
            value = fields[number] if number < len(fields) else b""
            # of an identifier, only itself: who assigned it and its kind are kept
            parts = [r.split(component)[0] for r in value.split(b"~")] \
                if number in (2, 3, 4, 1, 19, 20, 21) else re.split(rb"[\^~&]", value)
            for part in parts:
                text = part.decode("latin-1").strip()
                if len(text) > 4 and not NOT_PERSONAL.fullmatch(text):
                    yield part.strip()
        if name == "PID" and len(fields) > 7 and len(fields[7]) >= 8:
            yield fields[7][:8]


@pytest.mark.parametrize("path", sample_files() or [None], ids=sample_name)
def test_anonymised_samples(path):
    if not path:
        no_samples()
    for message in split_messages(path.read_bytes()):
        done = convert(TABLES, TEMPLATES / "anonymise.hl7t", data=frame(message))
        assert done.status == 0, done
        result = re.split(rb"\r", done.out)
        body = b"\r".join(result[1:])
        for value in identifying(message):
            assert not re.search(rb"(?<![A-Za-z0-9])" + re.escape(value) + rb"(?![A-Za-z0-9-])",
                                 body), value
