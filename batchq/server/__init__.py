"""The long-running server: runs the batches of a home as child processes, and shows and steers them over HTTP."""
