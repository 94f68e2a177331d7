"""Which build runs, and what is known of those that ran.

* ``attempt``: one build, from the queue to its end.
* ``records``: what is told of a build, live or from its journal.
* ``decision``: the rules of ensure, pure.
* ``queue``: who is next.
* ``state``: what is known of one config.
* ``service``: :class:`~configbuild.builds.service.Builds`, the way in for everybody.
"""
