"""From decay to a new model: the policy, the request, and the launchers that start the training."""
