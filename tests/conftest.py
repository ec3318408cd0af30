"""Fixtures that every test may ask for; what tests import stands in testkit/."""

from testkit.accounts import account_dsn, shared_schema
from testkit.engines import own_mysql, own_redis, own_zookeeper, redis_url, zookeeper_hosts
from testkit.mysql import mysql_dsn, new_mysql_database

__all__ = [
    "account_dsn",
    "mysql_dsn",
    "new_mysql_database",
    "own_mysql",
    "own_redis",
    "own_zookeeper",
    "redis_url",
    "shared_schema",
    "zookeeper_hosts",
]
