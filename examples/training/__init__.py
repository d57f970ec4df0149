"""What every training needs: data, processes, batch norm, checkpoints, a log."""
