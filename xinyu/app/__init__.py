"""The composition root: the only place that knows everybody. Roles, settings, containers, placement, lifecycle."""
