# SPDX-License-Identifier: MIT
"""hl7-show: what it prints, and that each hole it prints reads what stands beside it."""
import re
import subprocess

import pytest

from hl7test import (CR, EXIT_DATA, EXIT_IO, EXIT_NO_INPUT, EXIT_USAGE, LF, PATIENCE, SHOW, Ack,
                     frame, message, need, split_frames)

pytestmark = pytest.mark.skipif(not SHOW.exists(), reason=f"{SHOW} is not built")

M = (b"MSH|^~\\&|LAB^1.2^ISO|FAC||||||ID1|P|2.5" + CR
     + b"PID|1||A~B^C&D||" + CR + b"OBX|1|TX" + CR + b"OBX|2|TX|||v" + CR + b"zz wrapped|x" + CR)

LINE = re.compile(r"  (?P<position>\{\d+-\d+\}|) +(?P<name>\{[A-Z0-9.\[\]-]+\}|) +(?P<value>.*)$")


@pytest.fixture
def show(run, tmp_path):
    """hl7-show with files made of bytes."""

    def show(*files, options=(), **more):
        names = []
        for i, data in enumerate(files):
            (tmp_path / f"{i}.hl7").write_bytes(data)
            names.append(tmp_path / f"{i}.hl7")
        return run([SHOW, *options, *names], **more)

    return show


def rows(text):
    """(position, name, value) of each line that is not a segment's title."""
    return [LINE.match(line).groups() for line in text.splitlines() if line.startswith("  ")]


def test_fields(show):
    done = show(M)
    assert (done.returncode, done.told) == (0, "")
    text = done.stdout.decode()
    assert [line for line in text.splitlines() if not line.startswith("  ")] \
        == ["MSH", "PID", "OBX", "OBX[2]", "zz wrapped"]
    assert rows(text) == [
        ("", "{MSH-1}", "|"), ("{0-1}", "{MSH-2}", "^~\\&"), ("{0-2}", "{MSH-3}", "LAB^1.2^ISO"),
        ("{0-3}", "{MSH-4}", "FAC"), ("{0-4}", "{MSH-5}", ""), ("{0-5}", "{MSH-6}", ""),
        ("{0-6}", "{MSH-7}", ""), ("{0-7}", "{MSH-8}", ""), ("{0-8}", "{MSH-9}", ""),
        ("{0-9}", "{MSH-10}", "ID1"), ("{0-10}", "{MSH-11}", "P"), ("{0-11}", "{MSH-12}", "2.5"),
        ("{1-1}", "{PID-1}", "1"), ("{1-2}", "{PID-2}", ""), ("{1-3}", "{PID-3}", "A~B^C&D"),
        ("{1-4}", "{PID-4}", ""), ("{1-5}", "{PID-5}", ""),
        ("{2-1}", "{OBX-1}", "1"), ("{2-2}", "{OBX-2}", "TX"),
        ("{3-1}", "{OBX[2]-1}", "2"), ("{3-2}", "{OBX[2]-2}", "TX"), ("{3-3}", "{OBX[2]-3}", ""),
        ("{3-4}", "{OBX[2]-4}", ""), ("{3-5}", "{OBX[2]-5}", "v"),
        ("{4-1}", "", "x"),
    ]


def test_unfolded(show):
    shown = rows(show(M, options=["-u"]).stdout.decode())
    for row in [("", "{MSH-3.1}", "LAB"), ("", "{MSH-3.2}", "1.2"), ("", "{PID-3[1]}", "A"),
                ("", "{PID-3[2].1}", "B"), ("", "{PID-3[2].2.1}", "C"),
                ("", "{PID-3[2].2.2}", "D")]:
        assert row in shown


@pytest.mark.parametrize("payload", [
    M, message("ID1", extra=["OBX|2|CE|a^b&c~d||x", "NTE||||y"]),
    message("ID1", sep="#", chars="*~\\&"),
    b"\xef\xbb\xbf" + M, M.replace(CR, b"\r\n"),
], ids=["small", "usual", "other delimiters", "byte order mark", "CRLF"])
def test_every_hole_reads_what_stands_beside_it(show, receive, ack_d, payload):
    """Each is put into a template, and hl7-receive answers with what it reads."""
    shown = rows(show(frame(payload), options=["-u"]).stdout.decode())
    holes = [(hole, value) for position, name, value in shown for hole in (position, name)
             if hole and value and name not in ("{MSH-1}", "{MSH-2}")]
    assert len(holes) > 20
    ack_d("all", "{delimiters source}\nMSH|^~\\&|A||||{now}||ACK|{id}|P|2.5\n"
          "MSA|{ack.code}|{MSH-10}\n"
          + "".join(f"NTE|{hole}\n" for hole, _ in holes))
    connection = receive()
    connection.peer.send(frame(payload))
    connection.peer.read_to_end()
    answer = Ack(split_frames(connection.peer.received)[0])
    sep = answer.sep.decode()
    read = [answer.sep.join(s[1:]).decode() for s in answer.segments if s[0] == b"NTE"]
    assert read == [value for _, value in holes], sep


