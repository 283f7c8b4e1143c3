"""Networks that learn operators: DeepONet beside fully connected networks and linear methods."""
