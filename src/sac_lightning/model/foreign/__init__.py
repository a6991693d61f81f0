"""Weights of SAM that other projects wrote, brought into segment-anything's names.

The names were read from the code that writes them: segment-anything, MedSAM, micro-sam and torch_em (patho-sam
writes as they do), transformers, SAMed, finetune-SAM, Medical-SAM-Adapter, SAM-HQ. See docs/foreign-weights.md.
"""
