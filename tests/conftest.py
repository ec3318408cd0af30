"""Fixtures that every test may ask for; what tests import stands in testkit/."""

from testkit.mysql import mysql_dsn, new_mysql_database

__all__ = ["mysql_dsn", "new_mysql_database"]
