"""The networks of CosyVoice2's shape (Du et al., "CosyVoice 2", 2024), at any size; docs/model_kinds.md."""
