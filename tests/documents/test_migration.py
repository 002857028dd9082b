# SPDX-License-Identifier: MIT
"""hl7-migration(7): what is named on our side is there, paths read what they are said to, templates make what is shown.

    HL7_BUILD_DIR=build /usr/bin/python3 -m pytest tests/documents/test_migration.py

A comment in front of a block of the page says what the block is, as in hl7-template(5). The paths of python-hl7 are
read with python-hl7 itself, and must give what ours give.
"""
import os
import pathlib
import re
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build"))
PAGE = (SOURCE / "src/manual/hl7-migration.7").read_text(encoding="utf-8")
PROGRAMS = "receive", "forward", "queue", "send", "convert", "show"


def plain(text):
    return text.replace(r"\e", "\\").replace(r"\(dq", '"')


def blocks(kind):
    """{name: text}"""
    found = re.findall(rf'^\.\\" test: {kind} ([\w ]+)\n\.Bd [^\n]*\n(.*?)^\.Ed$', PAGE, re.M | re.S)
    return {name: plain(text) for name, text in found}


TEMPLATES, MESSAGES, RESULTS = blocks("template"), blocks("message"), blocks("result")


def convert(folder, template, message, *options):
    """What a template makes of a message, a segment a line."""
    (folder / "convert.d").mkdir(exist_ok=True)
    (folder / "tables").mkdir(exist_ok=True)
    for name, text in blocks("table").items():
        (folder / "tables" / f"{name}.tsv").write_text(text, encoding="utf-8")
    path = folder / "convert.d" / "x.hl7t"
    path.write_text(template, encoding="utf-8")
    done = subprocess.run([BUILD / "src/convert/hl7-convert", "--lines", *options, path], text=True, check=False,
                          input=message.replace("\n", "\r"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def test_every_mark_was_found():
    marks = re.findall(r'^\.\\" test: (\w+)', PAGE, re.M)
    assert marks.count("paths") == 1
    assert len(marks) - 1 == len(TEMPLATES) + len(MESSAGES) + len(RESULTS) + len(blocks("table")) >= 8
    assert {name.split()[0] for name in RESULTS} == set(TEMPLATES)


@pytest.mark.parametrize("name", RESULTS)
def test_result(name, tmp_path):
    template, message = name.split()
    assert convert(tmp_path, TEMPLATES[template], MESSAGES[message]) == RESULTS[name]


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_without_a_warning(name, tmp_path):
    for folder in "convert.d", "tables", "destinations":
        (tmp_path / folder).mkdir()
    for destination in re.findall(r"^\{to (\w+)\}$", TEMPLATES[name], re.M):
        (tmp_path / "destinations" / f"{destination}.conf").touch()
    for table, text in blocks("table").items():
        (tmp_path / "tables" / f"{table}.tsv").write_text(text, encoding="utf-8")
    path = tmp_path / "convert.d" / "x.hl7t"
    path.write_text(TEMPLATES[name], encoding="utf-8")
    done = subprocess.run([BUILD / "src/convert/hl7-convert", "--check", path], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and not done.stdout, done.stdout


# --- paths ------------------------------------------------------------------------------------

def paths():
    """[(Mirth's, Terser's, python-hl7's, ours)]"""
    table = re.search(r'^\.\\" test: paths\n\.Bd -literal\n(.*?)^\.Ed$', PAGE, re.M | re.S)[1]
    return [re.split(" {2,}", row) for row in table.splitlines()[1:]]


def address(hole):
    """("PID", occurrence, field, repetition, component) of {PID-3[2].1}, 1 where none is told."""
    found = re.fullmatch(r"\{(\w{3})(?:\[(\d)\])?-(\d+)(?:\[(\d)\])?(?:\.(\d))?\}", hole)
    return found[1], *(int(number or 1) for number in found.groups()[1:])


def of_mirth(text):
    found = re.fullmatch(r"\['(\w{3})'\](?:\[(\d)\])?\['\1\.(\d+)'\](?:\[(\d)\])?\['\1\.\3\.(\d)'\]", text)
    return found[1], int(found[2] or 0) + 1, int(found[3]), int(found[4] or 0) + 1, int(found[5])


def of_terser(text):
    found = re.fullmatch(r"(?:/\.)?(\w{3})(?:\((\d)\))?-(\d+)(?:\((\d)\))?(?:-(\d))?", text)
    return found[1], int(found[2] or 0) + 1, int(found[3]), int(found[4] or 0) + 1, int(found[5] or 1)


@pytest.mark.parametrize("row", paths(), ids=lambda row: row[3])
def test_path(row, tmp_path):
    """All four are the same place, and python-hl7 reads there what we do."""
    hl7 = pytest.importorskip("hl7") if not os.environ.get("HL7_STRICT") else __import__("hl7")
    mirth, terser, python, ours = row
    assert of_mirth(mirth) == of_terser(terser) == address(ours)
    message = MESSAGES["lab"]
    value = convert(tmp_path, f"ZZZ|{ours}\n", message).strip().removeprefix("ZZZ|")
    parsed = hl7.parse(message.replace("\n", "\r"))
    theirs = parsed[python] if python.count(".") > 1 or "F10" in python else str(parsed[python])
    assert value and theirs == value


# --- names ------------------------------------------------------------------------------------

def helped():
    said = ""
    for name in PROGRAMS:
        said += subprocess.run([BUILD / f"src/{name}/hl7-{name}", "--help"], text=True, check=True,
                               stdout=subprocess.PIPE).stdout
    return said


def test_options():
    known = set(re.findall(r"--[a-z][\w-]+", helped()))
    told = {"-" + name for name in re.findall(r"\bFl (-[a-z][\w-]+)", PAGE)}
    told |= set(re.findall(r"\bhl7-\w+ (?:[a-z]+ )?(--[a-z][\w-]+)", PAGE))
    assert len(told) > 10 and told <= known, told - known


def test_commands_of_queue():
    known = set(re.findall(r"^  ([a-z]+)(?= )", subprocess.run(
        [BUILD / "src/queue/hl7-queue", "--help"], text=True, check=True, stdout=subprocess.PIPE).stdout, re.M))
    told = set(re.findall(r"hl7-queue ([a-z]+)", PAGE))
    assert len(told) > 4 and told <= known, told - known


def test_settings():
    """Those of a destination and those of a socket unit, with their defaults where the page has some."""
    helped_text = subprocess.run([BUILD / "src/forward/hl7-forward", "--help"], text=True, check=True,
                                 stdout=subprocess.PIPE).stdout
    ours = {"".join(word.capitalize() for word in name.split("-")): line for line, name in
            re.findall(r"^( +--([a-z-]+).*(?:\n {20,}.*)*)", helped_text, re.M)}
    units = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "units").glob("*.in"))
    told = re.findall(r"\bCm (\w+)=(\S*)(?:\n\((\w+)\))?", PAGE)
    assert len(told) > 15
    for name, value, default in told:
        assert name in ours or name == "IPAddressAllow" or f"\n{name}=" in units, name
        if default:
            assert f"default: {default}" in ours.get(name, f"default: {default}"), (name, default)
        if name == "OnError" and value.startswith("fail:3") or name == "OnReject" and value == "retry":
            assert f"default: {value.rstrip(' ;.,')})" in ours[name], (name, value)
    assert "MaxConnections=512\nMaxConnectionsPerSource=64\n" in units and "ListenStream=5123\n" in units


def test_defaults_of_receive():
    text = subprocess.run([BUILD / "src/receive/hl7-receive", "--help"], text=True, check=True,
                          stdout=subprocess.PIPE).stdout
    found = re.findall(r"^\.Fl -([\w-]+)\n\((\w+)\)", PAGE, re.M)
    assert len(found) >= 2
    for name, default in found:
        assert re.search(rf"--{name}=.*(?:\n {{20,}}.*)*default: {default}\b", text), (name, default)


def test_units_and_files():
    units = {path.name.removesuffix(".in") for path in (SOURCE / "units").iterdir()}
    for name in set(re.findall(r"\bhl7-[\w@-]+\.(?:socket|service|path|timer)\b", PAGE)):
        assert re.sub(r"@\w+\.", "@.", name) in units, name
    store = (SOURCE / "src/store/hl7-store.5").read_text(encoding="utf-8")
    for name in set(re.findall(r"\bPa (\w+)/(?:NAME)?", PAGE)) - {"convert", "tables", "destinations"}:
        assert f"{name}/" in store, name


def test_filters_and_lines():
    page = (SOURCE / "src/template/hl7-template.5").read_text(encoding="utf-8")
    filters = set(re.findall(r"\bLi :(\w+)", PAGE))
    assert len(filters) > 7 and all(re.search(rf"^\.It Cm .*:{name}\b", page, re.M) for name in filters)
    lines = set(re.findall(r"\bLi \{([a-z]+)", PAGE))
    assert len(lines) > 5 and all(f"{{{name}" in page for name in lines)


def test_condition(tmp_path):
    """The one in the text compiles, too."""
    condition, = re.findall(r"^\.Li (\{when .*\})$", PAGE, re.M)[:1] or [None]
    assert convert(tmp_path, f"{plain(condition)}\n{{MSH}}\n", MESSAGES["lab"]) == ""


def test_commands_are_of_the_shell():
    found = re.findall(r"^# (.*)$", PAGE, re.M)
    assert len(found) > 8
    for command in found:
        done = subprocess.run(["bash", "-n", "-c", plain(command)], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
