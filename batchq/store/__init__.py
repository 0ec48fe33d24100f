"""What is on disk. All SQL of the project, sqlite3 and persist-queue stand here and nowhere else."""
