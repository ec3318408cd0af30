"""How a node's sessions begin, are brought up to date, keep their places and leave their cursors."""
