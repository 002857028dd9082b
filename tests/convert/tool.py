# SPDX-License-Identifier: MIT
"""Runs the built hl7-convert and hl7-show.

Environment:
  HL7_BUILD_DIR      a finished build (default: ../../build)
  HL7_SAMPLES        a folder of public sample messages (default: ../shared/samples beside the
                     project)
  HL7_STRICT         when set, a tool that is missing is a failure and not a skip
  HL7_UPDATE_GOLDEN  when set, expected files are written and not compared: look at the difference
                     before you keep it
"""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build")).resolve()
SAMPLES = pathlib.Path(os.environ.get("HL7_SAMPLES", SOURCE.parent / "shared" / "samples"))
TEMPLATES = SOURCE / "templates"
MANUAL = SOURCE / "src" / "template" / "hl7-template.5"

CONVERT = BUILD / "src" / "convert" / "hl7-convert"
SHOW = BUILD / "src" / "show" / "hl7-show"
RECEIVE = BUILD / "src" / "receive" / "hl7-receive"

VT, FS, CR, LF = b"\x0b", b"\x1c", b"\r", b"\n"

# No run in this suite takes longer: what has not ended by then never ends.
PATIENCE = 60

SANITIZER = re.compile(rb"(AddressSanitizer|LeakSanitizer|runtime error:)")


def environment(**changes):
    """One language and one zone, so that times and texts are the same everywhere."""
    env = {k: v for k, v in os.environ.items() if k not in ("LISTEN_FDS", "JOURNAL_STREAM")}
    env.update(LC_ALL="C.UTF-8", TZ="UTC", **changes)
    env.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    return env


class Done:
    """What a program that ended has left."""

    def __init__(self, process):
        self.status = process.returncode
        self.out = process.stdout
        self.told = process.stderr.decode("utf-8", "replace")

    def __repr__(self):
        return f"status {self.status}, told {self.told!r}, wrote {self.out!r}"


def run(command, data=b"", **options):
    """Runs it to its end with `data` as its standard input."""
    process = subprocess.run([str(c) for c in command], input=data, capture_output=True,
                             timeout=PATIENCE, env=environment(), check=False, **options)
    assert not SANITIZER.search(process.stderr), process.stderr.decode("utf-8", "replace")
    return Done(process)


def convert(*arguments, data=b"", **options):
    return run([CONVERT, *arguments], data, **options)


def show(*arguments, data=b"", **options):
    return run([SHOW, *arguments], data, **options)


def masked(text):
    """With the time of {now} and the control id of {id} made the same in every run."""
    text = re.sub(rb"\b20\d{12}[+-]\d{4}\b", b"NOW", text)
    return re.sub(rb"(?<![A-Z0-9])[A-Z0-9]{20}(?![A-Z0-9])", b"ID", text)


def check_golden(path, text):
    """`text` is what the file says; or becomes it where updating was asked for."""
    if os.environ.get("HL7_UPDATE_GOLDEN"):
        if text:
            path.write_bytes(text)
        elif path.exists():
            path.unlink()
        return
    expected = path.read_bytes() if path.exists() else b""
    assert text.decode("utf-8", "replace") == expected.decode("utf-8", "replace"), path
    assert text == expected, path


def missing(reason):
    """Skips the test and says why; a failure where HL7_STRICT is set."""
    if os.environ.get("HL7_STRICT"):
        pytest.fail(reason)
    pytest.skip(reason)


def no_samples(reason="there are no sample messages (HL7_SAMPLES)"):
    """Not every clone has them beside it; where the folder is, they are to be in it."""
    if SAMPLES.is_dir():
        missing(reason)
    pytest.skip(reason)


def need(tool):
    """The path of a program that these tests need beside ours."""
    path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        missing(f"{tool} is not installed")
    return path


# --- sample messages ------------------------------------------------------------------------------

def sample_files():
    if not SAMPLES.is_dir():
        return []
    return sorted(p for ext in ("hl7", "er7") for p in SAMPLES.rglob(f"*.{ext}"))


def sample_name(path):
    return str(path.relative_to(SAMPLES)) if path else "none"


def split_messages(data):
    """Each message of a file: from a segment MSH to the next one, without the lines of a batch
    envelope, its bytes as they stand in the file. A frame byte ends it."""
    header = rb"(?:(?<=[\r\n\x0b])|\A|(?<=\xef\xbb\xbf))MSH[^A-Za-z0-9\s]"
    starts = [m.start() for m in re.finditer(header, data)]
    for begin, end in zip(starts, [*starts[1:], len(data)]):
        message = re.split(rb"[\x0b\x1c]", data[begin:end])[0]
        yield re.sub(rb"(?<=[\r\n])(?:FHS|BHS|BTS|FTS)[^\r\n]*[\r\n]*", b"", message)


def frame(message):
    return VT + message + FS + CR
