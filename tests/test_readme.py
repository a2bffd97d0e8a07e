"""The README says what is true: its Python blocks run as they stand and print what they show."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]


def _blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks(page):
    """Every block of a page, in order, in one namespace."""
    test = doctest.DocTestParser().get_doctest("\n".join(_blocks(page)), {}, page, page, 0)
    report = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)

    assert not report, "".join(report)


def test_the_readme_has_blocks_to_run():
    """A rename of the fence would otherwise leave nothing tested."""
    assert len(_blocks("README.md")) >= 3


@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_repository(page):
    """What a page links to or shows is there."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]

    assert missing == []
