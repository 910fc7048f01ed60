"""How the built-in networks were made: data, training and export. Nothing that runs needs this package."""
