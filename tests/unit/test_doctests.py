"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

import trunkline

PACKAGE = Path(trunkline.__path__[0])
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
    for file in PACKAGE.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    """What a docstring shows is what happens."""
    results = doctest.testmod(importlib.import_module(f"trunkline.{name}"))

    assert results.attempted
    assert not results.failed
