"""The workers of a batch on a Dask cluster: what runs there, and what keeps its books here."""
