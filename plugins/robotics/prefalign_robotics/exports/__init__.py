"""What other libraries read: preferences over segments, progress of episodes, rewards."""
