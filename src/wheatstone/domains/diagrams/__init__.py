"""Neural circuit diagrams: networks as typed terms that are checked, computed, counted, differentiated and drawn.

`models.transformer_diagram(config)` is the drawing of a study's own transformer, ready for its exhibits.
"""
