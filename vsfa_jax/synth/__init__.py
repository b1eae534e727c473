"""From concepts to a set of neutral questions and answers about threat-related images."""
