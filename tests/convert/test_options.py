# SPDX-License-Identifier: MIT
"""hl7-convert's options, exit statuses, ways to write, and what it says on a terminal."""
import os
import pty
import re
import select
import subprocess
import time

import pytest

from tool import (CONVERT, CR, FS, LF, PATIENCE, RECEIVE, VT, convert, environment, frame, masked,
                  run, show)

HEAD = "MSH|^~\\&|BROKER|H|RIS|H|20260102||ORU^R01|{MSH-10}|P|2.5\n"
TEMPLATE = HEAD + "PID|1||{PID-3.1:required}||{PID-5}\n"
RESULT = b"MSH|^~\\&|BROKER|H|RIS|H|20260102||ORU^R01|%s|P|2.5\rPID|1||4711||DOE^JANE\r"

USAGE, DATA, NO_INPUT, IO, CONFIGURATION = 64, 65, 66, 74, 78


def message(control_id="M1", patient="4711^^^H", end=CR):
    return end.join([b"MSH|^~\\&|LAB|N|BROKER|H|20260102||ORU^R01|%s|P|2.5" % control_id.encode(),
                     b"PID|1||%s||DOE^JANE" % patient.encode(), b""])


@pytest.fixture
def t(tmp_path):
    """Writes a template: t("text", "name")."""

    def write(text=TEMPLATE, name="t"):
        folder = tmp_path / "convert.d"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.hl7t"
        path.write_text(text, encoding="utf-8")
        return path

    return write


# --- results --------------------------------------------------------------------------------------

@pytest.mark.parametrize("data", [
    message(), message(end=LF), message(end=b"\r\n"), message()[:-1], frame(message()),
    b"\xef\xbb\xbf" + message(), b"\r\n\r\n" + message() + b"\r\n",
    b"FHS|^~\\&|\rBHS|^~\\&|\r" + message() + b"BTS|1\rFTS|1\r",
], ids=["CR", "LF", "CRLF", "no end", "framed", "byte order mark", "blank lines", "batch"])
def test_input(t, data):
    done = convert(t(), data=data)
    assert (done.status, done.told, done.out) == (0, "", RESULT % b"M1")


def test_several_messages(t):
    done = convert(t(), data=message("M1") + message("M2") + frame(message("M3")))
    assert done.out == b"".join(RESULT % m for m in (b"M1", b"M2", b"M3"))


