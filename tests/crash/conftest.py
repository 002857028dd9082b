# SPDX-License-Identifier: MIT
"""The file systems on which the walks are made, and how many runs they were."""
import os
import pathlib
import subprocess

import pytest

import crash
import hl7test


def pytest_configure():
    for program in (crash.RECEIVE, crash.FORWARD):
        if not program.exists():
            raise pytest.UsageError(f"{program} is missing: build first, or set HL7_BUILD_DIR")


@pytest.fixture(autouse=True)
def strace_works():
    if crash.why_not():
        hl7test.missing(crash.why_not())


def file_system(path):
    return subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, check=False,
                          text=True).stdout.strip()


def base_of(kind):
    if kind == "disk":
        return pathlib.Path("/var/tmp")
    base = pathlib.Path("/dev/shm")
    if file_system(base) != "tmpfs" or not os.access(base, os.W_OK):
        hl7test.missing("/dev/shm is no tmpfs")
    return base


@pytest.fixture
def place_on():
    """place_on("memory") or place_on("disk"): a folder for the stores of this test."""
    made = []

    def place_on(kind):
        made.append(crash.Place(base_of(kind)))
        return made[-1]

    yield place_on
    for place in made:
        place.remove()


@pytest.fixture(params=["memory", "disk"])
def place(request, place_on):
    """In memory, and on a disk: they differ in what they can."""
    return place_on(request.param)


@pytest.fixture
def memory(place_on):
    """Where a disk would tell nothing more, and takes longer."""
    return place_on("memory")


def pytest_terminal_summary(terminalreporter):
    for name, runs, seconds, notes in crash.Walk.totals:
        more = "".join(f", {n} {what}" for what, n in sorted(notes.items()))
        terminalreporter.write_line(f"{name}: {runs} runs in {seconds:.0f} s{more}")
