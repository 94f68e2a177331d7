"""The Kubernetes side: watching objects, reconciling them, writing their status.

* ``client``: the few calls to the API server, and what their failures mean.
* ``watch``: kopf, in a thread of its own; hands every event over and does nothing else.
* ``workqueue``: keys to work on, each once at a time.
* ``reconciler``: remembers objects, calls ensure for each that needs it.
* ``status``: from the state of a config to the status of its object; ``recall``: back; pure.
* ``status_writer``: the one place that writes a status; also makes the Kubernetes Events.

kopf is imported in ``watch`` only. Nothing here knows of HTTP routes.
"""
