"""The reference pages that are made from the models are current, and what they show works."""

import subprocess
import sys
from pathlib import Path

from trunkline.settings.resolution import resolve_settings

ROOT = Path(__file__).parents[2]


def test_the_pages_are_current():
    """Whoever changes a model or its words runs the generator."""
    done = subprocess.run(
        [sys.executable, "scripts/reference_pages.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_example_configuration_can_be_used(tmp_path):
    """Every key of it is a setting, and its feed can be named."""
    file = ROOT / "examples" / "trunkline.toml"
    resolved = resolve_settings({"config": str(file), "feed": "portal"}, {}, tmp_path)

    assert resolved.settings.system == "portal"
    assert resolved.paths == (str(file.parent / "incoming/portal-*.csv"), "s3://call-logs/portal/")
