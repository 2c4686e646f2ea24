"""The documentation as a site."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with strict links."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_excerpts_of_the_code_are_filled_in(site):
    """A page shows the code that it names, not the name."""
    page = (site / "best-practices.html").read_text(encoding="utf-8")

    assert "work_block" in page
    assert "<!-- code:" not in page


def test_the_site_fetches_nothing_from_elsewhere(site):
    """Fonts, scripts, styles and images are its own: it can be read without a network."""
    fetched = [
        found
        for page in site.rglob("*.html")
        for found in re.findall(
            r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^\s\">]+",
            page.read_text(encoding="utf-8"),
        )
    ]

    assert fetched == []
