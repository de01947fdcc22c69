"""The coordinate network of the seed paper (arXiv:2512.12975) as a field of the payload format.

One multilayer perceptron maps the position of a voxel and a learned identifier of its file to a density. It
is the reference that the local-Fourier field is compared with: weights once, and for every file an
identifier and an occupancy mask. Training needs PyTorch; evaluation is on whole numbers and exact on every
device.
"""
