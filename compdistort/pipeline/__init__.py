"""The only room that sees every station: it joins them into calibrations, studies and the demo."""
