"""Images and annotations: reading them safely, writing them whole."""
