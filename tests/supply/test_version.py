# SPDX-License-Identifier: MIT
"""What --version says is so."""
import itertools
import re

import pytest

from supply import PACKAGES, SOURCE, build_id, program, run

VERSION = re.search(r"^  version: '(.*)',$", (SOURCE / "meson.build").read_text(encoding="utf-8"), re.M)[1]


@pytest.mark.parametrize("name", itertools.chain(*PACKAGES.values()))
def test_version(name):
    path = program(name)
    assert run(path, "--version").splitlines() == [
        f"hl7-{name} (hl7-inetd) {VERSION}", f"build id {build_id(path)}", "licence MIT"]


def test_ids_differ():
    ids = [build_id(program(name)) for name in itertools.chain(*PACKAGES.values())]
    assert len(set(ids)) == len(ids)


def test_id_without_symbols(tmp_path):
    """As packages have it: stripped."""
    path = program("receive")
    run("strip", "-o", tmp_path / "stripped", path)
    assert build_id(path) in run(tmp_path / "stripped", "--version")
