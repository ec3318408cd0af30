"""Who connects to the databases: an account for each role with rights on its own tables, another for migrations."""
