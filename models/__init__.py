"""The course's models, one file a family; a class reads like its figure in the deck."""
