"""From the sources that a spec names to something that no longer moves, and from there to files.

- :mod:`.resolver` resolves, outside any build and bounded in time: a requirement to itself, a
  ConfigMap or a path to a tree, what is remote to a :class:`~.remote.RemoteTree`;
- :mod:`.config_maps`, :mod:`.archive`, :mod:`.git`: one kind of source each;
- :mod:`.hosts` says what may be fetched from where, :mod:`.secrets` with which credentials,
  :mod:`.index` how package indexes are got at, :mod:`.download` fetches a file.

Nothing in here knows the API server: what comes from there comes through a protocol.
"""

from configbuild.sources.config_maps import ConfigMapContent as ConfigMapContent
from configbuild.sources.config_maps import ConfigMaps as ConfigMaps
from configbuild.sources.git import Git as Git
from configbuild.sources.hosts import HostRules as HostRules
from configbuild.sources.index import IndexAccess as IndexAccess
from configbuild.sources.remote import Ran as Ran
from configbuild.sources.remote import RemoteTree as RemoteTree
from configbuild.sources.remote import Run as Run
from configbuild.sources.remote import Workplace as Workplace
from configbuild.sources.resolver import ResolvedSources as ResolvedSources
from configbuild.sources.resolver import SourceResolver as SourceResolver
from configbuild.sources.secrets import NoSecrets as NoSecrets
from configbuild.sources.secrets import SecretContent as SecretContent
from configbuild.sources.secrets import Secrets as Secrets
