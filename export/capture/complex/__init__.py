"""Complex numbers as pairs of real numbers, before the program is translated."""
