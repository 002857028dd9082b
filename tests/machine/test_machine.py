# SPDX-License-Identifier: MIT
"""The product under a booted systemd: a clean Debian 12 and a clean Debian 13, side by side.

    /usr/bin/python3 -m pytest tests/machine/test_machine.py [-k 'trixie and burst']

machine.py boots the trees (and names the environment variables), guest.py holds the checks, which
run inside; here each check of each suite becomes one test. Both boot once per session, and only
with the checks that were selected.
"""
import pytest

import guest
import machine
import verdict


@pytest.fixture(scope="session")
def reports(request):
    return verdict.boot(request.session, test_machine, machine.Machine)


@pytest.mark.parametrize("check", guest.CHECKS)
@pytest.mark.parametrize("suite", machine.SUITES)
def test_machine(reports, suite, check):
    verdict.judge(reports, suite, check)
