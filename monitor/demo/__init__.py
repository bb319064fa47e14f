"""The demo: a real model on real data, its production log, a fault, a decay, and a retraining."""
