"""What stands behind `prefalign mesh3d …`."""
