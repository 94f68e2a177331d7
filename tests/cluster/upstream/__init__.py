"""CustomResourceDefinitions of others that the manifests make use of, from their Go modules.

So tests have the API server judge a ServiceMonitor or a Certificate by the real schemas, pinned by
`go/go.sum`, without a copy of them here.
"""

from .definitions import find_or_fetch

__all__ = ["find_or_fetch"]
