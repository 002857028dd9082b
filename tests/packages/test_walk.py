# SPDX-License-Identifier: MIT
"""The packages installed, used, removed and purged in a booted Debian 12 and 13; packages.py has the checks.

They build on one another, so all of them are run: -k chooses a suite.
"""
import shutil

import pytest

import debs
import machine
import packages
import verdict


@pytest.fixture(scope="session")
def reports(request, built):
    class Walk(machine.Machine):
        program = "packages.py"

        def make(self):
            stage = machine.copy_source(self.work)
            # an ordinary user is to read it
            shutil.copytree(built(self.suite), stage / "srv/packages")
            return debs.tree(self.suite), stage

    return verdict.boot(request.session, test_walk, Walk)


@pytest.mark.parametrize("check", packages.CHECKS)
@pytest.mark.parametrize("suite", machine.SUITES)
def test_walk(reports, suite, check):
    verdict.judge(reports, suite, check)
