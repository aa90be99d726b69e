package versus

// Panic text for a caller's mistake.
const errGrid = "versus: the number of multipliers for each decade must be positive"
