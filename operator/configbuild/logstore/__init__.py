"""Copies of logs that outlive the operator's disk: what a store is, and what is told of a copy.

* ``stored``: what status remembers of a copy.
* ``store``: the interface that stores have.
* ``config_maps``: how a part lies in a ConfigMap, and which one is real; pure.
* ``joining``: the parts of a log put together again, with gaps for what is missing; pure.
* ``chunks``: a log cut into compressed chunks, with its middle left out where it is too long; pure.

A store that belongs to a service lives with it: ConfigMaps in ``kube.log_maps``, a Valkey server in
``valkey_store``. One suite of tests holds all of them to the interface.
"""

from configbuild.logstore.store import LogCopy, LogStore, LogStoreError
from configbuild.logstore.stored import Chunk, LogOwner, StoredLog

__all__ = ["Chunk", "LogCopy", "LogOwner", "LogStore", "LogStoreError", "StoredLog"]
