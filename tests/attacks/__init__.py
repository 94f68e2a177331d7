"""Code of a hostile package, and what it goes for; used by tests of every level of the sandbox."""
