"""The ``ConfigBuild`` resource: its schema, and the ways between it and :mod:`configbuild.model`.

Pure: bodies and documents in, values out. ``schema`` and ``status_schema`` hold the pydantic models
(what people write and read), ``rules`` the checks that the API server and Python share, ``crd``
makes the CustomResourceDefinition, ``convert`` a :class:`~configbuild.model.BuildSpec`.
"""

GROUP = "ade.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ConfigBuild"
PLURAL = "configbuilds"
