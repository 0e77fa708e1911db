"""Where people look: REST, live stream, dashboard, people and rights."""
