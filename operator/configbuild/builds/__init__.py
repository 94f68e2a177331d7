"""Which build runs, and what is known of those that ran.

* ``attempt``: one build, from the queue to its end.
* ``records``: what is told of a build, live or from its journal.
* ``ask``: what somebody asks beyond what is declared, and the answer.
* ``decision``, ``enactment``: the rules of ensure, pure; and the doing of what they say.
* ``queue``: who is next.
* ``state``: what is known of one config.
* ``registry``: all configs, and the builds of each by id.
* ``recollection``, ``healing``: taking up what an earlier process left.
* ``tokens``, ``acts``: one-off acts that annotations ask for.
* ``retention``, ``janitor``: what of earlier builds is kept.
* ``workshop``: from a declaration to the order for a build.
* ``service``: :class:`~configbuild.builds.service.Builds`, the way in for everybody.
"""
