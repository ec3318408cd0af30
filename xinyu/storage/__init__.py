"""Engines, not tables' meaning: connections, transactions, migrations. Each domain's store says what is in them."""