def test_files_and_folders(t, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("b", "a", ".hidden"):
        (folder / name).write_bytes(message(name))
    (tmp_path / "c").write_bytes(message("c"))
    done = convert(t(), tmp_path / "c", folder, "-", data=message("std"))
    assert done.out == b"".join(RESULT % m for m in (b"c", b"a", b"b", b"std"))


def test_framed(t):
    done = convert("--framed", t(), data=message("M1") + message("M2"))
    assert done.out == frame(RESULT % b"M1") + frame(RESULT % b"M2")


def test_lines(t):
    assert convert("--lines", t(), data=message()).out == (RESULT % b"M1").replace(CR, LF)


def test_no_message_is_cut_where_a_value_looks_like_one(t):
    """Only an MSH of the template begins a message: a value stays in its field."""
    done = convert("--framed", t(HEAD + "NTE|1||{PID-3}\n"),
                   data=message(patient="\\X0D\\MSH|^~\\&|X".replace("|", "\\F\\")))
    assert done.out.count(VT) == 1 and done.out.count(CR + b"MSH") == 0


SEVERAL = "{each PID-3}\n" + HEAD + "PID|{n}||{PID-3.1}\n{end}\n"


def test_several_results_framed(t):
    done = convert("--framed", t(SEVERAL), data=message(patient="1~2~3"))
    assert [f.count(b"MSH|") for f in done.out.split(FS + CR)[:-1]] == [1, 1, 1]


def test_value_that_looks_like_a_header_begins_no_message(t):
    data = message() + b"NTE|1||MSH^~\\&^evil\r"
    done = convert("--framed", t(HEAD + "{NTE-3}\n"), data=data)
    assert done.out.count(VT) == 1
    assert b"MSH^~\\&^evil" in done.out


def test_split(t, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    done = convert(f"--split={out}", t(), data=message("M1") + message("M2"))
    assert (done.status, done.out) == (0, b"")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {
        "000001.hl7": RESULT % b"M1", "000002.hl7": RESULT % b"M2"}


def test_split_framed_and_several(t, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    done = convert("--framed", f"--split={out}", t(SEVERAL), data=message(patient="1~2"))
    assert done.status == 0
    assert [p.read_bytes()[:4] for p in sorted(out.iterdir())] == [VT + b"MSH"] * 2


def test_split_overwrites_nothing(t, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "000001.hl7").write_bytes(b"mine")
    done = convert(f"--split={out}", t(), data=message("M1") + message("M2"))
    assert done.status == IO and "File exists" in done.told
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {"000001.hl7": b"mine"}


def test_split_into_nowhere(t, tmp_path):
    done = convert(f"--split={tmp_path}/none", t(), data=message())
    assert done.status == IO and "No such file" in done.told


def test_nothing_wanted_and_nothing_written(t):
    done = convert("--framed", t('{when MSH-3 == "X"}\n' + TEMPLATE), data=message())
    assert (done.status, done.out, done.told) == (0, b"", "")
    done = convert("--framed", t("{PID-2}\n"), data=message())
    assert (done.status, done.out) == (0, b""), "a result without a segment is nothing"


# --- refusals, limits, statuses -------------------------------------------------------------------

def test_a_refused_message_does_not_stop_those_behind_it(t, tmp_path):
    path = tmp_path / "in.hl7"
    path.write_bytes(message("M1") + message("M2", patient="^x") + message("M3"))
    done = convert(t(), path)
    assert done.status == 1
    assert done.out == RESULT % b"M1" + RESULT % b"M3"
    assert done.told == (f"hl7-convert: {path}, message 2: {t()}:2: a value that is required here "
                         "is absent, at PID^1^3^1^1\n")


def test_max_result(t):
    done = convert("--max-result=256", t(HEAD + "NTE|1||{PID-3}\n"),
                   data=message("M1", patient="x" * 300) + message("M2"))
    assert done.status == 1 and "--max-result" in done.told
    assert done.out.count(b"MSH|") == 1


@pytest.mark.parametrize("status, data", [
    (DATA, b""), (DATA, b"no message"), (DATA, b"PID|1\r"), (0, message()),
    (1, message(patient="")),
])
def test_status(t, status, data):
    assert convert(t(), data=data).status == status


def test_a_file_of_a_folder_that_is_no_message_is_told_and_no_more(t, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a").write_bytes(message(patient=""))
    (folder / "b").write_bytes(b"a note\n")
    (folder / "c").write_bytes(message())
    done = convert(t(), folder)
    assert done.status == 1, "the refused message is not forgotten"
    assert "b: no HL7 message found" in done.told and done.out == RESULT % b"M1"


def test_the_first_of_the_worse_counts(t, tmp_path):
    (tmp_path / "bad").write_bytes(b"a note\n")
    done = convert(t(), tmp_path / "bad", tmp_path / "none", data=b"")
    assert done.status == NO_INPUT, "a name that is not there is told before anything is read"
    (tmp_path / "refused").write_bytes(message(patient=""))
    done = convert(t(), tmp_path / "refused", tmp_path / "bad")
    assert done.status == DATA


def test_no_such_template(tmp_path):
    done = convert(tmp_path / "none.hl7t", data=message())
    assert done.status == NO_INPUT and "No such file" in done.told


def test_a_broken_template_converts_nothing(t):
    done = convert(t(TEMPLATE + "{PDI-3}\n"), data=message())
    assert (done.status, done.out) == (CONFIGURATION, b"") and "did you mean PID?" in done.told


def test_a_folder_is_no_template(t):
    done = convert(t().parent, data=message())
    t("ZZZ|x\n", "other")
    assert convert(t().parent, data=message()).status == USAGE
    assert done.status in (0, USAGE)  # of a folder with one template there is no doubt


@pytest.mark.parametrize("arguments", [
    [], ["--nonsense", "T"], ["--check"], ["--when"], ["--framed", "--lines", "T"],
    ["--split=", "T"],
    ["--check", "--when", "T"], ["--explain", "--check", "T"], ["--max-result=1", "T"],
    ["--max-result=3G", "T"], ["--max-result", "x", "T"], ["--tables"],
])
def test_usage(t, arguments):
    done = convert(*[t() if a == "T" else a for a in arguments])
    assert done.status == USAGE and "--help" in done.told


def test_help_and_version():
    done = convert("--help")
    assert done.status == 0 and done.out.startswith(b"Usage: hl7-convert ")
    assert all(len(line) <= 100 for line in done.out.decode().splitlines())
    assert convert("--version").out.startswith(b"hl7-convert (hl7-inetd) ")


def test_output_that_cannot_be_written(t):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CONVERT, t()], input=message(), stdout=full, stderr=subprocess.PIPE,
                              check=False, timeout=PATIENCE)
    assert done.returncode == IO and b"standard output" in done.stderr


# --- --check --------------------------------------------------------------------------------------

def test_check_of_files_and_folders(t, tmp_path):
    good = t(TEMPLATE, "good")
    assert convert("--check", good).told == ""
    bad = t("{PDI-3}\n", "bad")
    worse = t("{PDI-4}\n", "worse")
    (good.parent / "README").write_text("{PDI-5}\n")
    done = convert("--check", good.parent)
    assert done.status == CONFIGURATION and done.out == b""
    places = re.findall(r"^(\S+):1:2: error", done.told, re.M)
    assert [os.path.basename(p) for p in places] == ["bad.hl7t", "worse.hl7t"]
    done = convert("--check", good, bad, worse)
    assert done.told.count("error:") == 2
    assert convert("--check", good, good).status == 0
    assert convert("--check", tmp_path / "none", good).status == NO_INPUT


def test_check_of_an_empty_folder(tmp_path):
    assert convert("--check", tmp_path).status == 0


def test_tables_and_destinations_beside_the_folder(t, tmp_path):
    path = t("{to ris}\n" + HEAD + "PID|{PID-8:map(sex)}\n")
    done = convert("--check", path)
    assert done.status == CONFIGURATION and "there is no table sex.tsv" in done.told
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/sex.tsv").write_text("*\tU\n")
    done = convert("--check", path)
    assert done.status == 0 and "{to ris}: there is no " in done.told
    (tmp_path / "destinations").mkdir()
    (tmp_path / "destinations/ris.conf").touch()
    assert convert("--check", path).told == ""
    assert convert("--check", path.name, cwd=path.parent).told == ""
    assert convert("--check", path.parent).told == ""
    (tmp_path / "other").mkdir()
    other = f"{tmp_path}/other"
    done = convert("--check", f"--tables={other}", f"--destinations={other}", path)
    assert done.status == CONFIGURATION


def in_ack_d(path):
    folder = path.parent.with_name("ack.d")
    folder.mkdir()
    return path.rename(folder / path.name)


def test_check_of_acknowledgements(t):
    assert convert("--check", in_ack_d(t("MSH|^~\\&|A||||{now}||{ack.type}|{id}|P|2.5\n"
                                         "MSA|{ack.code}|{MSH-10}\n{each error}\nERR||{error.location}\n"
                                         "{end}\n"))).told == ""


def test_an_acknowledgement_can_be_tried(t):
    done = convert(in_ack_d(t("MSH|^~\\&|A||||20260102||ACK|X1|P|2.5\nMSA|{ack.code or \"AA\"}|{MSH-10}\n"
                              "{each error}\nERR||{error.location}\n{end}\n")), data=message())
    assert done.out == b"MSH|^~\\&|A||||20260102||ACK|X1|P|2.5\rMSA|AA|M1\r"


# --- --explain, --when ----------------------------------------------------------------------------

def test_explain(t, tmp_path):
    path = tmp_path / "in.hl7"
    path.write_bytes(message())
    done = convert("--explain", t(HEAD + 'PID|{PID-2 or PID-3.1 or "x"}|{PID-4}|{"text"}|{1-5}\n'
                                  "{if PID-5.1:lower == \"doe\"}\nZIF|{id}\n{end}\n"), path)
    assert done.status == 0
    lines = done.out.decode().splitlines()
    assert lines[0] == f"# {path}, message 1"
    assert [re.sub(r" +", " ", line) for line in lines[1:-1]] == [
        "1:44 {MSH-10} from segment 1 (MSH): M1",
        '2:6 {PID-2 or PID-3.1 or "x"} from segment 2 (PID), by PID-3.1: 4711',
        "2:32 {PID-4} empty",
        '2:40 {"text"} : text',
        "2:49 {1-5} : DOE^JANE",
        "3:5 {PID-5.1:lower} from segment 2 (PID): doe",
    ]
    assert re.fullmatch(r"4:6 +\{id\} : [A-Z0-9]{20}", lines[-1])


def test_explain_says_that_it_is_not_wanted(t):
    done = convert("--explain", t('{when MSH-3 == "X"}\n' + TEMPLATE), data=message())
    assert done.out.decode() == ("# -, message 1\n1:7     {MSH-3} from segment 1 (MSH): LAB\n"
                                 "not wanted: {when} does not hold\n")


def test_when(t, tmp_path):
    t('{when MSH-3 == "LAB" and PID-3.1 in ("4711", "4712")}\n' + TEMPLATE, "a")
    t('{when MSH-3.1 == "RAD" or not PID-5}\n' + TEMPLATE, "b")
    t("{PDI-3}\n", "c")
    folder = t(TEMPLATE, "d").parent
    done = convert("--when", folder, data=message())
    assert done.status == 0
    text = re.sub(r" +", " ", done.out.decode().replace(f"{folder}/", ""))
    assert text == ("-, message 1:\n a.hl7t: takes it\n"
                    ' b.hl7t: not wanted, {when MSH-3.1 == "RAD" or not PID-5}, as\n'
                    "1:7 {MSH-3.1} from segment 1 (MSH): LAB\n"
                    "1:31 {PID-5} from segment 2 (PID): DOE^JANE\n"
                    " c.hl7t: does not compile\n d.hl7t: takes it\n")


def test_when_nobody_takes_it(t):
    assert convert("--when", t('{when MSH-3 == "X"}\n' + TEMPLATE), data=message()).status == 1


# --- on a terminal --------------------------------------------------------------------------------

def on_a_terminal(arguments, data, stdout_too=False):
    """Runs it with standard error on a terminal: (what the terminal got, standard output)."""
    master, slave = pty.openpty()
    process = subprocess.Popen([str(a) for a in (CONVERT, *arguments)], stdin=subprocess.PIPE,
                               stdout=slave if stdout_too else subprocess.PIPE, stderr=slave,
                               env=environment())
    os.close(slave)
    process.stdin.write(data)
    process.stdin.close()
    said, out, deadline = b"", b"", time.monotonic() + PATIENCE
    open_ends = {master} | (set() if stdout_too else {process.stdout.fileno()})
    while open_ends and time.monotonic() < deadline:
        for end in select.select(list(open_ends), [], [], 1)[0]:
            try:
                chunk = os.read(end, 65536)
            except OSError:  # the terminal's other end is closed
                chunk = b""
            if not chunk:
                open_ends.discard(end)
            elif end == master:
                said += chunk
            else:
                out += chunk
    process.wait(PATIENCE)
    os.close(master)
    if process.stdout:
        process.stdout.close()
    return said, out


def test_progress_on_a_terminal(t):
    """A run that takes longer than a moment, however fast this machine and this build are."""
    for n in (20_000, 400_000, 4_000_000):
        said, out = on_a_terminal([t()], message() * n)
        assert out.count(b"MSH|") == n
        if b"messages" in said:
            break
    assert re.search(rb"\r\x1b\[K\d+ messages, 0 refused, \d+ % of the file", said)
    assert said.endswith(b"\r\x1b[K"), "the line is removed at the end"


def test_no_progress_elsewhere(t):
    assert convert(t(), data=message() * 20_000).told == ""


def test_a_short_run_shows_no_progress(t):
    said, _ = on_a_terminal([t()], message())
    assert b"messages" not in said


def test_lines_on_a_terminal(t):
    said, _ = on_a_terminal([t()], message(), stdout_too=True)
    assert b"PID|1||4711||DOE^JANE\r\n" in said


def test_no_message_steers_a_terminal(t):
    said, _ = on_a_terminal(["--explain", t(HEAD + "NTE|{PID-5}\n")],
                            message().replace(b"JANE", b"\x1b[31mJANE\x07\xc2\x9b"),
                            stdout_too=True)
    assert b"\\x1b[31mJANE\\x07" in said and b"\x1b[31m" not in said


# --- beside the other programs --------------------------------------------------------------------

def test_a_result_is_a_message_for_all_of_them(t):
    done = convert(t(), data=message("M1") + message("M2"))
    assert show(data=done.out).out.count(b"{MSH-10}") == 2


@pytest.mark.skipif(not RECEIVE.exists(), reason="hl7-receive is not built")
def test_the_receiver_makes_the_same(t, tmp_path):
    """What it queues is what hl7-convert writes of the same message, a file for each."""
    t("{to ris}\n" + SEVERAL)
    (tmp_path / "store").mkdir()
    data = message(patient="~".join(str(i) for i in range(12)))
    done = run([RECEIVE, f"--store={tmp_path}/store", f"--ack-templates={tmp_path}/none",
                f"--convert-templates={tmp_path}/convert.d", f"--tables={tmp_path}/none",
                "--log=stderr"], frame(data))
    assert b"MSA|AA|M1" in done.out
    queued = [p.read_bytes() for p in sorted((tmp_path / "store/queue/ris").iterdir())]
    assert len(queued) == 12
    assert b"".join(queued) == convert(t("{to ris}\n" + SEVERAL), data=data).out


@pytest.mark.skipif(not RECEIVE.exists(), reason="hl7-receive is not built")
def test_the_receiver_refuses_the_same(t, tmp_path):
    t("{to ris}\n" + TEMPLATE + "OBX|{OBX-3:required}\n")
    done = run([RECEIVE, f"--store={tmp_path}/store", f"--ack-templates={tmp_path}/none",
                f"--convert-templates={tmp_path}/convert.d", f"--tables={tmp_path}/none",
                "--log=stderr"], frame(message(patient="")))
    segments = masked(done.out).split(CR)
    assert segments[1].startswith(b"MSA|AE|M1|")
    assert [s.split(b"|")[2:4] for s in segments if s.startswith(b"ERR|")] == [
        [b"PID^1^3^1^1", b"101^Required field missing^HL70357"],
        [b"OBX^1^3", b"101^Required field missing^HL70357"]]
    store = tmp_path / "store"
    assert not list((store / "received").iterdir()) and not list((store / "queue/ris").iterdir())
    assert sorted(p.suffix for p in (store / "rejected").iterdir()) == [".hl7", ".txt"]
