"""C for microcontrollers: an integer program from a deployed graph, and the sources that run it."""
