"""Where images come from: one file each, registered when imported."""

from landscape.datasets.sources import cifar10, fashion_mnist, fashion_mnist_mini, folder, mnist, npz

__all__ = ["cifar10", "fashion_mnist", "fashion_mnist_mini", "folder", "mnist", "npz"]
