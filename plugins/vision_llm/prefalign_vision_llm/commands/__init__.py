"""The plugin's commands, `prefalign vision_llm NAME`, one module each. None of them imports torch."""
