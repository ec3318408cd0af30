"""Fixtures that every test may ask for; what tests import stands in testkit/."""

from testkit.engines import own_redis, own_zookeeper, redis_url, zookeeper_hosts
from testkit.mysql import mysql_dsn, new_mysql_database

__all__ = ["mysql_dsn", "new_mysql_database", "own_redis", "own_zookeeper", "redis_url", "zookeeper_hosts"]
