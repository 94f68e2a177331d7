"""Programs that steps run: each one file, standard library only, run by path with ``python -I``.

``verify_imports`` runs in the built venv, under whatever Python that has (3.9 and later), with
somebody else's packages around it; ``collect_metadata`` runs in the operator's interpreter and only
reads the venv's files.
"""

from pathlib import Path

VERIFY_IMPORTS = Path(__file__).with_name("verify_imports.py")
COLLECT_METADATA = Path(__file__).with_name("collect_metadata.py")
