"""An image of any size through a model, to nuclei."""
