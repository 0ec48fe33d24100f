"""Who may ask, and for what: tokens, cookies, hosts and origins, allow-lists, and clients that are too slow."""
