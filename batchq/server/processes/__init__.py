"""Work that is done in a process of its own, since the user's code or a pattern could hang or end it."""
