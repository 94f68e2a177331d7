"""The Kubernetes side: watching objects, reconciling them, writing their status.

* ``client``: the few calls to the API server, and what their failures mean; ``rest``: requests;
  ``connection``: where the server is, and as whom to ask.
* ``watch``: kopf, in a thread of its own; hands every event over and does nothing else.
* ``objects``: how each object looked last.
* ``workqueue``: keys to work on, each once at a time.
* ``reconciler``: remembers objects, calls ensure for each that needs it.
* ``status``: from the state of a config to the status of its object; ``recall``: back; pure.
* ``status_writer``: the one place that writes a status; also makes the Kubernetes Events.
* ``reviews``: who callers are and what they may do; ``answers``: what is kept of that for a while.
* ``trust``: publishes whom clients are to trust.

kopf runs in ``watch`` only; ``connection`` has its words for how to log in. Nothing here knows of
HTTP routes.
"""
