"""WebSocket: CONTRACT.md section 2."""
