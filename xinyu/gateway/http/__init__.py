"""REST: CONTRACT.md section 1."""
