"""Whether the CRD that the API server serves is older than this operator: looked at now and then.

An operator may not read CustomResourceDefinitions, which are the cluster's and no namespace's. What
is served, every user may read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from configbuild.kube.client import Cluster
from configbuild.kube.rest import FAILURES, ForbiddenError, words_of
from configbuild.notices import Notices
from configbuild.resource import GROUP, PLURAL
from configbuild.resource.served import OPENAPI_PATH, lacking_fields, served_schema

logger = logging.getLogger(__name__)

# Who applies the CRD on being told wants to see that it helped, and what is served follows it by
# some seconds: this often it is looked at while it is outdated.
_LOOK_AGAIN_S = 30.0

# The rest is as easily seen from the changelog.
_NAMED = 3

_SUBJECT = "crd"


class CrdAge:
    """Compares what is served with what this operator writes and reads.

    ``told`` hears each time whether it is outdated.
    """

    def __init__(self, cluster: Cluster, notices: Notices, *, told: Callable[[bool], None]) -> None:
        self._cluster = cluster
        self._notices = notices
        self._told = told
        self._outdated = False
        self._readable = True

    async def watch(self, *, interval_s: float) -> None:
        """Look now, and then again and again, until cancelled.

        Or until it is plain that it may not be looked at.
        """
        await self.look()
        while self._readable:
            await asyncio.sleep(min(interval_s, _LOOK_AGAIN_S) if self._outdated else interval_s)
            await self.look()

    async def look(self) -> None:
        """Look once; what cannot be read changes nothing."""
        try:
            document = await self._cluster.rest.get(OPENAPI_PATH, {})
        except ForbiddenError as error:
            # Asked again and again, it would read as trouble with the API server.
            self._readable = False
            logger.info("whether the CRD is outdated cannot be told (%s)", error)
            return
        except FAILURES as error:
            logger.debug("what is served cannot be read: %s", words_of(error))
            return
        schema = served_schema(document)
        if schema is not None:
            self._judge(lacking_fields(schema))

    def _judge(self, lacking: list[str]) -> None:
        self._outdated = bool(lacking)
        self._told(self._outdated)
        if lacking:
            self._notices.begin(_SUBJECT, _words(lacking))
        else:
            self._notices.end(_SUBJECT, f"the CRD {PLURAL}.{GROUP} has all fields now")


def _words(lacking: list[str]) -> str:
    named = ", ".join(lacking[:_NAMED])
    more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
    return (
        f"the CRD {PLURAL}.{GROUP} is older than this operator: it drops {named}{more};"
        " kubectl apply --server-side --force-conflicts -f crds/ of this version"
    )
