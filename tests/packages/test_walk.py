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
            shutil.copytree(built(self.suite), self.work / "stage/root/packages",
                            ignore=lambda _, names: [name for name in names if not name.endswith(".deb")])
            shutil.copytree(debs.SOURCE / "packaging/debian/tests", self.work / "stage/root/tests")
            return debs.tree(self.suite), self.work / "stage"

    return verdict.boot(request.session, test_walk, Walk)


@pytest.mark.parametrize("check", packages.CHECKS)
@pytest.mark.parametrize("suite", machine.SUITES)
def test_walk(reports, suite, check):
    verdict.judge(reports, suite, check)
