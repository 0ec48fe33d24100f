"""Who runs what, and when: slots, workers, the supervisor."""
