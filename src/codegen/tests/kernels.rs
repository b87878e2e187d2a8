//! Kernels of known forms.
