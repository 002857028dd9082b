# SPDX-License-Identifier: MIT
"""Commands as somebody types them who reads README.md or a manual page."""
import subprocess

PATIENCE = 120


def run(command, folder, env=None):
    """Its exit status, and all that it prints."""
    return subprocess.run(["bash", "-c", command], cwd=folder, env=env, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
