"""Pretrained language models from files: one module a format, `load` for all of them.

A folder         Hugging Face: config.json, safetensors (one file or several), tokenizer.json
*.gguf           llama.cpp: Llama, quantised or not
*.bin            llama2.c, with its tokenizer beside it
*.safetensors    a transformer that was trained here, see `own`
"""

from __future__ import annotations

from pathlib import Path

from wheatstone.bench.errors import UserError
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.learn.models.loading.gguf import load_gguf
from wheatstone.learn.models.loading.huggingface import load_folder
from wheatstone.learn.models.loading.llama2c import load_llama2c
from wheatstone.learn.models.loading.own import load_own


def load(path: Path) -> LanguageModel:
    """The language model in a file or folder.

    Raises UserError when it does not exist, is of no known format, is damaged, or holds a model that is not built.
    """
    if path.is_dir():
        return load_folder(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder")
    readers = {".gguf": load_gguf, ".bin": load_llama2c, ".safetensors": load_own}
    if path.suffix not in readers:
        raise UserError(
            f"{path}: not a model: a folder with config.json, or a file that ends with {', '.join(readers)}"
        )
    try:
        return readers[path.suffix](path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


__all__ = ["load"]
