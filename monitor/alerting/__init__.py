"""From results to alerts: judging (a pure fold), routing, the message, and the channels that carry it."""
