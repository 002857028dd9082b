# SPDX-License-Identifier: MIT
"""The language, a feature a folder: golden/FEATURE/ has template.hl7t, input.hl7 and expected.hl7.

Where warnings or refusals are told, told.txt has them. Segments end with LF in these files, so that
they can be read and compared; test_options.py looks after the CR.
"""
import pytest

from tool import HERE, check_golden, convert, masked

CASES = sorted(p for p in (HERE / "golden").iterdir() if p.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_feature(case):
    done = convert("--lines", "--tables=tables", "template.hl7t", "input.hl7", cwd=case)
    check_golden(case / "expected.hl7", masked(done.out))
    check_golden(case / "told.txt", done.told.encode())
    refused = "hl7-convert: " in done.told
    assert done.status == (1 if refused else 0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_explain_tells_of_the_same_holes(case):
    """--explain renders as well: it refuses the same, and writes no result."""
    done = convert("--explain", "--tables=tables", "template.hl7t", "input.hl7", cwd=case)
    plain = convert("--tables=tables", "template.hl7t", "input.hl7", cwd=case)
    assert (done.status, done.told) == (plain.status, plain.told)
    assert done.out.startswith(b"# input.hl7, message 1\n")
