# SPDX-License-Identifier: MIT
"""README.md says what is so: its commands are run in a copy of the tree, and its paths are there.

    /usr/bin/python3 -m pytest tests/documents

A block marked "console" is run, and what it prints is compared with what the page shows, but for times, numbers
and ids that differ from run to run. A block marked "log" must appear in the listener's log. What the text before
a block says to save as a file is saved, and the listener of the third terminal is started.
"""
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import time

import pytest

import shell
from shell import PATIENCE

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build"))
README = (SOURCE / "README.md").read_text(encoding="utf-8")

BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)


def blocks(kind):
    return [text for marked, text in BLOCKS if marked == kind]


def commands(block):
    """[(command, what it prints)]"""
    return [(m[1], m[2]) for m in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)]


def masked(text):
    for pattern, mask in (
            (r"\b\d{8}T\d{6}\.\d{6}Z-\d+-\d+\b", "FILE"),
            (r"\b20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?\b", "TIME"),
            (r"(?m)(?<=^ris {27}1) +\d+s", " AGE"),
            (r"(?m)(?<=\S) +$|(?<=\S)  +", "  "),
            (r"\b20\d{12}[+-]\d{4}\b(?=\|\|ACK)", "TIME"),
            (r"(?m)(?<=[|=])[0-9A-Z]{20}(?=\|P\||\||$| )", "ID"),
            (r"(?<=HL7_DURATION_USEC=)\d+", "N"),
            (r"(?<=HL7_PEER_PORT=)\d+", "N"),
            (r"(?m)^Installing: .*\n", "")):
        text = re.sub(pattern, mask, text)
    return text.strip()


# where the page says that the programs are, until they are installed
FOUND, = (text for text in blocks("sh") if text.startswith("export PATH="))


