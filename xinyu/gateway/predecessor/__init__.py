"""The predecessor's own processes beside ours, over bare Rock (CONTRACT.md section 5, commands 101 and 201 to 204).

Both ways: its gateways may serve users of our cluster, and our gateways may serve users of its. What they cannot
promise one another is in ADR 14. Off by default.
"""
