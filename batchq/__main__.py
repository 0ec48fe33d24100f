"""``python -m batchq`` is the same as ``batchq``."""

from batchq.cli.run import main

if __name__ == "__main__":
    main()
