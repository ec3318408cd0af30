"""The message domain's stores over SQL, for SQLite and MySQL alike. `rows` is what everything that appends goes
through; `append` is the group commit; `visible` says what a member may see."""
