# SPDX-License-Identifier: MIT
"""The product under a booted systemd: a clean Debian 12 and a clean Debian 13, side by side.

    /usr/bin/python3 -m pytest tests/machine [-k 'trixie and burst']

machine.py boots the trees (and names the environment variables), guest.py holds the checks, which
run inside; here each check of each suite becomes one test. Both boot once per session, and only
with the checks that were selected.
"""
import contextlib
import signal

import pytest

import guest
import machine


def selected(session):
    """{suite: [check, ...]} of the tests that will run."""
    chosen = {}
    for item in session.items:
        if item.function is test_machine:
            parameters = item.callspec.params
            chosen.setdefault(parameters["suite"], []).append(parameters["check"])
    return chosen


@pytest.fixture(scope="session")
def reports(request):
    """{suite: (results, how it ended, the end of its log)}"""
    reason = machine.why_not()
    if reason:
        pytest.skip(reason)
    # So that a stopped CI job cleans up as a Ctrl-C does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        machines = [stack.enter_context(machine.Machine(suite, checks))
                    for suite, checks in selected(request.session).items()]
        machine.run(machines)
        return {it.suite: (it.results(), it.ended, it.log_tail()) for it in machines}


@pytest.mark.parametrize("check", guest.CHECKS)
@pytest.mark.parametrize("suite", machine.SUITES)
def test_machine(reports, suite, check):
    results, ended, log = reports[suite]
    result = results.get(check)
    if result is None:
        pytest.fail(f"{check} was not run on {suite}: {ended}\n{log}", pytrace=False)
    if result.get("skipped"):
        pytest.skip(result["detail"])
    if not result["passed"]:
        pytest.fail(result["detail"], pytrace=False)
    print(f"{suite} {check}: {result['seconds']} s. {result['detail']}")     # shown with -rP
