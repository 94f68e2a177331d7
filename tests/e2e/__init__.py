"""``make e2e``: the operator's own image in a real pod, on a node of its own, used as people do.

It is a program, not a set of tests for pytest: ``python -m tests.e2e``. It wants Linux and root.

Read in this order: `__main__` (what is made beforehand, and the end), `enclosure` (the namespaces
in which the node lives and with which it goes), `node` and `configuration` (kubelet, containerd and
their neighbours), `parts` and `images` (where programs and images come from), `user` (what a person
does there), `reader` (a program in a pod) and `scenes` (what is shown).
"""
