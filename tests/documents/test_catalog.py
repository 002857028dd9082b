# SPDX-License-Identifier: MIT
"""The journal's catalog compiles, explains every MESSAGE_ID of the sources and no other, and can be copied from.

That the fields its texts use are there is tested with real entries: tests/integration/test_catalog.py.
"""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build"))
CATALOG = SOURCE / "src/journal/hl7-inetd.catalog"
TEXT = CATALOG.read_text(encoding="utf-8")
ENTRIES = {block[:32]: block[33:] for block in re.split(r"(?m)^-- (?=[0-9a-f]{32}$)", TEXT)[1:]}


# What a text may use: journalctl puts in no field with a digit in its name. The text of an entry is ours, and
# the unit is systemd's, and in quotes fit for a shell.
FIELDS = {"MESSAGE", "_SYSTEMD_UNIT"}
IN_COMMANDS = {"_SYSTEMD_UNIT"}


def source_ids():
    found = set()
    for path in (SOURCE / "src").rglob("*.[ch]"):
        found |= set(re.findall(r'"([0-9a-f]{32})"', path.read_text(encoding="utf-8")))
    return found


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A root folder with this catalog in it, and what journalctl said of it."""
    root = tmp_path_factory.mktemp("root")
    folder = root / "usr/lib/systemd/catalog"
    folder.mkdir(parents=True)
    (root / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(CATALOG, folder)
    done = subprocess.run(["journalctl", f"--root={root}", "--update-catalog"], text=True, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          env={**os.environ, "SYSTEMD_LOG_LEVEL": "debug"})
    return root, done.stdout


def test_it_compiles_without_a_complaint(compiled):
    root, said = compiled
    assert f"Found {len(ENTRIES)} items in catalog." in said
    listed = subprocess.run(["journalctl", f"--root={root}", "--list-catalog"], text=True, check=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60).stdout
    assert len(listed.splitlines()) == len(ENTRIES)
    assert {line[:32] for line in listed.splitlines()} == set(ENTRIES)


def test_every_message_id_and_no_other():
    assert len(re.findall(r"(?m)^-- ", TEXT)) == len(ENTRIES), "one is there twice"
    assert set(ENTRIES) == source_ids()


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda text: text.splitlines()[0][9:60])
def test_entry(entry):
    head, _, body = entry.partition("\n\n")
    lines = dict(line.split(": ", 1) for line in head.splitlines())
    assert list(lines) == ["Subject", "Defined-By", "Documentation"]
    assert lines["Defined-By"] == "hl7-inetd"
    for page in lines["Documentation"].split():
        name, section = re.fullmatch(r"man:([\w-]+)\((\d)\)", page).groups()
        assert list((SOURCE / "src").glob(f"*/{name}.{section}")), page
    assert len(body.strip()) > 100
    for line in entry.splitlines():
        assert len(line) <= 80, line


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda text: text.splitlines()[0][9:60])
def test_commands(entry):
    """Somebody copies them to a shell: no peer's bytes in them. Options and commands are ours."""
    assert set(re.findall(r"@(\w+)@", entry)) <= FIELDS
    for line in re.findall(r"(?m)^ +(?:hl7-|systemctl|journalctl|df).*", entry):
        assert set(re.findall(r"@(\w+)@", line)) <= IN_COMMANDS, line
    queue = (SOURCE / "src/queue/options.c").read_text(encoding="utf-8")
    for command in re.findall(r"\bhl7-queue (\w+)", entry):
        assert re.search(rf'\[COMMAND_\w+\] = \{{ "{command}"', queue), command
    helped = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "src").rglob("*.c"))
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", entry):
        assert option in helped + "--since ", option


@pytest.mark.parametrize("identifier, entry", ENTRIES.items(), ids=ENTRIES)
def test_it_asks_for_its_own_entry(identifier, entry):
    assert set(re.findall(r"MESSAGE_ID=(\w+)", entry)) <= {identifier}


def test_fields_it_speaks_of():
    """The pages have them; that entries of the kind do: tests/integration/test_catalog.py."""
    pages = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "src").glob("*/*.8"))
    for name in set(re.findall(r"\bHL7_[A-Z_]+\b", TEXT)) - {"HL7_", "HL7_QUEUE_EXPIRE_OPTIONS"}:
        assert name in pages, name


@pytest.mark.parametrize("folder", ["convert.d", "ack.d"])
def test_it_finds_the_broken_template(tmp_path, folder):
    """What is to be typed when a template does not work names the one, in whichever folder it is."""
    typed = set(re.findall(r"(?m)^ +(hl7-convert .*)", TEXT))
    assert typed
    for name in "convert.d", "ack.d", "tables":
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / folder / "broken.hl7t").write_text("MSH|^~\\&|{MSH-5|\n", encoding="ascii")
    for command in typed:
        command = command.replace("/etc/hl7-inetd", str(tmp_path)).replace("hl7-convert", str(BUILD / "src/convert/hl7-convert"))
        done = subprocess.run(["bash", "-c", command], text=True, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
        assert done.returncode == 78 and f"{folder}/broken.hl7t:1:10: error" in done.stdout, done


def test_installed():
    done = subprocess.run(["meson", "introspect", "--installed", BUILD], stdout=subprocess.PIPE, text=True, check=True)
    assert '"/usr/lib/systemd/catalog/hl7-inetd.catalog"' in done.stdout
