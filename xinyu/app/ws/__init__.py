"""One WebSocket connection below ASGI: uvicorn's protocol, bounded, with ways in and out that cost less."""
