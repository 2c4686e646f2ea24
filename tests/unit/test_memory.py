"""How the process of a command uses memory."""

import subprocess
import sys

ALLOCATOR = """
from trunkline.cli.memory import bound_memory
bound_memory()
import pyarrow
print(pyarrow.default_memory_pool().backend_name)
"""

FROZEN = """
import gc
from trunkline.cli.app import main
try:
    main(["--version"])
except SystemExit:
    print(gc.get_freeze_count() > 10_000)
"""


def printed_by(script: str) -> str:
    """Return what a script prints in a process of its own."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_a_command_leaves_memory_to_the_allocator_of_the_c_library():
    """Arrow's own keeps what was freed."""
    assert printed_by(ALLOCATOR) == "system\n"


def test_a_command_that_ends_looks_for_no_garbage():
    """It took up to a fifth of the time of a command that had little to do."""
    assert printed_by(FROZEN).endswith("True\n")
