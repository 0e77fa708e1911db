"""The shapes of what the REST interface answers, one file a topic."""
