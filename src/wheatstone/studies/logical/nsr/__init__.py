"""Neural-symbolic recursive machine: perception, syntax and semantics learnt together from answers alone."""
