"""``make demo``: the main job on real input, from nothing, with every command shown.

What it shows is done, not drawn: each command is run as printed, and what is said of its result is
checked. It ends with an error if anything is not so.
"""
