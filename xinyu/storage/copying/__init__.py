"""Taking whole tables from one engine to another, knowing their columns and nothing of what they mean."""
