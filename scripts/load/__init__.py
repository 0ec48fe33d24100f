"""The parts of scripts/server_load.py."""
