"""ConfigBuild: turns a declared configuration into a verified Python environment.

The rooms, from the outside in (import-linter holds the direction):

* ``app`` wires everything; ``cli`` starts it.
* ``kube`` (kopf, API client, reconciler) and ``web`` (HTTP) face the world, each alone.
* ``builds`` decides which build runs: ensure, queue, cancel, history.
* ``engine`` runs one build; ``process``, ``launcher``, ``journal`` and ``sources`` are its hands.
* ``model``, ``events``, ``plan``, ``fingerprint`` and ``errors`` are pure: no input, no output.
"""
