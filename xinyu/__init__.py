"""xinyu: a distributed instant-messaging server. Start reading at docs/explanation/tour.md."""

__version__ = "0.1.0"
