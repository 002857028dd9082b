# SPDX-License-Identifier: MIT
"""The units and the program agree about what it may call.

    HL7_BUILD_DIR=build /usr/bin/python3 -m pytest tests/documents
"""
import os
import pathlib
import re
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build"))
SECCOMP = (SOURCE / "src/sandbox/seccomp.c").read_text(encoding="utf-8")


def unit_calls(name):
    """What a unit's SystemCallFilter= lets through, with what systemd adds."""
    listed = re.findall(r"^SystemCallFilter=(.*)", (BUILD / "units" / name).read_text(encoding="utf-8"), re.M)
    said = subprocess.run(["systemd-analyze", "syscall-filter", "@default"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    return set(" ".join(listed).split()) | {line.strip() for line in said.splitlines()}


def program_calls():
    """What the program's own filter lets a connection call."""
    table = re.search(r"^static const struct call connection\[\] = \{(.*?)^\};", SECCOMP, re.M | re.S)[1]
    return set(re.findall(r"\bALLOW(?:_IF)?\((\w+)", table))


def test_the_unit_allows_what_the_program_allows():
    calls = program_calls()
    assert {"read", "fsync", "linkat"} <= calls
    for unit in "hl7-receive@.service", "hl7-receive-proxied@.service", "hl7-receive-wait.service":
        assert calls <= unit_calls(unit), unit


def test_the_unit_allows_the_sandbox_itself():
    sandbox = {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "prctl", "prlimit64", "seccomp"}
    for unit in "hl7-receive@.service", "hl7-receive-proxied@.service", "hl7-receive-wait.service":
        assert sandbox <= unit_calls(unit), unit


def test_the_unit_executes_and_forks_nothing_more_than_it_needs():
    """execve is in systemd's @default, as the program itself is started with it."""
    one = unit_calls("hl7-receive@.service")
    assert not one & {"execveat", "clone", "clone3", "fork", "vfork", "ptrace", "bind", "listen", "accept", "mount", "kill"}
    more = unit_calls("hl7-receive-wait.service") - one
    assert more == {"accept", "accept4", "clone", "clone3", "fork", "kill", "signalfd4", "wait4", "waitid"}
