"""What one training step is: of the VAE and its decoder (vae.py), of the denoiser (denoiser.py), of a student of
guidance (student.py). A stage may import every flat file of training but run.py and distill.py, which drive stages.
Start with vae.py, beside loop.py, which calls it.
"""
