"""Datasets in other tools' formats: written from the dataset folder, and read back where the format holds masks."""
