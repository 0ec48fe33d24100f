"""The command line: parses, calls a verb, prints."""
