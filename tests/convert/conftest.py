# SPDX-License-Identifier: MIT
"""These tests run what was built; without it nothing here says anything."""
import pytest

from tool import CONVERT


def pytest_configure():
    if not CONVERT.exists():
        raise pytest.UsageError(f"{CONVERT} is missing: build first, or set HL7_BUILD_DIR")
