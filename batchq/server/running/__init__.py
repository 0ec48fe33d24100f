"""Supervises the batches of a home: which run, which wait, which are started again, which notifications are owed."""