def test_names(show):
    text = show(message("ID1"), options=["--names"]).stdout.decode()
    for hole, name in (("MSH-10", "Message Control ID"), ("PID-5", "Patient Name"),
                       ("OBX-5", "Observation Value"), ("OBR-4", "Universal Service Identifier")):
        assert re.search(rf"\{{{hole}\}} +{name} ", text), hole


def test_names_of_all_segments_the_issue_asks_for(show):
    payload = b"MSH|^~\\&||||||||1" + CR + b"".join(
        s + b"|x" + CR for s in (b"MSA", b"ERR", b"PID", b"PV1", b"ORC", b"OBR", b"OBX", b"NTE"))
    text = show(payload, options=["--names", "--skip-empty"]).stdout.decode()
    for segment in ("MSH", "MSA", "ERR", "PID", "PV1", "ORC", "OBR", "OBX", "NTE"):
        assert re.search(rf"\{{{segment}-1\}} +[A-Z]", text), segment


def test_skip_empty(show):
    shown = rows(show(M, options=["-s"]).stdout.decode())
    assert all(value for _, _, value in shown)
    assert ("{0-9}", "{MSH-10}", "ID1") in shown


def test_cut(show):
    shown = dict((name, value) for _, name, value in rows(
        show(message("ID1", filler=100), options=["--cut=5"]).stdout.decode()))
    assert shown["{MSH-10}"] == "ID1"
    assert shown["{OBX-5}"] == "CANAR... (113 bytes)"


@pytest.mark.parametrize("data, n", [
    (M, 1), (M + M, 2), (frame(M) + frame(M), 2), (M.replace(CR, LF), 1),
    (M.replace(CR, b"\r\n"), 1),
    (b"FHS|^~\\&\r" + M + M + b"FTS|1\r", 2),
], ids=["one", "two", "framed", "LF", "CRLF", "batch"])
def test_input(show, data, n):
    done = show(data)
    assert done.returncode == 0
    blocks = done.stdout.decode().rstrip("\n").split("\n\n")
    assert len(blocks) == n
    assert all(block == blocks[0] and block.startswith("MSH\n") for block in blocks)


@pytest.mark.parametrize("dash", [(), ("-",)], ids=["no file", "-"])
def test_standard_input(run, dash):
    done = run([SHOW, *dash], input=M)
    assert b"{MSH-10}" in done.stdout


def test_bytes_are_written_as_they_are_into_a_file(show):
    done = show(message("ID1", extra=["NTE|1||\udce4\x1b[31m\0x"]))
    assert b"\xe4\x1b[31m\0x\n" in done.stdout


def test_on_a_terminal(tmp_path):
    """In colour; and no message can steer it."""
    need("script")
    (tmp_path / "m.hl7").write_bytes(message("ID1", extra=["NTE|1||\x1b[31mred\x07"]))
    line = f"{SHOW} {tmp_path}/m.hl7"
    said = subprocess.run(["script", "-qec", line, "/dev/null"], capture_output=True, check=True,
                          timeout=PATIENCE, stdin=subprocess.DEVNULL).stdout
    assert b"\\x1b[31mred\\x07" in said and b"\x1b[31m" not in said
    assert b"\x1b[36m" in said


@pytest.mark.parametrize("when, colored", [("always", True), ("never", False), ("auto", False)])
def test_color(show, when, colored):
    assert (b"\x1b[" in show(M, options=[f"--color={when}"]).stdout) == colored


@pytest.mark.parametrize("data", [b"", b"hello", b"PID|1", frame(b"")], ids=repr)
def test_no_message(show, data):
    done = show(data, M)
    assert done.returncode == EXIT_DATA
    assert "0.hl7" in done.told
    assert b"{MSH-10}" in done.stdout, "the file behind it is shown all the same"


def test_a_file_that_is_not_there(show, run, tmp_path):
    done = run([SHOW, tmp_path / "none"])
    assert done.returncode == EXIT_NO_INPUT
    assert "No such file" in done.told


def test_output_that_cannot_be_written(show):
    with open("/dev/full", "wb") as full:
        assert show(M, stdout=full).returncode == EXIT_IO


@pytest.mark.parametrize("option", ["--nonsense", "--cut=0", "--cut=x", "--color=blue"])
def test_usage(show, option):
    done = show(M, options=[option])
    assert done.returncode == EXIT_USAGE
    assert "--help" in done.told


def test_help_and_version(run):
    said = run([SHOW, "--help"]).stdout.decode()
    assert said.startswith("Usage: hl7-show ")
    assert all(len(line) <= 100 for line in said.splitlines())
    assert run([SHOW, "--version"]).stdout.startswith(b"hl7-show (hl7-inetd) ")


def test_large_message(show):
    """A hundred thousand segments take no time that grows faster than they do."""
    payload = message("ID1", extra=[f"OBX|{n}|NM|x||{n}" for n in range(100_000)])
    done = show(payload, options=["-s"])
    assert done.returncode == 0
    assert b"{OBX[100001]-5}" in done.stdout
