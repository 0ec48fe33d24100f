"""What a user can ask for: the same functions for the command line, the library and the server."""
