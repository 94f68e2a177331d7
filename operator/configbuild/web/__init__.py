"""The HTTP API: how people and programs ask for builds and watch them.

FastAPI lives here and nowhere else; nothing here knows Kubernetes. A response never owns a build:
a client that leaves changes nothing.

* ``app``: puts the application together. ``server``: serves it.
* ``routes``: the builds API. ``operation``: health and metrics. ``gone``: what the former service
  had and this one has not.
* ``stream``: a build's events as NDJSON, live or again. ``logs``: its output, page by page.
* ``doorkeeper`` asks who comes, ``access`` what they may do.
* ``tls``: the certificate that is served with; ``certificates``: where it comes from.
* ``models``: what goes in and out. ``bodies``: how much may come in.
  ``problems``: what is said when something is wrong.
* ``backend``: what all of these work with.
"""
