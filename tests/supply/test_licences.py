# SPDX-License-Identifier: MIT
"""Every file says under which licence it is: in one of its first lines, or in .reuse/dep5 with the reason.

reuse(1) looks at the same, and at the form. It wants the licence's text in a folder and a copyright in every file;
both stand in LICENSE here, so it is given a copy of the tree that has them.
"""
import fnmatch
import re
import shutil

import pytest

from supply import SOURCE, need, run

LINE = re.compile(rb"SPDX-License-Identifier: (.+?)(?: ?(?:\*/|-->))?\r?$", re.M)


def tracked():
    """The tree's own files: what git tracks, and what it would take in."""
    names = run("git", "-C", SOURCE, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")[:-1]
    return [n for n in names if (SOURCE / n).is_file() and not (SOURCE / n).is_symlink()]


def stated(name):
    """The licence in one of a file's first lines, or None."""
    head = b"\n".join((SOURCE / name).read_bytes().split(b"\n", 5)[:5])
    found = LINE.search(head)
    return found and found[1].decode().strip()


def excused():
    """The patterns of .reuse/dep5, each paragraph with a reason."""
    patterns = []
    for paragraph in (SOURCE / ".reuse/dep5").read_text(encoding="utf-8").split("\n\n")[1:]:
        fields = dict(re.findall(r"^([\w-]+): ((?:.|\n )*)", paragraph, re.M))
        assert fields["License"] == "MIT" and fields["Copyright"] and fields["Comment"], paragraph
        patterns += fields["Files"].split()
    return patterns


def test_every_file_says_it():
    patterns = excused()
    wrong = [n for n in tracked() if n != ".reuse/dep5" and stated(n) != "MIT"
             and not any(fnmatch.fnmatchcase(n, p) for p in patterns)]
    assert wrong == []


def test_nothing_is_excused_that_need_not_be():
    """Each pattern is for files that are there, and that have no such line themselves."""
    names = tracked()
    for pattern in excused():
        files = [n for n in names if fnmatch.fnmatchcase(n, pattern)]
        assert files, f"{pattern} is for no file"
        assert [n for n in files if stated(n) is None], f"all files of {pattern} say it themselves"
    assert not any(fnmatch.fnmatchcase("src/base/span.h", p) for p in excused())


def test_the_licence():
    text = (SOURCE / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n\nCopyright (c) 2026 the hl7-inetd authors\n")
    assert "license: 'MIT'" in (SOURCE / "meson.build").read_text(encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    for name in tracked():
        # thousands of inputs that say the same
        if name.startswith("tests/fuzz/corpus/") and not name.startswith("tests/fuzz/corpus/frame/"):
            continue
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SOURCE / name, tmp_path / name)
    (tmp_path / "LICENSES").mkdir()
    shutil.move(tmp_path / "LICENSE", tmp_path / "LICENSES/MIT.txt")
    dep5 = tmp_path / ".reuse/dep5"
    text = dep5.read_text(encoding="utf-8").replace("Files: ", "Files: *\nCopyright: x\nLicense: MIT\n\nFiles: ", 1)
    dep5.write_text(text, encoding="utf-8")
    return tmp_path


def test_reuse(tree):
    assert "Congratulations" in run(need("reuse"), "--root", tree, "lint")


def test_reuse_finds_another_licence(tree):
    """Of which there is no text."""
    (tree / "src/base/span.h").write_text("/* SPDX-License-Identifier: " "ISC */\n")
    with pytest.raises(AssertionError, match="ISC"):
        run(need("reuse"), "--root", tree, "lint")
