"""What the camera does: sensor models, photon-transfer calibration and the estimate from a single image."""
