"""Knowledge graphs: triples, two-hop questions, splits that cannot leak, augmentation, and graphs to try them on."""
