"""Learning to design circuits: a reinforcement learner sizes transistors against a real simulator."""
