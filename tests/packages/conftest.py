# SPDX-License-Identifier: MIT
"""Paths and builds that the tests of the packages share."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "machine"))

import pytest

import debs


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """built(SUITE): the folder of its packages; all are built at the first call."""
    folder = tmp_path_factory.mktemp("packages")
    results = debs.build_all(folder)

    def of(suite):
        if reason := debs.why_not(suite):
            (pytest.fail if os.environ.get("HL7_STRICT") else pytest.skip)(reason)
        assert not results[suite], results[suite]
        return folder / suite
    return of
