"""The REST interface and the live WebSocket, one file a topic."""
