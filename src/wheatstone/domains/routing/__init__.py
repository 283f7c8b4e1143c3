"""Router traces of mixtures of experts: read from files (`files`), or computed from a checkpoint (`checkpoints`)."""
