# SPDX-License-Identifier: MIT
"""What test_machine.py and test_upgrade.py share: boots the machines, and judges what was reported of them."""
import contextlib
import os
import signal

import pytest

import machine


def boot(session, function, kind):
    """{suite: (results, how it ended, the end of its log)}, of the checks of that test that will run."""
    reason = machine.why_not()
    if reason:
        (pytest.fail if os.environ.get("HL7_STRICT") else pytest.skip)(reason)
    chosen = {}
    for item in session.items:
        if getattr(item, "function", None) is function:
            parameters = item.callspec.params
            chosen.setdefault(parameters["suite"], []).append(parameters["check"])
    # So that a stopped CI job cleans up as a Ctrl-C does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        machines = [stack.enter_context(kind(suite, checks)) for suite, checks in chosen.items()]
        machine.run(machines)
        return {it.suite: (it.results(), it.ended, it.log_tail()) for it in machines}


def judge(reports, suite, check):
    results, ended, log = reports[suite]
    result = results.get(check)
    if result is None:
        pytest.fail(f"{check} was not run on {suite}: {ended}\n{log}", pytrace=False)
    if result.get("skipped"):
        pytest.skip(result["detail"])
    if not result["passed"]:
        pytest.fail(result["detail"], pytrace=False)
    print(f"{suite} {check}: {result['seconds']} s. {result['detail']}")     # shown with -rP
