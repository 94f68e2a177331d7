"""The commands: ``configbuild`` (operator, local build, CRD) and ``kubectl configbuild``."""
