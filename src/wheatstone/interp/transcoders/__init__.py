"""Transcoders: a wide sparse layer in the place of a feed-forward layer, and circuits that are read off its weights.

`dictionary` what is trained, `store` what it is trained on, `training` and `steps` how, `replacement` and `evaluation`
how faithful it is; `anatomy`, `frozen`, `attribution`, `graph` circuits of one prompt; `connections`, `examples` what
holds without a prompt, and where a feature fires; `files` reading and writing.
"""
