"""REST calls, grouped by what they are about."""
