# SPDX-License-Identifier: MIT
"""Packages under a booted systemd: built, installed as README.md says, and upgraded under load.

    /usr/bin/python3 -m pytest -rP tests/machine/test_upgrade.py

As test_machine.py, with trees that can build packages; upgrade.py holds the checks. They build on
one another, so all of them are run: -k chooses a suite.
"""
import pytest

import machine
import upgrade
import verdict


@pytest.fixture(scope="session")
def reports(request):
    return verdict.boot(request.session, test_upgrade, machine.Installer)


@pytest.mark.parametrize("check", upgrade.CHECKS)
@pytest.mark.parametrize("suite", machine.SUITES)
def test_upgrade(reports, suite, check):
    verdict.judge(reports, suite, check)
