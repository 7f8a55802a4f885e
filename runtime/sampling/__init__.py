"""From prompts, layouts and noise to pairs: conditioning, the denoising loop on host and device, and pictures of any
size. It imports engines, bundle, prompts, masks and the ground files. Start with generator.py, then sampler.py.
"""
