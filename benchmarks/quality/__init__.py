"""Worth: what synthetic pairs are like beside real ones, and whether they make segmenters better."""
