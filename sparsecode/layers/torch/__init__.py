"""Networks as torch modules: weights as arrays, runs that record inputs, factors as modules."""