def run(command, folder):
    return shell.run(FOUND + command, folder).stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The tree without what was built in it."""
    folder = tmp_path_factory.mktemp("clone") / "hl7-inetd"
    shutil.copytree(SOURCE, folder, ignore=lambda path, names: [
        n for n in names if n in (".git", "node_modules", "__pycache__")
        or (pathlib.Path(path) == SOURCE and n.startswith("build"))])
    return folder


@pytest.fixture(scope="module")
def listener(clone, tmp_path_factory):
    """./packaging/run, as in the first terminal; gives what it has said so far."""
    said = tmp_path_factory.mktemp("listener") / "said"
    with open(said, "w", encoding="utf-8") as out:
        process = subprocess.Popen(["./packaging/run"], cwd=clone, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + PATIENCE
        while "until Ctrl-C" not in said.read_text(encoding="utf-8"):
            assert process.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        yield lambda: said.read_text(encoding="utf-8")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


SAVED = re.findall(r"[Ss]ave (?:this|it) as `([\w./-]+)`:\n\n```\w+\n(.*?)^```$", README, re.M | re.S)


@pytest.fixture(scope="module")
def converter(clone, listener, tmp_path_factory):
    """The listener of the third terminal, with the files that the page says to save."""
    listener()  # it has built what is run
    for name, text in SAVED:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text, encoding="utf-8")
    command, = (text for text in blocks("sh") if text.startswith("systemd-socket-activate"))
    said = tmp_path_factory.mktemp("converter") / "said"
    with open(said, "w", encoding="utf-8") as out:
        process = subprocess.Popen(["bash", "-c", FOUND + "exec " + command], cwd=clone, stdout=out, stderr=out,
                                   stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while "Listening on" not in said.read_text(encoding="utf-8"):
            assert process.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def test_saved():
    assert len(SAVED) == len(blocks("hl7t")) > 0


# it shows commands itself, so the block is one command
FIRST, _, FIRST_PRINTED = blocks("console")[0].removeprefix("$ ").partition("\n")


def test_first_command(clone):
    assert masked(run(FIRST, clone)) == masked(FIRST_PRINTED)


def test_first_command_succeeds(clone):
    assert subprocess.run(["bash", "-c", FIRST], cwd=clone, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, timeout=PATIENCE, check=False).returncode == 0


@pytest.mark.parametrize("number", range(1, len(blocks("console"))))
def test_commands(clone, listener, converter, number):
    for command, printed in commands(blocks("console")[number]):
        assert masked(run(command, clone)) == masked(printed), command


def test_log(listener):
    for line in "".join(blocks("log")).splitlines():
        deadline = time.monotonic() + 10
        while masked(line) not in masked(listener()):
            assert time.monotonic() < deadline, f"{line}\nis not in:\n{listener()}"
            time.sleep(0.1)


def test_port_in_use(clone, listener):
    listener()
    done = subprocess.run(["./packaging/run", "--once"], cwd=clone, stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "another program listens on 127.0.0.1:5123" in done.stderr


def test_run_leaves_nothing_behind(clone):
    """Stopped with a connection open."""
    process = subprocess.Popen(["./packaging/run", "--listen=5124"], cwd=clone, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    for line in process.stdout:
        if "until Ctrl-C" in line:
            break
    idle = subprocess.Popen(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5124; cat <&3"])
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert idle.wait(10) == 0, "its connection is still open"
    process.stdout.close()
    assert subprocess.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5124"], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0, "somebody still listens"


@pytest.mark.parametrize("path", sorted(set(re.findall(
    r"`((?:src|units|templates|tests|packaging)/[^` *]*)`", README))))
def test_path(path):
    assert (SOURCE / path).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?!tests/|src/|packaging/)[\w/-]+\.py(?:::\w+)?)`", README))))
def test_shown_by(name):
    """The tests that it names are there."""
    file, _, function = name.partition("::")
    path, = (SOURCE / "tests").glob(file if "/" in file else f"*/{file}")
    assert not function or re.search(rf"^def {function}\(", path.read_text(encoding="utf-8"), re.M)


def test_map():
    """Every room is on the map, and no other."""
    listed, = (text for text in blocks("") if text.startswith("src/"))
    rooms = re.findall(r"^  (\w+)/", listed, re.M)
    assert sorted(rooms) == sorted(p.name for p in (SOURCE / "src").iterdir() if p.is_dir())
    for folder in re.findall(r"^(\w+)/", listed, re.M):
        assert (SOURCE / folder).is_dir()
    kinds = re.search(r"^tests/ +(.*(?:\n {13}.*)*)", listed, re.M)[1]
    assert sorted(re.findall(r"\w+", kinds)) == sorted(
        p.name for p in (SOURCE / "tests").iterdir() if p.is_dir() and not p.name.startswith(("_", ".")))


def headings():
    """As anchors, the way that sites which show such pages make them."""
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", README, re.M)}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)\s]+)\)", README))))
def test_link(target):
    """Those within the page, and those to files; there are no others."""
    assert target[1:] in headings() if target.startswith("#") else (SOURCE / target).exists()


@pytest.mark.parametrize("block", blocks("sh"), ids=lambda text: text.split(None, 1)[0])
def test_shell_reads(block):
    """Each command that is not run here: the shell understands it, and no argument is broken at the end of a line."""
    assert subprocess.run(["bash", "-n", "-c", block], capture_output=True, check=False).stderr == b""
    said = shlex.split(block.replace("\\\n", ""), comments=True)
    assert said and not [word for word in said if "\n" in word]


def test_security_policy():
    """It says for what there are fixes, how to report, and what a scan finds; the files that it names are made."""
    policy = README.split("\n## Security policy\n")[1].split("\n## ")[0]
    assert re.findall(r"^\*\*(.*?)\*\*", policy, re.M) == ["Supported", "Report", "What a scan finds.", "Verify", "AppArmor"]
    for name in re.findall(r"hl7-inetd(?:\.vex)?\.cdx\.json", policy):
        assert (BUILD / "packaging" / name).exists(), name


def test_pages():
    """Every manual page it names is there."""
    for name, section in set(re.findall(r"`(hl7-[\w-]+)\((\d)\)`", README)):
        assert list((SOURCE / "src").glob(f"*/{name}.{section}")), f"{name}({section})"


def test_options():
    """Every option it speaks of is one of ours, or of these tools."""
    known = {"--prefix", "--buildtype", "--now", "--since", "--accept", "--listen", "--create", "--update-catalog"}
    for program in "receive", "send", "show", "convert", "forward", "queue", "amqp":
        known |= set(re.findall(r"--[a-z][a-z-]+", run(f"src/{program}/hl7-{program} --help", BUILD)))
    for program in "run", "install", "test":
        known |= set(re.findall(r"--[a-z][a-z-]+", run(f"./packaging/{program} --help", SOURCE)))
    assert set(re.findall(r"--[a-z][a-z-]+", README)) <= known
