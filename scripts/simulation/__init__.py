"""A supervisor's one writer under the load of workers that are simulated: `scripts/simulate`."""
