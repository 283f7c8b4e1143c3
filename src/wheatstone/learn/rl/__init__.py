"""Reinforcement learning with continuous actions: replay, actors and critics, deterministic policy gradients."""
