"""Programs that steps run: each one file, standard library only, run by path with ``python -I``.

``verify_imports`` runs in the built venv, under whatever Python that has (3.9 and later), with
somebody else's packages around it; ``compile_bytecode``, ``compile_tools`` and ``unshare_files``
in the interpreter behind the venv; ``collect_metadata`` in the operator's. These run nothing of
what is in the venv.
"""

from pathlib import Path

VERIFY_IMPORTS = Path(__file__).with_name("verify_imports.py")
COMPILE_BYTECODE = Path(__file__).with_name("compile_bytecode.py")
COMPILE_TOOLS = Path(__file__).with_name("compile_tools.py")
UNSHARE_FILES = Path(__file__).with_name("unshare_files.py")
COLLECT_METADATA = Path(__file__).with_name("collect_metadata.py")
