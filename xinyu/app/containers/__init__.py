"""How everything is made, a file per domain; `container` puts them together."""
