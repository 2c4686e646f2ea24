"""How the process of a command uses memory."""

import subprocess
import sys

SCRIPT = """
from trunkline.cli.memory import bound_memory
bound_memory()
import pyarrow
print(pyarrow.default_memory_pool().backend_name)
"""


def test_a_command_leaves_memory_to_the_allocator_of_the_c_library():
    """Arrow's own keeps what was freed."""
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert ended.stdout == "system\n"
