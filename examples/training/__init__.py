"""The parts that every training needs: data, processes, batch norm, checkpoints and logs."""
