"""A server's batches as a command asks for them: HTTP by the standard library alone, so that no extra is needed."""
