"""Other tools that a user would pick for the same work, each in the setting that its own documentation calls fast.

One module each, with one function that `python -m benchmarks.peers NAME` calls; they share nothing but `work`.
"""
